"""The Python that a function runs on, and what it may import: what Lambda has, and src/requirements.txt.

Everything is in .tools/lambda, separate from the tools' own packages: a function that imports something that is only
installed for SAM CLI or for its tests fails here as on Lambda.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from local import lock, manifest, pythons, uv
from local.terminal import say
from local.uv import InstallError

_HERE = Path(__file__).parent
_TOOLS = _HERE.parent / ".tools"
_UV = _TOOLS / "bin" / "uv"
_HOME = _TOOLS / "lambda"
PYTHONS = _HOME / "pythons"
_INSIDE = _HERE / "inside" / "requirements.txt"

# On Lambda, Python 3.12 and newer run on Amazon Linux 2023 with glibc 2.34, older ones on Amazon Linux 2 with glibc
# 2.26. https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
_PLATFORMS = {"x86_64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
_OLD_PLATFORMS = {"x86_64": "x86_64-manylinux2014", "arm64": "aarch64-manylinux2014"}
_WHEELS = "--only-binary=:all:"

_environments: dict[str, Path] = {}  # by runtime, those of this process
_current: set[Path] = set()  # what this process has installed or found current
_latest: dict[tuple[str, str | None], list[Path]] = {}  # of each function that uses packages on this machine
_KEPT = 2  # a request may still use the previous one
_looking = threading.Lock()


def python(runtime: str) -> Path:
    """The interpreter for a runtime such as "python3.13", with the packages that Lambda provides.

    The first call makes it from a Python of that version, on this machine or fetched. If there is none, it takes the
    nearest version, and every process looks for the right one again. Announces steps that take time. Raises
    InstallError.
    """
    with _looking:
        if runtime not in _environments:
            right, fallback = _HOME / runtime, _HOME / f"{runtime}-fallback"
            number = runtime.removeprefix("python")
            if not _works(right):
                with _locked() as holding:
                    found = pythons.find_or_fetch(number, PYTHONS, _UV, holding)
                if found:
                    _make_environment(right, found)
                elif not _works(fallback):
                    _make_environment(fallback, pythons.nearest(number, PYTHONS))
            _environments[runtime] = right if _works(right) else fallback
        return _environments[runtime] / "bin" / "python"


def version(runtime: str) -> str:
    """The version, such as "3.13.1", of the runtime's interpreter, once `python` has made it."""
    return pythons.version(_environments[runtime])


def packages(code: Path | str, runtime: str, architecture: str | None = None) -> Path | None:
    """The directory with what the manifest of `code` lists, or None if it lists nothing.

    Wheels are for this machine and the runtime's interpreter here; with an `architecture` ("x86_64", "arm64") they are
    for Lambda's, as a container needs. Raises InstallError with the installer's reason.
    """
    found = manifest.read(code)
    if not (file := found.file):
        return None

    def fill(new: Path, target: list[str], holding: int) -> None:
        say(f"==> Installing {os.path.relpath(file)}")
        if found.is_built:
            target = [option for option in target if option != _WHEELS]
        interpreter = python(runtime) if found.is_project else ""
        manifest.install(found, _UV, interpreter, *target, f"--target={new}", holding=holding)

    home = _installed(found.key(), fill, runtime, architecture, found.moving)
    if found.places:  # each edit of them makes a new directory
        latest = _latest.setdefault((str(code), architecture), [])
        latest[:] = [*(each for each in latest if each != home), home]
        for old in latest[:-_KEPT]:
            latest.remove(old)
            shutil.rmtree(old, ignore_errors=True)
    return home


def tool(requirement: str, runtime: str, architecture: str | None = None) -> Path:
    """The directory with a package that is needed only now and then, such as "debugpy==1.8.22"; see packages."""

    def fill(new: Path, target: list[str], holding: int) -> None:
        say(f"==> Installing {requirement}")
        uv.run(_UV, "pip", "install", *target, f"--target={new}", requirement, holding=holding)

    return _installed(requirement, fill, runtime, architecture)


def _works(environment: Path) -> bool:
    return (environment / "bin" / "python").exists()  # the Python behind the link may have been removed


def _make_environment(home: Path, interpreter: Path) -> None:
    def fill(new: Path, holding: int) -> None:
        say("==> Installing the packages of Lambda's Python runtime")
        uv.run(_UV, "venv", "--no-project", "--allow-existing", "--python", interpreter, new, holding=holding)
        lists = ("--compile-bytecode", f"--requirements={_INSIDE}")
        uv.run(_UV, "pip", "install", f"--python={new}", *lists, holding=holding)

    _make(home, _works, fill)


def _installed(
    text: str,
    fill: Callable[[Path, list[str], int], None],
    runtime: str,
    architecture: str | None,
    moving: bool = False,
) -> Path:
    """The directory that `fill` has filled for the text; if git may have moved on, each process fills it again."""
    number = runtime.removeprefix("python")
    if architecture:
        new_enough = tuple(map(int, number.split("."))) >= (3, 12)
        platform = (_PLATFORMS if new_enough else _OLD_PLATFORMS)[architecture]
        wheels = [f"--python-version={number}", f"--python-platform={platform}", _WHEELS]
        target = [f"--python={_TOOLS}", *wheels]
    else:
        target = [f"--python={python(runtime)}", "--compile-bytecode"]
        wheels = [version(runtime)]
    home = _HOME / "packages" / hashlib.sha256("\n".join([text, *wheels]).encode()).hexdigest()[:16]

    def made(home: Path) -> bool:
        return home.exists() and (not moving or home in _current)

    def filled(new: Path, holding: int) -> None:
        try:
            fill(new, target, holding)
        except InstallError as error:
            raise InstallError(f"{error}{uv.advice(error, 'save a file of the function')}") from None

    if not made(home):
        try:
            _make(home, made, filled)
        except InstallError as error:
            if not home.exists():
                raise
            say(f"the newest commit could not be installed, so an older one is used: {error}")
        _current.add(home)
    return home


def _make(home: Path, made: Callable[[Path], bool], fill: Callable[[Path, int], None]) -> None:
    """Fills a new directory and puts it in place whole: an interruption leaves nothing that a later start would use."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with _locked() as holding:
        if made(home):  # by the process that held the lock
            return
        for interrupted in home.parent.glob(".new-*"):
            shutil.rmtree(interrupted, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=home.parent))
        try:
            fill(new, holding)
            new.chmod(0o755)
            shutil.rmtree(home, ignore_errors=True)
            new.rename(home)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _locked() -> contextlib.AbstractContextManager[int]:
    return lock.held(_HOME.resolve().parents[1])
