"""Makes semaphores and shared memory (multiprocessing's Queue, Pool, Lock) fail, as on Lambda without /dev/shm.

https://aws.amazon.com/blogs/compute/parallel-processing-in-python-with-aws-lambda/
"""

import errno
import os
import sys


def forbid():
    """Makes both fail in this process; the first attempt prints a line that says why."""
    try:
        import _multiprocessing
        import _posixshmem
    except ImportError:  # a system that has none
        return
    said = []

    def fail(*_, **__):
        if not said:
            said.append(True)
            line = (
                "multiprocessing: Lambda has no /dev/shm, so no Queue, Pool or Lock; use Process and Pipe, or threads"
            )
            print(line, file=sys.stderr, flush=True)
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    _multiprocessing.SemLock = type("SemLock", (_multiprocessing.SemLock,), {"__new__": fail})
    _posixshmem.shm_open = fail
