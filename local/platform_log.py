"""What a function prints, and the lines that Lambda adds to it.

https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
"""

from __future__ import annotations

import contextlib
import math
import os
from datetime import datetime, timezone
from typing import BinaryIO

_CHUNK = 65536
_KEPT = 65536


class Log:
    """The output of one execution environment: its whole lines go to `output`, and are kept for the invoke.

    `writing` is the file descriptor that the environment writes to; whoever passes it on closes it.
    """

    def __init__(self, output: BinaryIO) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self._open = True
        self._output = output
        self._rest = b""
        self._kept = bytearray()

    def read(self) -> bool:
        """Passes on what has been printed so far; returns false once nothing more will come."""
        for _ in range(16 * self._open):  # a function that never stops printing must not stop everything else
            try:
                data = os.read(self.reading, _CHUNK)
            except BlockingIOError:
                return True
            if not data:
                return False
            lines, newline, self._rest = (self._rest + data).rpartition(b"\n")
            self._write(lines + newline)
            if len(self._rest) > _CHUNK:
                self.end_line()
        return self._open

    def end_line(self) -> None:
        """Ends a line that the function has left open, so that nothing else is appended to it."""
        if self._rest:
            rest, self._rest = self._rest, b""
            self._write(rest + b"\n")

    def add(self, line: str, shown: bool = True) -> None:
        """Adds a line of the platform's own; unless `shown`, it is only kept."""
        self.end_line()
        self._write(f"{line}\n".encode(), shown)

    def take(self) -> bytes:
        """Returns the end of what has been printed since the last call."""
        kept, self._kept = bytes(self._kept), bytearray()
        return kept

    def close(self) -> None:
        self.read()
        self.end_line()
        self._open = False
        os.close(self.reading)

    def _write(self, data: bytes, shown: bool = True) -> None:
        if data:
            self._kept += data
            del self._kept[:-_KEPT]
            if shown:
                with contextlib.suppress(OSError, ValueError):  # a terminal that has been closed
                    self._output.write(data)
                    self._output.flush()


def stream(id: str) -> str:
    """The name of the log stream of the environment with this id (32 hexadecimal digits)."""
    return f"{datetime.now(timezone.utc):%Y/%m/%d}/[$LATEST]{id}"


def stamped(message: str) -> str:
    """A message of the platform's with the time before it, as in CloudWatch's text log."""
    return f"{datetime.now(timezone.utc).isoformat(timespec='milliseconds').replace('+00:00', 'Z')} {message}"


def report(id: str, duration: float, size: int, used: int | None, init: float | None, status: str = "") -> str:
    """The REPORT line, from seconds and megabytes. The time of an init is billed as well, since August 2025."""
    parts = [
        f"REPORT RequestId: {id}",
        f"Duration: {duration * 1000:.2f} ms",
        f"Billed Duration: {math.ceil((duration + (init or 0)) * 1000)} ms",
        f"Memory Size: {size} MB",
        *([f"Max Memory Used: {min(used, size)} MB"] if used is not None else []),
        *([f"Init Duration: {init * 1000:.2f} ms"] if init is not None else []),
        *([status] if status else []),
    ]
    return "\t".join(parts) + "\t"
