"""Ends an execution environment with everything that runs in it. The server uses this, and so does each environment.

Both recognize an environment by its process group and its marker, a text in the environment variables of every process
started in it, and of no others. Out of reach is a process that has left its group, session and parents and has replaced
its variables as well; where there is no /proc (macOS), so is any process that has left the group.
"""

import contextlib
import fcntl
import os
import signal
import threading
import time

_ROUNDS = 100


def watch(descriptor, marker):
    """Ends this process's own group once the other end of the pipe is closed, that is, when the server has gone."""
    # No thread of a stopped process runs, so the kernel must wake it where it can (Linux). That takes an end of the
    # pipe that was opened here: the inherited one is shared with all other environments.
    if hasattr(fcntl, "F_SETSIG"):
        with contextlib.suppress(OSError):
            mine = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_NONBLOCK)
            fcntl.fcntl(mine, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(mine, fcntl.F_SETSIG, signal.SIGCONT)
            fcntl.fcntl(mine, fcntl.F_SETFL, os.O_ASYNC)
    threading.Thread(target=_wait, args=(descriptor, os.getpgrp(), marker), name="lifeline", daemon=True).start()


def end(group, marker):
    """Kills the processes of the group, and, where there is /proc, those that have left it. Takes milliseconds."""
    for _ in range(_ROUNDS):  # a second look finds what a process had started while it was killed
        members = _members(group, marker.encode())
        if not members:
            break
        for member in members:
            with contextlib.suppress(OSError):
                os.kill(member, signal.SIGKILL)
        time.sleep(0.002)
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)


def _wait(descriptor, group, marker):
    while os.read(descriptor, 1):
        pass
    end(group, marker)


def _members(group, marker):
    """The living processes of an environment, except this one (proc(5)); none where there is no /proc."""
    children, members = {}, set()
    with contextlib.suppress(OSError):
        for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/stat", "rb") as file:
                    # After the command in parentheses: state, parent, process group, session.
                    state, parent, *groups = file.read().rpartition(b")")[2].split()[:4]
                if state in b"ZX":
                    continue
                children.setdefault(int(parent), []).append(pid)
                if group in map(int, groups) or _has(pid, marker):
                    members.add(pid)
    found = list(members | {group})
    for pid in found:
        found += [child for child in children.get(pid, ()) if child not in found]
        members.update(children.get(pid, ()))
    return members - {os.getpid()}


def _has(pid, marker):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return marker in file.read()
