"""The Python that a function runs on, and what it may import: what Lambda has, and src/requirements.txt.

Everything lies in .venv/lambda, apart from the tools' own packages: a function that imports something which is only
installed for SAM CLI fails here as it would on Lambda.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_HERE = Path(__file__).parent
_HOME = Path(sys.prefix) / "lambda"
_UV = Path(sys.prefix) / "bin" / "uv"
_FETCH_S = 60
_OLDEST = (3, 10)

# Lambda's operating system for Python 3.12 and newer is Amazon Linux 2023 with glibc 2.34; before, Amazon Linux 2 with
# glibc 2.26. https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
_PLATFORMS = {"x86_64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
_OLD_PLATFORMS = {"x86_64": "x86_64-manylinux2014", "arm64": "aarch64-manylinux2014"}


class InstallError(Exception):
    """Something that the function needs could not be installed; the text is the installer's reason."""


def python(runtime, say):
    """The interpreter (a Path) for a runtime such as "python3.13", with what Lambda has installed beside it.

    The first call makes it, from a Python that uv finds or fetches; when there is none of that version, from the
    nearest one. `say` is given a line about each step that takes time. Raises InstallError.
    """
    home = _HOME / runtime
    interpreter = home / "bin" / "python"
    if not interpreter.exists():
        _make(home, lambda new: _create(new, runtime.removeprefix("python"), say))
    return interpreter


def version(runtime):
    """The version, such as "3.13.1", of the interpreter that stands for the runtime."""
    return re.search(r"^version\w* = (\S+)", (_HOME / runtime / "pyvenv.cfg").read_text(), re.MULTILINE)[1]


def packages(code, runtime, say, architecture=None):
    """The directory (a Path) with what `code`/requirements.txt lists, or None when it lists nothing.

    Wheels are for this machine and the interpreter that stands for the runtime; with an `architecture` ("x86_64",
    "arm64") they are for Lambda's, as a container needs them. Raises InstallError with the installer's reason.
    """
    requirements = Path(code) / "requirements.txt"
    text = _read(requirements)
    return _installed(text, f"--requirements={requirements}", runtime, say, architecture) if text else None


def tool(requirement, runtime, say, architecture=None):
    """The directory (a Path) with a package that only some starts need, such as "debugpy==1.8.22"; see packages."""
    return _installed(requirement, requirement, runtime, say, architecture)


def _installed(text, what, runtime, say, architecture):
    target = [f"--python={_HOME / runtime / 'bin' / 'python'}", "--compile-bytecode"]
    if architecture:
        number = runtime.removeprefix("python")
        platform = (_PLATFORMS if _number(number) >= (3, 12) else _OLD_PLATFORMS)[architecture]
        target = [f"--python-version={number}", f"--python-platform={platform}", "--only-binary=:all:"]
    key = hashlib.sha256("\n".join([text, *target]).encode()).hexdigest()[:16]
    home = _HOME / "packages" / key
    if not home.exists():
        say(f"==> Installing {os.path.relpath(what.removeprefix('--requirements=')) if what[0] == '-' else what}")
        _make(home, lambda new: _pip_install(*target, f"--target={new}", what))
    return home


def _create(new, number, say):
    venv = ["venv", "--no-project", new]
    if not _try(*venv, f"--python={number}", "--no-python-downloads"):
        say(f"==> Fetching Python {number}, which template.yaml asks for")
        if not _try(*venv, f"--python={number}", "--managed-python"):
            _uv(*venv, f"--python={_nearest(number)}")
    say("==> Installing what Lambda's Python runtime has")
    _pip_install("--compile-bytecode", f"--python={new}", f"--requirements={_HERE / 'requirements.txt'}")


def _nearest(number):
    listed = json.loads(_uv("python", "list", "--only-installed", "--output-format=json"))
    wanted = _number(number)
    found = {
        _number(entry["version"]): entry["path"] for entry in reversed(listed) if entry["implementation"] == "cpython"
    }
    usable = [candidate for candidate in found if candidate >= _OLDEST] or [sys.version_info[:2]]
    nearest = min(usable, key=lambda candidate: (abs(candidate[1] - wanted[1]), -candidate[1]))
    return found.get(nearest, sys.executable)


def _number(text):
    return tuple(int(part) for part in text.split(".")[:2])


def _read(requirements):
    """The text of the file and of those that it names with -r or -c, without comments and empty lines."""
    try:
        lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in requirements.read_text().splitlines()]
    except FileNotFoundError:
        return ""
    lines = [line for line in lines if line]
    for line in lines[:]:
        if named := re.match(r"(?:-r|-c|--requirement|--constraint)[ =]?(.+)", line):
            lines.append(_read(requirements.parent / named[1].strip()))
    return "\n".join(lines)


def _make(home, fill):
    """Fills a new directory and puts it in place whole: an interruption leaves nothing that a later start trusts."""
    home.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=home.parent))
    try:
        fill(new)
        new.chmod(0o755)
        new.rename(home)
    except OSError:
        if not home.exists():
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _try(*arguments):
    try:
        _uv(*arguments, timeout=_FETCH_S)
    except InstallError:
        return False
    return True


def _pip_install(*arguments):
    _uv("pip", "install", "--quiet", *arguments)


def _uv(*arguments, timeout=None):
    own = {"UV_PYTHON_INSTALL_DIR": str(_HOME / "pythons"), "UV_HTTP_RETRIES": "1"}
    try:
        done = subprocess.run(
            [_UV, *arguments], env={**os.environ, **own}, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise InstallError(f"uv {arguments[0]} did not end within {timeout} s") from None
    if done.returncode:
        raise InstallError(done.stderr.strip())
    return done.stdout
