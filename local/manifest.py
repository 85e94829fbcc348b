"""The packages that a function needs besides Lambda's own: its requirements.txt, or else its pyproject.toml.

A relative path in requirements.txt starts from the project's folder, where `sam build` runs uv, since for pip it starts
from the current directory; after -r and -c, and in pyproject.toml, it starts from the file that names it.
https://pip.pypa.io/en/stable/reference/requirements-file-format/

Runs on a bare Python 3.10.
"""

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from local import uv
from local.uv import InstallError

_PROJECT = Path(__file__).parents[1]
_NESTED = re.compile(r"(?:-r|-c|--requirement|--constraint)[ =]?\s*(.+)")
_ARCHIVES = (".whl", ".tar.gz", ".zip")
# The digests of the directories as uv last built them.
_BUILT = _PROJECT / ".tools" / "lambda" / "built"
# What tools leave behind in the directory of a package.
_LEFT = re.compile(r"__pycache__|\..*|.*\.egg-info")


@dataclass
class Manifest:
    """`file` is what to install from, None if there is nothing to install.

    `lines` are the significant lines of it and of the files that it names; `files` are all these files. `places` are
    the directories and archives on this machine that it installs, `moving` says whether it names a branch in git.
    """

    file: Path | None = None
    lines: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    places: list[Path] = field(default_factory=list)
    moving: bool = False

    @property
    def is_project(self) -> bool:
        return bool(self.file and self.file.name == "pyproject.toml")

    @property
    def is_built(self) -> bool:
        """Whether it names sources that have to be built, whatever wheels there are for Lambda's platform."""
        return bool(self.places) or any(re.search(r"\bgit(\+|\s*=)", line) for line in self.lines)

    def key(self) -> str:
        """Changes with everything on this machine that is installed."""
        return "\n".join([*self.lines, *map(_digest, self.places)])

    def freshen(self) -> None:
        """Makes uv build what has changed, since uv itself looks only at the times of a few files.

        https://docs.astral.sh/uv/concepts/cache/#dependency-caching
        """
        for place in self.places:
            known, digest = _BUILT / hashlib.sha256(bytes(place)).hexdigest()[:16], _digest(place)
            if known.exists() and known.read_text() == digest:
                continue
            for name in ("pyproject.toml", "setup.py", "setup.cfg"):
                with contextlib.suppress(OSError):
                    status = os.stat(place / name)
                    os.utime(place / name, ns=(status.st_atime_ns, status.st_mtime_ns))
            known.parent.mkdir(parents=True, exist_ok=True)
            known.write_text(digest)


def read(code: Path | str) -> Manifest:
    """Reads the manifest of a function's directory. Raises InstallError for a file that cannot be read."""
    directory = Path(code)
    if directory.resolve() == _PROJECT.resolve():  # the requirements there are the tools'
        return Manifest()
    file = directory / "requirements.txt"
    found = Manifest(file)
    try:
        if os.path.lexists(file) or not os.path.exists(file := directory / "pyproject.toml"):
            _gather(directory / "requirements.txt", found)
        else:
            found.file = file
            for each in filter(Path.exists, (file, directory / "uv.lock")):
                found.files.append(each)
                found.lines += text(each).splitlines()
            paths = re.findall(r"""\bpath\s*=\s*["']([^"']+)["']""", text(file))
            found.places = [Path(os.path.abspath(directory / path)) for path in paths]
            found.moving = len(found.files) == 1 and any(map(_moves, found.lines))
    except (OSError, RecursionError) as error:
        raise InstallError(f"cannot read {file}: {error}") from None
    if not found.lines:
        found.file = None
    return found


def install(found: Manifest, program: Path | str, python: Path | str, *options: str, holding: int) -> None:
    """Runs `uv pip install OPTIONS` with it; paths among the options are absolute. Raises InstallError.

    A pyproject.toml is treated as by `sam build`: uv exports the versions that it locks, without those for development.
    """
    assert found.file
    found.freshen()
    if not found.is_project:
        uv.run(program, "pip", "install", *options, f"--requirements={found.file}", holding=holding)
        return
    there = os.path.abspath(found.file.parent)
    lock = found.file.parent / "uv.lock"
    locked = lock.exists()
    what = ("--no-emit-project", "--no-hashes", "--no-default-groups")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as exported:
        try:
            form = "--format=requirements.txt"
            exported.write(
                uv.run(program, "export", form, *what, f"--python={python}", holding=holding, UV_WORKING_DIR=there)
            )
            exported.flush()
        finally:
            if not locked:
                lock.unlink(missing_ok=True)
        uv.run(
            program,
            "pip",
            "install",
            *options,
            f"--requirements={exported.name}",
            holding=holding,
            UV_WORKING_DIR=there,
        )


def text(file: Path) -> str:
    """The text of a UTF-8 file. Raises InstallError for any other encoding, and OSError."""
    name = os.path.relpath(file)
    if not file.is_file():  # reading a FIFO would block for ever
        raise InstallError(f"{name} is not a file")
    data = file.read_bytes()
    try:
        if b"\0" not in data:
            return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    found = "UTF-16" if b"\0" in data else "LATIN1"
    raise InstallError(f"{name} is not UTF-8; convert it: iconv -f {found} -t UTF-8 {name} >new && mv new {name}")


def _gather(file: Path, found: Manifest) -> None:
    found.files.append(file)
    if not os.path.lexists(file):
        return
    whole = re.sub(r"\\\r?\n", " ", text(file))
    for line in filter(None, (re.sub(r"(^|\s)#.*", "", line).strip() for line in whole.splitlines())):
        found.lines.append(line)
        if (named := _NESTED.match(line)) and "://" not in line:
            _gather(file.parent / named[1].strip("\"' "), found)
        elif place := _place(line):
            found.places.append(place)
        found.moving |= _moves(line)


def _moves(line: str) -> bool:
    """Whether git may give another commit for it tomorrow: it names neither a commit nor what looks like a version."""
    if re.search(r"\bgit\s*=", line):  # in pyproject.toml
        return not re.search(r"\b(rev|tag)\s*=", line)
    found = re.search(r"git\+[^\s#]+", line)
    return found is not None and not re.fullmatch(
        r"[0-9a-f]{7,40}|v?\d[\w.]*", found[0].rpartition("/")[2].partition("@")[2]
    )


def _place(line: str) -> Path | None:
    """The directory or archive that a requirement is installed from: ./lib[extra] ; marker, name @ file:///lib."""
    line = re.sub(r"^(?:-e|--editable|-f|--find-links)[ =]\s*", "", line)
    line = re.split(r"\s*;|\s+--", line)[0]
    line = re.sub(r"^[\w.-]+\s*(?:\[[^]]*])?\s*@\s*", "", line)
    line = re.sub(r"\$\{(\w+)}", lambda name: os.environ.get(name[1], "." if name[1] == "PROJECT_ROOT" else ""), line)
    path = re.sub(r"^file:(?://(?:localhost)?(?=/))?", "", line)
    named = line.startswith(("file:", ".", "/"))
    line = re.sub(r"(?:#.*|\[[^]]*])+$", "", line if path == line else unquote(path))
    if named or (("/" in line or line.endswith(_ARCHIVES)) and os.path.exists(line)):
        return Path(os.path.abspath(line))
    return None


def _digest(place: Path) -> str:
    found = hashlib.sha256()
    for file in [place] if place.is_file() else _sources(place):
        found.update(f"{file.relative_to(place)}\0{file.stat().st_size}\0".encode(errors="surrogateescape"))
        found.update(file.read_bytes())
    return found.hexdigest()


def _sources(place: Path) -> Iterator[Path]:
    for directory, below, files in os.walk(place):
        below[:] = sorted(name for name in below if not _LEFT.fullmatch(name))
        if Path(directory) == place and "build" in below:
            below.remove("build")
        yield from (file for name in sorted(files) if (file := Path(directory, name)).is_file())
