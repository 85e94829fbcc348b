"""Allows one installation at a time in a folder, whichever script runs it."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from local.terminal import say


@contextlib.contextmanager
def held(folder: Path) -> Iterator[int]:
    """Waits, and says so, while another process installs. Yields a file descriptor for children to inherit.

    The system frees the lock when the last process with the descriptor ends: after a kill -9, the next installation
    waits for what the killed one started. The folder itself is locked, so that no lock file is left behind.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("==> Waiting for another installation in this folder to finish")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield descriptor
    finally:
        os.close(descriptor)
