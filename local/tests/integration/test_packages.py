"""Packages on this machine and in git: all three scripts install the same, and again after a change."""

import shutil
import subprocess

import pytest
from packages import package, save
from server import Server, answering

REQUIREMENTS = """-e ./vendor/one
./src/vendor/two ; python_version > "3"
three @ file://{three}
-r more.txt
"""
PROJECT = """[project]
name = "function"
version = "1"
requires-python = ">=3.10"
dependencies = ["one", "two", "three"]
[dependency-groups]
dev = ["chevron==0.14.0"]
[tool.uv.sources]
one = { path = "../vendor/one", editable = true }
two = { path = "vendor/two" }
three = { path = "../../three" }
"""
VALUES = answering("[one.VALUE, two.VALUE, three.VALUE]", "import one, two, three")


@pytest.fixture
def places(project):
    found = [project / "vendor" / "one", project / "src" / "vendor" / "two", project.parent / "three"]
    for place in found:
        package(place, 1)
    (project / "src" / "lambda.py").write_text(VALUES)
    return found


@pytest.fixture
def listed(project, places):
    """The project, whose function lists the three packages."""
    source = project / "src"
    (source / "requirements.txt").write_text(REQUIREMENTS.format(three=places[2]))
    (source / "more.txt").write_text("./vendor/one\n")
    return project


def run(project, environment, *command):
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_venv(project, environment):
    (project / ".venv").unlink(missing_ok=True)
    run(project, environment, "./install.sh")
    values = "import one, two, three; print(one.VALUE, two.VALUE, three.VALUE)"
    return run(project, environment, ".venv/bin/python", "-c", values).split()


def in_artifact(project, environment):
    run(project, environment, "./deploy.sh", "--build")
    built = project / ".aws-sam" / "build" / "MyFunction"
    return [(built / f"{name}.py").read_text().split()[-1] for name in ("one", "two", "three")]


def test_three_scripts_install_packages_of_this_machine_alike(listed, places, developer):
    assert in_venv(listed, developer) == ["1", "1", "1"]
    assert in_artifact(listed, developer) == ["1", "1", "1"]

    installed = listed / ".tools" / "lambda" / "packages"
    before = set(installed.iterdir())
    running = Server(listed, "processes", developer)
    try:
        assert running.get() == (200, [1, 1, 1])
        for number, place in enumerate(places):
            save(place, 2)
            assert running.get() == (200, [2] * (number + 1) + [1] * (2 - number))
    finally:
        running.kill()
    assert len(set(installed.iterdir()) - before) == 2  # not one for each edit

    shutil.rmtree(listed / ".aws-sam")
    assert in_artifact(listed, developer) == ["2", "2", "2"]
    assert run(listed, developer, ".venv/bin/python", "-c", "import three; print(three.VALUE)") == "2\n"


def test_three_scripts_install_pyproject_alike(project, places, developer):
    (project / "src" / "requirements.txt").unlink()
    (project / "src" / "pyproject.toml").write_text(PROJECT)

    assert in_venv(project, developer) == ["1", "1", "1"]
    running = Server(project, "processes", developer)
    try:
        assert running.get() == (200, [1, 1, 1])
        save(places[0], 2)
        assert running.get() == (200, [2, 1, 1])
    finally:
        running.kill()
    assert not (project / "src" / "uv.lock").exists()
    assert in_artifact(project, developer) == ["2", "1", "1"]
    assert not (project / ".aws-sam" / "build" / "MyFunction" / "chevron").exists()


def test_newer_commit_of_branch_is_installed_at_next_start(project, tmp_path, developer):
    origin = tmp_path / "one"
    package(origin, 1)
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    run(origin, developer, "git", "init", "--quiet", "--initial-branch=main")
    (project / "src" / "requirements.txt").write_text(f"one @ git+file://{origin}@main\n")
    (project / "src" / "lambda.py").write_text(answering("one.VALUE", "import one"))
    (project / ".venv").unlink()

    for number in (1, 2):
        save(origin, number)
        run(origin, developer, "git", "add", "--all")
        run(origin, developer, "git", *identity, "commit", "--quiet", "--allow-empty", "--message=Next")
        running = Server(project, "processes", developer)
        try:
            assert running.get() == (200, number)
            assert running.get() == (200, number)
            assert running.terminal.count("==> Installing src/requirements.txt") == 1
        finally:
            running.kill()

    run(project, developer, "./install.sh")
    assert run(project, developer, ".venv/bin/python", "-c", "import one; print(one.VALUE)") == "2\n"
    # Without its repository, the commit that is installed goes on.
    origin.rename(origin.with_name("away"))
    running = Server(project, "processes", developer)
    try:
        assert running.get() == (200, 2)
        running.says("the newest commit could not be installed, so an older one is used")
    finally:
        running.kill()
