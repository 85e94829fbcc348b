"""./install.sh: installs the tools into .tools, and the function's Python and packages, pytest and boto3 into .venv.

Usage: python -m local.install [--tools]

Runs on any Python from 3.10, before anything is installed. Each folder is made beside the old one and takes its place
once it is complete; its file `installed` says what it was made from, in the form that install.sh compares.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from local import lock, manifest, pythons, uv
from local.terminal import say

TOOLS, VENV = Path(".tools"), Path(".venv")
LISTS = ("requirements.txt", "local/requirements.txt", "local/inside/requirements.txt")
TEMPLATE, CODE = Path("template.yaml"), Path("src")
# What else .venv gets, in this order; the function's own versions come first.
BESIDES = (Path("tests/requirements.txt"), Path("requirements.txt"))
COMMANDS = ("aws", "sam", "uv", "uvx")
AGAIN = "run ./install.sh again"


def main(arguments: list[str]) -> None:
    lenient = "--tools" in arguments
    with lock.held(Path.cwd()) as holding:
        _recover(TOOLS)
        _recover(VENV)
        try:
            install_tools(holding)
        except (uv.InstallError, OSError) as error:
            sys.exit(f"install.sh: could not install the tools: {error}{uv.advice(error, AGAIN)}")
        try:
            install_venv(holding, quiet=lenient)
        except (uv.InstallError, OSError) as error:
            line = f"install.sh: could not install packages into .venv: {error}{uv.advice(error, AGAIN)}"
            say(line) if lenient else sys.exit(line)


def install_tools(holding: int) -> None:
    """Makes a new .tools if a list of its packages has changed. Raises uv.InstallError or OSError."""
    made_from = "".join(manifest.text(Path(name)) for name in LISTS)
    if _made_from(TOOLS) == made_from:
        return
    with _replacing(TOOLS, "the tools") as new:
        installer = _installer(new, holding)
        uv.run(
            *(installer, "venv", "--no-project", "--relocatable", "--allow-existing"),
            *("--python", sys.executable, new),
            holding=holding,
        )
        # Both lists in one resolution, since SAM CLI's own requirements may restrict the versions in either.
        _pip_install(installer, new, holding, *(f"--requirements={name}" for name in LISTS[:2]))
        shutil.rmtree(new / "bootstrap", ignore_errors=True)
        # Whatever the shell says: without bytecode, every start of the tools takes more than a second longer.
        (site,) = new.glob("lib/python3.*/site-packages")
        (site / "bytecode.pth").write_text("import sys; sys.dont_write_bytecode = False\n")
        fetched = TOOLS / "lambda" / "pythons"
        if fetched.exists():
            (new / "lambda").mkdir()
            fetched.rename(new / "lambda" / "pythons")
        (new / "installed").write_text(made_from)


def install_venv(holding: int, quiet: bool) -> None:
    """Makes a new .venv if a list of its packages or the template's Python has changed or become available.

    `quiet`: does not mention a Python that only stands in. Raises uv.InstallError or OSError.
    """
    program = TOOLS / "bin" / "uv"
    declared = re.search(r"^.*Runtime[^A-Za-z0-9]*(python3\.[0-9]*)", _read(TEMPLATE), re.MULTILINE)
    # A parameter may name it, or all functions may be in other languages; then .venv keeps its Python.
    named = declared or re.search(r"(python3\.[0-9]+)", _read(TEMPLATE))
    kept = None if named else re.match(r"(python3\.[0-9]+)\n", _made_from(VENV) or "")
    first = declared or kept
    made_from = f"{first[1]}\n" if first else ""
    asked = manifest.read(CODE)
    whole = asked.files if asked.is_project else asked.files[:1]
    made_from += "".join(map(_read, (*whole, *BESIDES)))
    if asked.files != whole or asked.places or asked.moving:
        made_from += asked.key()
    if _made_from(VENV) == made_from and not (asked.moving and not quiet):
        return
    found = named or kept
    number = found[1].removeprefix("python") if found else "{}.{}".format(*sys.version_info)
    fetched = TOOLS.absolute() / "lambda" / "pythons"
    right = pythons.find_or_fetch(number, fetched, program, holding)
    if not right:
        made_from += f"\n# a stand-in for Python {number}\n"
    if right or _made_from(VENV) != made_from:
        with _replacing(VENV, "what the function and its tests import") as new:
            interpreter = right or pythons.nearest(number, fetched)
            options = ("--no-project", "--relocatable", "--prompt=.")
            uv.run(program, "venv", *options, "--python", interpreter, new, holding=holding)
            _fill_venv(program, new, asked, holding)
            (new / "installed").write_text(made_from)
    if not right and not quiet:
        say(
            f"==> Python {number} is not on this machine and could not be fetched; "
            f".venv has Python {pythons.version(VENV)}"
        )


def _fill_venv(program: Path, new: Path, asked: manifest.Manifest, holding: int) -> None:
    if asked.file:
        python = os.path.abspath(new / "bin" / "python")
        manifest.install(asked, os.path.abspath(program), python, f"--python={python}", holding=holding)
    frozen = uv.run(program, "pip", "freeze", f"--python={new}", holding=holding)
    own = [line for line in frozen.splitlines() if "==" in line]
    chosen = new / "own.txt"
    chosen.write_text("\n".join(own))
    besides = [f"--constraints={chosen}"] + [f"--requirements={BESIDES[0]}"] * BESIDES[0].exists()
    pinned = dict(re.findall(r"^((?:boto3|pytest)\b)(.*)$", _read(BESIDES[1]), re.MULTILINE))
    pinned = {name: pin for name, pin in pinned.items() if not any(line.startswith(f"{name}==") for line in own)}
    if pinned or len(besides) > 1:
        try:
            _pip_install(program, new, holding, *besides, *(name + pin for name, pin in pinned.items()))
        except uv.InstallError:  # the function needs a version of a package that conflicts with these
            _pip_install(program, new, holding, *besides, *pinned)
    chosen.unlink()
    for command in COMMANDS:
        link = new / "bin" / command
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.join("..", "..", TOOLS, "bin", command))


def _installer(new: Path, holding: int) -> Path | str:
    """A uv that can do what is needed: that of the old tools, the machine's, or else the pinned one from PyPI."""
    for program in (str(TOOLS / "bin" / "uv"), "uv"):
        with contextlib.suppress(OSError, uv.InstallError):
            uv.run(program, "venv", "--relocatable", "--help", holding=holding)
            return program
    bootstrap = new / "bootstrap"
    pip, place = [sys.executable, "-m", "pip"], [f"--target={bootstrap}"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:  # as on Debian
        if subprocess.run([sys.executable, "-m", "venv", bootstrap], capture_output=True, check=False).returncode:
            raise uv.InstallError(
                f"{sys.executable} has neither pip nor a working venv module; "
                "on Debian or Ubuntu: sudo apt install python3-venv"
            )
        pip, place = [str(bootstrap / "bin" / "pip")], []
    (pin,) = re.findall(r"^uv==.*$", _read(Path("requirements.txt")), re.MULTILINE)
    done = subprocess.run(
        [*pip, "install", "--quiet", "--disable-pip-version-check", *place, pin],
        env={**os.environ, "PIP_USER": "0", "PIP_ROOT_USER_ACTION": "ignore"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        pass_fds=[holding],
        check=False,
    )
    if done.returncode:
        raise uv.InstallError(f"could not download uv: {uv.reason(done.stderr)}")
    return bootstrap / "bin" / "uv"


@contextlib.contextmanager
def _replacing(target: Path, what: str) -> Iterator[Path]:
    """Yields the path of what will replace `target`, which stays as it is if this fails."""
    say(f"==> Installing {what} into {target}")
    new, old = _beside(target)
    with _seconds():
        try:
            yield new
            if os.path.lexists(target):
                target.rename(old)
            new.rename(target)
            _remove(old)
        finally:
            _remove(new)


def _recover(target: Path) -> None:
    """Removes what an interrupted installation has left, and undoes a half-finished replacement."""
    new, old = _beside(target)
    if not os.path.lexists(target) and os.path.lexists(old):
        old.rename(target)
    for left in (new, old):
        _remove(left)


def _beside(target: Path) -> tuple[Path, Path]:
    return target.with_name(f"{target}.new"), target.with_name(f"{target}.old")


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _seconds() -> Iterator[None]:
    """Meanwhile counts the seconds on a terminal; the next line overwrites them."""
    done = threading.Event()

    def count() -> None:
        started = time.monotonic()
        while not done.wait(1):
            print(f"\r{time.monotonic() - started:3.0f} s\r", end="", file=sys.stderr, flush=True)

    if sys.stderr.isatty():
        threading.Thread(target=count, daemon=True).start()
    yield
    done.set()


def _pip_install(program: Path | str, environment: Path, holding: int, *arguments: str) -> None:
    uv.run(program, "pip", "install", f"--python={environment / 'bin' / 'python'}", *arguments, holding=holding)


def _made_from(environment: Path) -> str | None:
    """What the environment was made from; None if it is incomplete or its Python is gone."""
    return _read(environment / "installed") if (environment / "bin" / "python").exists() else None


def _read(file: Path) -> str:
    return manifest.text(file) if file.exists() else ""


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
