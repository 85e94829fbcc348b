"""Tells whether the files of a directory have changed since it was last asked.

inotify puts an event into its queue before the call that caused it returns (inotify(7)). Whoever reads the queue
after a save therefore sees the save: no waiting, no polling, and a cost that does not grow with the directory.
Where inotify is not available or does not report (not on Linux, a network or shared file system, no watches left),
times and sizes of the files are compared instead.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if sys.platform == "linux":
    from inotify_simple import INotify, flags

    _SAVING = flags.CREATE | flags.MODIFY
    _SAVED = flags.CLOSE_WRITE | flags.MOVED_FROM | flags.MOVED_TO | flags.DELETE
    # A link leads elsewhere, or the file that it leads to has been replaced.
    _ELSEWHERE = flags.CREATE | flags.MOVED_FROM | flags.MOVED_TO | flags.DELETE
    _WATCHED = _SAVING | _SAVED | flags.ATTRIB | flags.DELETE_SELF | flags.MOVE_SELF
    _MOVED = flags.ISDIR | flags.DELETE_SELF | flags.MOVE_SELF | flags.Q_OVERFLOW | flags.IGNORED

_SILENT = {"9p", "cifs", "nfs", "nfs4", "prl_fs", "smb3", "vboxsf", "virtiofs"}
_NOT_SOURCE = re.compile(
    r"__pycache__|.*\.egg-info|\.(aws-sam|git|tools|venv)(\..*)?|.*\.pyc(\.\d+)?|.*\.sw[a-z]|4913|.*~"
)
_SAVE_S = 0.25
_MOST_LINKS = 40  # as in the kernel

# By directory and name: time, size and so on.
_Files = dict[tuple[str, str], tuple[int, ...]]


def own(name: str) -> bool:
    """Whether a file or directory of this name is source, not something that a program keeps beside it."""
    return not _NOT_SOURCE.fullmatch(name)


class Tree:
    """The files of `directory`, everything below it unless `recursive` is false, and the targets of links.

    `wanted` is a regular expression that a file's whole name must match to count. Thread-safe.
    """

    def __init__(self, directory: str | Path, recursive: bool = True, wanted: str = ".*") -> None:
        self._directory = Path(directory)
        self._recursive = recursive
        self._wanted = re.compile(wanted)
        self._lock = threading.Lock()
        self._version = 0
        self._left_open: set[tuple[int, str]] = set()
        self._queue: Any = None  # inotify's
        self._seen: _Files = {}  # without inotify
        self._look()

    def version(self) -> int:
        """A number that has grown if a file has changed. Waits for a save that is in progress."""
        with self._lock:
            if self._queue is None:
                seen, self._seen = self._seen, self._scan()
                if seen != self._seen:
                    self._version += 1
                    self._look()  # the directory may have been away, and can be watched again
            else:
                self._drain()
            return self._version

    def quiet(self, version: int) -> bool:
        """Whether nothing has happened since this version; takes microseconds and never waits.

        False while another thread looks: it has taken events out of the queue, but not yet counted them.
        """
        if self._queue is None or self._poll.poll(0):
            return False
        return not self._lock.locked() and self._version == version

    def _look(self) -> None:
        if self._queue is not None:
            self._queue.close()
        try:
            self._queue = self._watch() if self._directory.is_dir() and _reports(self._directory) else None
        except OSError:
            self._queue = None
        if self._queue:
            self._poll = select.poll()
            self._poll.register(self._queue.fileno(), select.POLLIN)
        self._seen = {} if self._queue else self._scan()

    def _watch(self) -> Any:
        queue = INotify(nonblocking=True)
        # The watches of the directories, and (watch, name) of the targets of links in them, wherever those are.
        self._own: set[int] = set()
        self._linked: set[tuple[int, str]] = set()
        try:
            # The first even if it cannot be read, which raises here: nothing else would tell when it can be.
            self._own.add(queue.add_watch(self._directory, _WATCHED))
            links: list[str | Path] = [self._directory]
            for directory, files in self._walk(links):
                self._own.add(queue.add_watch(directory, _WATCHED))
                links += [os.path.join(directory, file) for file in filter(self._counts, files)]
            for directory, name in {step for link in filter(os.path.islink, links) for step in _steps(link)}:
                if os.path.isdir(directory) and not _reports(directory):
                    raise OSError(errno.ENOTSUP, directory)
                with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                    self._linked.add((queue.add_watch(directory, _WATCHED), name))
        except OSError:
            queue.close()
            raise
        return queue

    def _walk(self, met: list[str | Path] | None = None) -> Iterator[tuple[str, list[str]]]:
        """Yields each directory with the names of its files; the directories below it are added to `met`."""
        seen: set[str] = set()
        for directory, below, files in os.walk(self._directory, followlinks=True):
            real = os.path.realpath(directory)
            below[:] = [name for name in below if self._recursive and own(name)]
            if met is not None:
                met += [os.path.join(directory, name) for name in below]
            if real in seen:
                below.clear()
            else:
                seen.add(real)
                yield directory, files

    def _drain(self) -> None:
        events = self._queue.read(timeout=0)
        if not events:
            return
        saving: set[tuple[int, str]] = set()
        moved = False
        deadline = time.monotonic() + _SAVE_S
        while events:
            for event in events:
                file = (event.wd, event.name)
                linked = file in self._linked
                if event.name and event.wd not in self._own and not linked:
                    continue
                if event.mask & _MOVED:
                    if not event.mask & flags.ISDIR or linked or (self._recursive and own(event.name)):
                        self._version += 1
                        return self._look()
                elif linked or self._counts(event.name):
                    self._version += 1
                    moved |= linked and bool(event.mask & _ELSEWHERE)
                    if event.mask & _SAVED:
                        saving.discard(file)
                        self._left_open.discard(file)
                    elif event.mask & _SAVING and file not in self._left_open:
                        saving.add(file)
            # A file that is being written may be incomplete: its writer gets a moment to close it.
            left = deadline - time.monotonic() if saving else 0
            events = self._queue.read(timeout=int(left * 1000)) if left > 0 else []
        self._left_open |= saving
        if moved:
            self._look()

    def _counts(self, name: str) -> bool:
        return bool(self._wanted.fullmatch(name)) and own(name)

    def _scan(self) -> _Files:
        found: _Files = {}
        for directory, files in self._walk():
            for file in filter(self._counts, files):
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(os.path.join(directory, file))
                    found[directory, file] = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode)
        return found


def _steps(path: str | Path) -> Iterator[tuple[str, str]]:
    """Yields (directory, name) of each link on the way to the path's target, and of the target."""
    path = os.path.abspath(path)
    for _ in range(_MOST_LINKS):
        link = next((each for each in (*reversed(Path(path).parents), Path(path)) if each.is_symlink()), None)
        yield os.path.split(link or path)
        if not link:
            return
        path = os.path.normpath(os.path.join(link.parent, os.readlink(link), os.path.relpath(path, link)))


def _reports(directory: str | Path) -> bool:
    """Whether inotify sees every change there, which it does not where another machine can write."""
    if sys.platform != "linux":
        return False
    place = os.path.realpath(directory) + "/"
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    _, kind = max((len(mount[1]), mount[2]) for mount in mounts if place.startswith(mount[1].rstrip("/") + "/"))
    return kind not in _SILENT and not kind.startswith("fuse")
