"""Removes the containers of a server that was killed and could remove nothing any more.

Runs as a process of its own, `python -m local.reaper LABEL`, and waits for the end of a pipe that only the server
holds open. Processes need none of this: each environment watches the server itself.
"""

from __future__ import annotations

import subprocess
import sys


class Reaper:
    """The server's end of the pipe, for all containers with a label (NAME=VALUE)."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._process: subprocess.Popen[bytes] | None = None

    def ensure(self) -> None:
        """Starts the process, again if somebody has killed it."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "local.reaper", self._label], stdin=subprocess.PIPE, start_new_session=True
            )

    def dismiss(self) -> None:
        """Ends the process: no container is left."""
        if self._process:
            self._process.kill()
            self._process.wait()


if __name__ == "__main__":
    sys.stdin.buffer.read()
    from local.sam.engine import remove_containers

    remove_containers(sys.argv[1], again=0.5)
