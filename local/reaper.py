"""Removes the containers of a server that was killed before it could remove them itself.

Runs as a process of its own, `python -m local.reaper LABEL`, and waits for the end of a pipe that only the server
holds open. The engine "processes" does not need it: each environment watches the server itself.
"""

from __future__ import annotations

import subprocess
import sys
import threading

from local.terminal import say


class Reaper:
    """The server's end of the pipe, for all containers with a label (NAME=VALUE)."""

    def __init__(self, label: str) -> None:
        self._command = [sys.executable, "-m", "local.reaper", label]
        self._process: subprocess.Popen[bytes] | None = None
        self._dismissed = False
        self._lock = threading.Lock()

    def ensure(self) -> None:
        """Starts the process, or restarts it if somebody has killed it."""
        with self._lock:
            if not self._process:
                self._start()

    def dismiss(self) -> None:
        """Ends the process, since no container is left."""
        with self._lock:
            self._dismissed = True
            if self._process:
                self._process.kill()
                self._process.wait()

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, start_new_session=True)
        threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        with self._lock:
            if not self._dismissed:
                say("the process that cleans up containers has been killed; it is started again")
                self._start()


if __name__ == "__main__":
    sys.stdin.buffer.read()
    from local.sam.engine import remove_containers

    remove_containers(sys.argv[1], again=0.5)
