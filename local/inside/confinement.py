"""Makes an execution environment's file system as on Lambda: code and layers are read-only, /tmp is its own.

Where the system allows it (Linux, as root or if anybody may create user namespaces), this is done with mounts that only
the environment has and that end with its last process. Elsewhere an audit hook makes Python refuse such changes.

Usage: python confinement.py; exits with 0 if mounts are allowed.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

import errno
import os
import struct
import sys

_TMP = "/tmp"

# linux/sched.h, linux/mount.h and linux/capability.h
_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000
_READ_ONLY, _REMOUNT, _BIND, _WITH_THOSE_BELOW, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
_LOCKED = os.ST_NOSUID | getattr(os, "ST_NODEV", 0) | getattr(os, "ST_NOEXEC", 0)
_CAPABILITIES = 0x20080522

# The index of the changed path among the arguments of each event.
# https://docs.python.org/3/library/audit_events.html
_CHANGED = {
    **dict.fromkeys(("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.chown", "os.utime"), (0,)),
    **dict.fromkeys(("os.link", "os.symlink"), (1,)),
    "os.rename": (0, 1),
}


def mount(read_only, needed, storage):
    """Makes the directories read-only, and /tmp empty except for what leads to the `needed` directories.

    `storage` is the size of /tmp, in megabytes. Raises OSError, and ImportError for a Python without ctypes; after
    either, the process cannot run a function any more.
    """
    directory, above = os.getcwd(), os.path.realpath(_TMP) + "/"
    user, group = os.geteuid(), os.getegid()
    as_root = user == 0 and not _call("unshare", _NEW_MOUNTS)
    if not as_root:
        _require(_call("unshare", _NEW_MOUNTS | _NEW_USER))
        # user_namespaces(7): maps its own user and group, and no others.
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    _mount(None, "/", _WITH_THOSE_BELOW | _PRIVATE)
    for place in read_only:
        _mount(place, place, _BIND | _WITH_THOSE_BELOW)
        _mount(None, place, _BIND | _REMOUNT | _READ_ONLY | (os.statvfs(place).f_flag & _LOCKED))
    needed = {os.path.realpath(place) for place in (*read_only, *needed)}
    tops = {place[len(above) :].split("/")[0] for place in needed if place.startswith(above)}
    kept = {name: os.open(above + name, os.O_PATH | os.O_CLOEXEC) for name in tops}
    _mount("tmpfs", _TMP, 0, "tmpfs", f"mode=1777,size={storage}m".encode())
    for name, descriptor in kept.items():
        os.mkdir(above + name)
        _mount(f"/proc/self/fd/{descriptor}", above + name, _BIND | _WITH_THOSE_BELOW)
        os.close(descriptor)
    if not as_root:  # it does not get root's rights in there
        _require(_call("capset", struct.pack("=Ii", _CAPABILITIES, 0), bytes(24)))
    os.chdir(directory)


def refuse(read_only):
    """Makes Python refuse changes below the directories, and say once that /tmp is not as on Lambda."""
    places = tuple(os.path.join(os.path.realpath(place), "") for place in read_only)
    tmp, said = os.path.realpath(_TMP) + "/", []

    def check(path, flags=0):
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        real = os.path.realpath(os.fsdecode(path))
        if f"{real}/".startswith(places):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        if real.startswith(tmp) and not said and not flags & os.O_EXCL:  # O_EXCL: the name is new
            said.append(real)
            line = f"{real}: /tmp is this machine's, and shared; on Lambda every environment has its own"
            print(line, file=sys.stderr, flush=True)

    def hook(event, arguments):
        if event == "open":
            path, mode, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) and (mode or os.path.isabs(path)):
                check(path, flags)
        elif event in _CHANGED:
            if event == "os.truncate" or arguments[-1] == -1:  # else a path is relative to another directory
                for index in _CHANGED[event]:
                    check(arguments[index], os.O_EXCL)
        elif event == "sqlite3.connect":
            path = os.fsdecode(arguments[0])
            if not path.startswith((":", "file:")) and not os.path.exists(path):
                check(path)

    sys.addaudithook(hook)


def _mount(source, target, flags, kind=None, options=None):
    words = [word and os.fsencode(word) for word in (source, target, kind)]
    _require(_call("mount", *words, flags, options))


def _call(name, *arguments):
    """Calls a function of the C library, without ctypes itself: its import takes as long as everything else."""
    import _ctypes

    return _ctypes.call_function(_ctypes.dlsym(_ctypes.dlopen(None, 0), name), arguments)


def _require(failed):
    if failed:
        raise OSError("not permitted")


if __name__ == "__main__":
    try:
        mount([os.path.dirname(os.path.realpath(__file__))], [], 1)
    except (ImportError, OSError):
        sys.exit(1)
