"""A function's code and what it may import, as they are at this moment: every save counts from the next request on."""

import os
import shutil
import threading
from pathlib import Path

from local import runtime
from local.watch import Tree

_trees = {}
_lock = threading.Lock()


class Sources:
    """The directories of one function.

    `code` is the directory with the handler. `layers` are directories that lie in /opt on Lambda, with "python" or
    "python/lib/python3.x/site-packages" in them; `unbuilt` are those which `sam build` would first make into that.
    """

    def __init__(self, code, layers=(), unbuilt=()):
        self.code, self.layers, self.unbuilt = code, tuple(layers), tuple(unbuilt)
        self._lock = threading.Lock()
        self._found = None
        self._trees = []

    def current(self, name, say):
        """(version, interpreter, path): what changes with every save, the Python, and the directories to search.

        Installs first what requirements.txt newly lists, and says so. Raises runtime.InstallError, again and again
        until the files change.
        """
        version = (name, self.version())
        with self._lock:
            if not self._found or self._found[0] != version:
                forget_bytecode(self.code)
                try:
                    self._found = (version, runtime.python(name, say), self._path(name, say))
                except runtime.InstallError as error:
                    self._found = (version, error, None)
                    raise
            if isinstance(self._found[1], runtime.InstallError):
                raise self._found[1]
            return self._found

    def known(self):
        """What `current` has found, if it is sure to hold still; costs microseconds and never waits, unlike that."""
        found = self._found
        if found and all(tree.quiet(version) for tree, version in zip(self._trees, found[0][1], strict=True)):
            if isinstance(found[1], runtime.InstallError):
                raise found[1]
            return found
        return None

    def version(self):
        """Changes with every save of a file."""
        if not self._trees:
            self._trees = [tree(directory) for directory in (self.code, *self.layers, *self.unbuilt)]
        return tuple(tree.version() for tree in self._trees)

    def _path(self, name, say):
        path = [runtime.packages(self.code, name, say)]
        for layer in self.layers:
            path += [os.path.join(layer, "python", "lib", name, "site-packages"), os.path.join(layer, "python")]
        for layer in self.unbuilt:
            path += [layer, runtime.packages(layer, name, say)]
        return tuple(str(directory) for directory in path if directory)


def forget_bytecode(code):
    """Removes the __pycache__ below `code`: bytecode counts as current for a save of the same second and size."""
    for cache in Path(code).rglob("__pycache__"):
        shutil.rmtree(cache, ignore_errors=True)


def tree(directory):
    """The watch.Tree of the directory, one for all that ask."""
    with _lock:
        if directory not in _trees:
            _trees[directory] = Tree(directory)
        return _trees[directory]
