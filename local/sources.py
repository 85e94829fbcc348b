"""A function's code and what it may import, as they are now: changes apply from the next request."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

from local import manifest, runtime
from local.watch import Tree, own

# What changes with every save, the Python, and the directories to search.
Version = tuple[str, tuple[int, ...]]
Found = tuple[Version, Path, tuple[str, ...]]

_trees: dict[tuple[str, bool, str], Tree] = {}
_lock = threading.Lock()


class Sources:
    """The directories of one function.

    `code` is the directory with the handler. `layers` are directories that are in /opt on Lambda, with "python" or
    "python/lib/python3.x/site-packages" in them; `unbuilt` are those that `sam build` would first bring into that form.
    """

    def __init__(self, code: str, layers: Iterable[str] = (), unbuilt: Iterable[str] = ()) -> None:
        self.code, self.layers, self.unbuilt = code, tuple(layers), tuple(unbuilt)
        self._lock = threading.Lock()
        self._last: tuple[Version, Found | runtime.InstallError] | None = None
        self._trees: list[Tree] = []

    def current(self, name: str) -> Found:
        """Returns what a runtime finds now. First installs what requirements.txt newly lists, and says so.

        Raises runtime.InstallError, on every call until the files change.
        """
        version = (name, self.version())
        with self._lock:
            last = self._last
            if not last or last[0] != version:
                forget_bytecode(self.code)
                try:
                    self._trees = [each for code in (self.code, *self.layers, *self.unbuilt) for each in trees(code)]
                    version = (name, self.version())
                    last = version, (version, runtime.python(name), self._path(name))
                except runtime.InstallError as error:
                    last = version, error
                self._last = last
            return _found(last[1])

    def known(self) -> Found | None:
        """What `current` last found, if it is certain to be current still; takes microseconds and never waits."""
        last, trees = self._last, self._trees
        if last and len(trees) == len(last[0][1]) and all(map(Tree.quiet, trees, last[0][1])):
            return _found(last[1])
        return None

    def version(self) -> tuple[int, ...]:
        """Changes with every save of a file."""
        return tuple(tree.version() for tree in self._trees)

    def _path(self, name: str) -> tuple[str, ...]:
        path: list[str | Path | None] = [runtime.packages(self.code, name)]
        for layer in self.layers:
            path += [os.path.join(layer, "python", "lib", name, "site-packages"), os.path.join(layer, "python")]
        for layer in self.unbuilt:
            path += [layer, runtime.packages(layer, name)]
        return tuple(str(directory) for directory in path if directory)


def _found(found: Found | runtime.InstallError) -> Found:
    if isinstance(found, runtime.InstallError):
        raise found
    return found


def forget_bytecode(code: str) -> None:
    """Removes the __pycache__ below `code`: it seems current after a save of the same second and size."""
    for directory, below, _ in os.walk(code):
        if "__pycache__" in below:
            shutil.rmtree(os.path.join(directory, "__pycache__"), ignore_errors=True)
        below[:] = filter(own, below)


def trees(code: str) -> list[Tree]:
    """One watch.Tree for `code`, and one for each thing elsewhere that its manifest installs or reads."""
    found = manifest.Manifest()
    with contextlib.suppress(runtime.InstallError):  # whoever installs it reports this
        found = manifest.read(code)
    away = [path for path in (*found.places, *found.files) if not path.absolute().is_relative_to(os.path.abspath(code))]
    return [
        tree(code),
        *(tree(path) if path.is_dir() else tree(path.parent, False, re.escape(path.name)) for path in away),
    ]


def version(code: str) -> list[int]:
    """Changes with every save of a file that belongs to the code."""
    return [tree.version() for tree in trees(code)]


def tree(directory: str | Path, recursive: bool = True, wanted: str = ".*") -> Tree:
    """The watch.Tree with these arguments, shared by all callers."""
    key = (str(directory), recursive, wanted)
    with _lock:
        if key not in _trees:
            _trees[key] = Tree(directory, recursive, wanted)
        return _trees[key]
