"""Messages for the person at the terminal, on stderr: stdout is for answers."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import re
import select
import sys
import threading

_speaking = threading.Lock()
_LONG = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# Bytes that are kept for a slow reader; the rest is dropped.
_KEPT = 8 * 1024 * 1024
# Seconds that a slow reader still has when the server ends.
_END_S = 0.5


def say(line: str) -> None:
    """Prints a whole line, from any thread."""
    with _speaking:
        print(line, file=sys.stderr, flush=True)


def shown(text: str) -> str:
    """Text from a request, shortened, with control characters escaped so that it cannot control the terminal."""
    text = text if len(text) <= _LONG else f"{text[:_LONG]}…"
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def never_wait() -> None:
    """From now on nothing on stderr waits for its reader: a full pipe or a stopped terminal stops no request."""
    raw = _Patient(sys.stderr.fileno())
    sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True)
    atexit.register(raw.finish)


class _Patient(io.RawIOBase):
    """Writes what it can at once, and leaves the rest to a thread. A missing reader is not an error."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._late, self._dropped = bytearray(), 0
        self._thread: threading.Thread | None = None

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        rest = memoryview(data)
        with self._lock, contextlib.suppress(OSError):
            while rest and not self._thread and select.select([], [self._descriptor], [], 0)[1]:
                rest = rest[os.write(self._descriptor, rest[: select.PIPE_BUF]) :]
            if rest and len(self._late) + len(rest) > _KEPT:
                self._dropped += len(rest)
            elif rest:
                self._late += rest
                if not self._thread:
                    self._thread = threading.Thread(target=self._follow, daemon=True)
                    self._thread.start()
        return len(data)

    def finish(self) -> None:
        """Gives a slow reader a moment before the process ends."""
        if thread := self._thread:
            thread.join(_END_S)

    def _follow(self) -> None:
        while True:
            with self._lock:
                if self._dropped:
                    self._late += f"\n{self._dropped} bytes were not shown, since nobody read them in time\n".encode()
                data, self._late, self._dropped = self._late, bytearray(), 0
                if not data:
                    self._thread = None
                    return
            rest = memoryview(data)
            with contextlib.suppress(OSError):
                while rest:
                    rest = rest[os.write(self._descriptor, rest[: select.PIPE_BUF]) :]
