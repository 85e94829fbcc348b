"""Ends what the server has started, even when the server itself is killed and can end nothing any more.

Runs as a process of its own, `python -m local.reaper`, and reads from a pipe that only the server holds open: "+ID"
when a session of processes (setsid(2)) has been started, "-ID" when it has ended, and the end of the file when the
server is gone, however it went. What is no number is the label of containers.
"""

import contextlib
import os
import signal
import subprocess
import sys


def end(session):
    """Kills every process of the session, those too that the function's own code has started."""
    while members := list(_members(session)):
        # The leader last: the emulator gone, its runtime client would complain before it is killed itself.
        for process in sorted(members, key=session.__eq__):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def _members(session):
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
                # After the command in parentheses: state, parent, process group, session (proc(5)).
                state, _, _, of = file.read().rpartition(b")")[2].split()[:4]
                if int(of) == session and state != b"Z":
                    yield int(entry)


class Reaper:
    """The server's end of the pipe."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local.reaper"], stdin=subprocess.PIPE, start_new_session=True
        )

    def started(self, session):
        self._tell("+", session)

    def ended(self, session):
        self._tell("-", session)

    def _tell(self, sign, session):
        # One write of a short line is atomic, whichever thread it comes from (pipe(7)).
        os.write(self._process.stdin.fileno(), f"{sign}{session}\n".encode())


if __name__ == "__main__":
    alive = set()
    for line in sys.stdin:
        (alive.add if line[0] == "+" else alive.discard)(line[1:].strip())
    for session in filter(str.isdecimal, alive):
        end(int(session))
    for label in alive:
        if not label.isdecimal():
            from local.sam import remove_containers

            remove_containers(label, again=0.5)
