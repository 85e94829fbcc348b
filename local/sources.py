"""A function's code and what it may import, as they are at this moment: every save counts from the next request on."""

import contextlib
import os
import re
import shutil
import threading

from local import manifest, runtime
from local.watch import Tree, own

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
                    self._trees = [each for code in (self.code, *self.layers, *self.unbuilt) for each in trees(code)]
                    version = (name, self.version())
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
        trees = self._trees
        if found and len(trees) == len(found[0][1]) and all(map(Tree.quiet, trees, found[0][1])):
            if isinstance(found[1], runtime.InstallError):
                raise found[1]
            return found
        return None

    def version(self):
        """Changes with every save of a file."""
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
    for directory, below, _ in os.walk(code):
        if "__pycache__" in below:
            shutil.rmtree(os.path.join(directory, "__pycache__"), ignore_errors=True)
        below[:] = filter(own, below)


def trees(code):
    """One watch.Tree for `code`, and one for each thing elsewhere that its manifest installs or reads."""
    found = manifest.Manifest()
    with contextlib.suppress(runtime.InstallError):  # who installs says it
        found = manifest.read(code)
    away = [path for path in (*found.places, *found.files) if not path.absolute().is_relative_to(os.path.abspath(code))]
    return [
        tree(code),
        *(tree(path) if path.is_dir() else tree(path.parent, False, re.escape(path.name)) for path in away),
    ]


def version(code):
    """Changes with every save of a file that counts for the code."""
    return [tree.version() for tree in trees(code)]


def tree(directory, recursive=True, wanted=".*"):
    """The watch.Tree of these arguments, one for all that ask."""
    key = (str(directory), recursive, wanted)
    with _lock:
        if key not in _trees:
            _trees[key] = Tree(directory, recursive, wanted)
        return _trees[key]
