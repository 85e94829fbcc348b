"""What ./deploy.sh says: lines on stderr, and on a terminal the seconds of the step that is running."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

_ERASE = "\r\033[K"
_COUNT = "   "


class Terminal:
    """Writes whole lines to the current file descriptor of stderr, wherever sys.stderr leads later."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="replace")
        self._counts = self._stream.isatty()
        self._lock = threading.RLock()
        self._open = ""  # the text on the last line, which has not ended yet
        self._since = 0.0
        if self._counts:
            threading.Thread(target=self._count, daemon=True).start()

    def step(self, title: str) -> None:
        """Begins a step."""
        with self._lock:
            self._close()
            self._since = time.monotonic()
            if not self._counts:
                print(title, file=self._stream)
                return
            # A line that the terminal wraps could not be overwritten.
            fits = len(title) + len(" 1234 s") < (os.get_terminal_size(self._stream.fileno()).columns or 80)
            self._open = title if fits else _COUNT
            print(title, end="" if fits else "\n", flush=True, file=self._stream)

    def say(self, line: str) -> None:
        """Prints a line of the running step, which goes on counting below it."""
        with self._lock:
            counting = bool(self._open)
            self._close()
            print(line, file=self._stream)
            self._open = _COUNT if counting else ""

    def end(self) -> None:
        """Ends the last step."""
        with self._lock:
            self._close()

    @contextlib.contextmanager
    def quiet(self, log: str) -> Iterator[None]:
        """Meanwhile sends what this process and its children print to the file `log`."""
        sys.stdout.flush()
        sys.stderr.flush()
        kept = [os.dup(number) for number in (1, 2)]
        with open(log, "wb") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, old in zip((1, 2), kept, strict=True):
                os.dup2(old, number)
                os.close(old)

    def _close(self) -> None:
        if self._open.strip():
            print(file=self._stream)
        elif self._open:
            print(_ERASE, end="", file=self._stream)
        self._open = ""

    def _count(self) -> None:
        while True:
            time.sleep(1)
            with self._lock:
                if self._open:
                    seconds = int(time.monotonic() - self._since)
                    print(f"{_ERASE}{self._open} {seconds} s", end="", flush=True, file=self._stream)
