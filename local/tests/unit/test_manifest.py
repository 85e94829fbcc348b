"""What is read of requirements.txt and pyproject.toml."""

import os
from pathlib import Path

import pytest

from local import manifest
from local.uv import InstallError

# https://pip.pypa.io/en/stable/reference/requirements-file-format/
# https://pip.pypa.io/en/stable/reference/requirement-specifiers/
PLACES = {
    "./lib": "lib",
    "./src/vendor/lib": "src/vendor/lib",
    "../shared": "../shared",
    ".": ".",
    "lib/": "lib",
    "./lib[fast,small]": "lib",
    "./lib ; python_version > '3.9'": "lib",
    "./lib # by hand": "lib",
    "-e ./lib": "lib",
    "--editable=./lib": "lib",
    "file:lib": "lib",
    "file:./lib#egg=lib": "lib",
    "file:///srv/my%20lib": "/srv/my lib",
    "file://localhost/srv/lib": "/srv/lib",
    "lib @ file:///srv/lib": "/srv/lib",
    "lib[fast] @ file:///srv/lib ; python_version > '3.9'": "/srv/lib",
    "lib @ ${PROJECT_ROOT}/lib": "lib",
    "file://${PWD}/lib": "lib",
    "./wheels/lib-1.0-py3-none-any.whl --hash=sha256:00": "wheels/lib-1.0-py3-none-any.whl",
    "--find-links=./wheels": "wheels",
    "-f ./wheels": "wheels",
    "./not-there-yet": "not-there-yet",
    "lib": None,
    "lib==1.0 ; sys_platform == 'linux'": None,
    "lib[fast]>=1.0": None,
    "--extra-index-url https://example.com/simple": None,
    "lib @ https://example.com/lib-1.0-py3-none-any.whl": None,
    "git+https://example.com/lib.git": None,
}

MOVING = {
    "git+https://example.com/lib": True,
    "lib @ git+https://example.com/lib.git@main": True,
    "lib @ git+ssh://git@example.com/lib.git": True,
    "git+https://example.com/lib@feature/x#egg=lib": True,
    "-e git+https://example.com/lib.git#subdirectory=x": True,
    "git+https://example.com/lib@v1.2": False,
    "git+https://example.com/lib@1.2.3rc1#egg=lib": False,
    "lib @ git+https://example.com/lib@0123456789abcdef0123456789abcdef01234567 ; python_version > '3'": False,
    "lib==1.0": False,
}


@pytest.fixture
def code(tmp_path, monkeypatch):
    """src/ of a project, which is the current folder."""
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "lib").mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("PWD", str(project))
    return project / "src"


def needs(code, text):
    (code / "requirements.txt").write_text(text)
    return manifest.read(code)


@pytest.mark.parametrize(("line", "place"), PLACES.items())
def test_place_of_requirement(code, line, place):
    found = needs(code, f"requests\n{line}\n")

    assert found.places == ([] if place is None else [Path(os.path.normpath(code.parent / place))])


@pytest.mark.parametrize(("line", "moves"), MOVING.items())
def test_what_git_may_move(code, line, moves):
    assert needs(code, line).moving is moves


def test_files_that_it_names_are_read_beside_it(code):
    (code / "more.txt").write_text("-c ../pins.txt\nb  # the second\n")
    (code.parent / "pins.txt").write_text("b==1\n")

    found = needs(code, "\n# none\na\\\n  --hash=sha256:00\n-r more.txt\n-r later.txt\n")

    lines = ["a   --hash=sha256:00", "-r more.txt", "-c ../pins.txt", "b==1", "b", "-r later.txt"]
    assert found.lines == lines
    files = ["requirements.txt", "more.txt", "../pins.txt", "later.txt"]
    assert found.files == [code / name for name in files]


def test_key_changes_with_what_is_installed_alone(code):
    lib = code.parent / "lib"
    (lib / "lib.py").write_text("1")
    before = needs(code, "./lib\n").key()

    for left in ("build/lib.py", "lib.egg-info/PKG-INFO", "__pycache__/lib.pyc", ".git/HEAD"):
        (lib / left).parent.mkdir()
        (lib / left).write_text("1")
    assert needs(code, "./lib  # mine\n").key() == before
    (lib / "lib.py").write_text("2")
    assert needs(code, "./lib\n").key() != before


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("name", ["requirements.txt", "more.txt", "pyproject.toml"])
def test_what_is_not_utf_8_is_named(code, name, encoding):
    if name == "more.txt":
        (code / "requirements.txt").write_text("-r more.txt\n")
    (code / name).write_bytes("# café\nrequests\n".encode(encoding))

    with pytest.raises(InstallError) as error:
        manifest.read(code)

    written = "LATIN1" if encoding == "latin-1" else "UTF-16"
    mend = f"iconv -f {written} -t UTF-8 src/{name} >new && mv new src/{name}"
    assert str(error.value) == f"src/{name} is not UTF-8; convert it: {mend}"


def test_byte_order_mark_does_not_count(code):
    (code / "requirements.txt").write_bytes(b"\xef\xbb\xbfrequests\n")

    assert manifest.read(code).lines == ["requests"]


def test_project_stands_in_for_requirements(code):
    (code / "pyproject.toml").write_text('[tool.uv.sources]\nlib = { path = "../lib" }\n')
    found = manifest.read(code)
    assert (found.file, found.places) == (code / "pyproject.toml", [code.parent / "lib"])

    (code / "uv.lock").write_text("version = 1\n")
    assert manifest.read(code).key() != found.key()
    assert needs(code, "requests\n").file == code / "requirements.txt"


@pytest.mark.parametrize(
    ("source", "moves"), [('branch = "main"', True), ("", True), ('tag = "v1"', False), ('rev = "0123456"', False)]
)
def test_branch_of_project_moves_until_it_is_locked(code, source, moves):
    text = f'[tool.uv.sources]\nlib = {{ git = "https://example.com/lib", {source} }}\n'
    (code / "pyproject.toml").write_text(text)
    assert manifest.read(code).moving is moves

    (code / "uv.lock").write_text("version = 1\n")
    assert manifest.read(code).moving is False


def test_requirements_of_the_tools_are_no_functions():
    assert manifest.read(Path(manifest.__file__).parents[1]).file is None
