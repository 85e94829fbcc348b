"""The Pythons of this machine: on PATH, installed by a version manager, or fetched."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from local import uv as _uv
from local.terminal import say

OLDEST = (3, 10)
_FETCH_S = 60
_FETCH_AGAIN_S = 3600
_QUERY_S = 10
_THIS = Path(getattr(sys, "_base_executable", sys.executable))
_QUERY = """
import sys
print(sys.implementation.name + sys.abiflags, "%d.%d" % sys.version_info[:2], getattr(sys, "_base_executable", ""))
"""


def find(number: str, fetched: Path) -> Path | None:
    """A working interpreter of the version ("3.13"), or None. `fetched` is the directory of fetched ones."""
    if number == "{}.{}".format(*sys.version_info):
        return _THIS
    for directory in _directories(fetched):
        if interpreter := _interpreter(directory / f"python{number}", number):
            return interpreter
    return None


def find_or_fetch(number: str, fetched: Path, uv: Path, holding: int) -> Path | None:
    """Like `find`, but fetches a missing version; after a failure, does not try again within an hour."""
    if found := find(number, fetched):
        return found
    failed = fetched / f".failed-{number}"
    # A clock that was set back must not prolong the wait.
    if failed.exists() and 0 <= time.time() - failed.stat().st_mtime < _FETCH_AGAIN_S:
        return None
    say(f"==> Fetching Python {number}, the Runtime of template.yaml")
    fetched.mkdir(parents=True, exist_ok=True)
    try:
        place = {"UV_PYTHON_INSTALL_DIR": str(fetched.resolve())}
        _uv.run(uv, "python", "install", "--no-bin", number, holding=holding, timeout=_FETCH_S, **place)
    except _uv.InstallError:
        failed.touch()
    return find(number, fetched)


def nearest(number: str, fetched: Path) -> Path:
    """The interpreter whose version is nearest to the missing one; of two equally near, the newer."""
    names = {path.name for directory in _directories(fetched) for path in directory.glob("python3.*")}
    minors = {int(found[1]) for name in names if (found := re.fullmatch(r"python3\.(\d+)", name))}
    wanted = int(number.split(".")[1])
    for minor in sorted(minors, key=lambda minor: (abs(minor - wanted), -minor)):
        if (3, minor) >= OLDEST and (interpreter := find(f"3.{minor}", fetched)):
            return interpreter
    return _THIS


def version(environment: Path) -> str:
    """The version, such as "3.13.1", of a virtual environment's Python."""
    found = re.search(r"^version\w* = (\S+)", (environment / "pyvenv.cfg").read_text(), re.MULTILINE)
    assert found, f"{environment} has no pyvenv.cfg of a virtual environment"
    return found[1]


def _interpreter(path: Path, number: str) -> Path | None:
    """The real interpreter behind a path, which may be a shim or in a virtual environment; None for another version."""
    if not os.access(path, os.X_OK):
        return None
    try:
        asked = ("-I", "-S", "-c", _QUERY)
        done = subprocess.run([path, *asked], capture_output=True, text=True, timeout=_QUERY_S, check=True)
        kind, found, base = done.stdout.strip().split(" ", 2)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    # ABI flags mean a debug or free-threaded build, for which there are no wheels for Lambda.
    return Path(base or path) if (kind, found) == ("cpython", number) else None


def _directories(fetched: Path) -> Iterator[Path]:
    """The directories that may hold interpreters, the likeliest first."""
    on_path = [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry]
    yield from _newest_first(fetched.glob("cpython-*/bin"))
    # A shim runs the version chosen for a directory, and fails slowly for all others.
    yield from (directory for directory in on_path if directory.name != "shims")
    for place, pattern in _managed(on_path):
        yield from _newest_first(place.glob(pattern))


def _managed(on_path: list[Path]) -> Iterator[tuple[Path, str]]:
    """Yields (directory, pattern of what is below it) for every version manager: uv, pyenv, asdf, mise and conda."""
    home = Path(os.path.expanduser("~"))
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")

    def named(variable: str, default: Path) -> Path:
        return Path(os.environ.get(variable) or default)

    yield named("UV_PYTHON_INSTALL_DIR", data / "uv/python"), "cpython-*/bin"
    yield named("PYENV_ROOT", home / ".pyenv"), "versions/*/bin"
    for root in (named("ASDF_DATA_DIR", home / ".asdf"), named("MISE_DATA_DIR", data / "mise")):
        yield root, "installs/python/*/bin"
    for shims in on_path:  # a manager installed elsewhere
        if shims.name == "shims":
            yield shims.parent, "versions/*/bin"
            yield shims.parent, "installs/python/*/bin"
    roots = [home / name for name in ("miniconda3", "miniforge3", "mambaforge", "anaconda3", ".conda", "micromamba")]
    roots += [Path("/opt/conda"), Path("/opt/miniconda3")]
    roots += [Path(os.environ[name]) for name in ("CONDA_PREFIX", "MAMBA_ROOT_PREFIX") if os.environ.get(name)]
    for root in roots:
        yield root, "bin"
        yield root, "envs/*/bin"


def _newest_first(paths: Iterator[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: [int(part) for part in re.findall(r"\d+", path.parent.name)], reverse=True)
