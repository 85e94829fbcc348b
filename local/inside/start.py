"""Runs bootstrap.py with its arguments: Python compiles a script at every start, but not a module."""

import os
import sys

if __name__ == "__main__":  # a process that the function spawns imports this file
    # A function's own PYTHONDONTWRITEBYTECODE is not meant for these.
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    import bootstrap
    import confinement  # noqa: F401
    import lifeline  # noqa: F401
    from container import shm  # noqa: F401

    sys.dont_write_bytecode = writes
    handler, connection, line, storage, read_only = sys.argv[1:]
    bootstrap.main(handler, int(connection), int(line), int(storage), read_only.split(os.pathsep))
