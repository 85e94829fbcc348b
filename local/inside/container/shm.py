"""Semaphores and shared memory fail as on Lambda, which has no /dev/shm: no Queue, Pool or Lock of multiprocessing.

https://aws.amazon.com/blogs/compute/parallel-processing-in-python-with-aws-lambda/
"""

import errno
import os
import sys


def forbid():
    """Lets this process have neither; the first attempt is explained in a line."""
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
