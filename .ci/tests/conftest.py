"""The fixtures of the machinery's tests, on a copy of this whole repository in place of the sample project."""

import os
import subprocess

import pytest
import repository
from terminal import Terminal

from local.tests.conftest import new_machine, project  # noqa: F401
from local.tests.integration.conftest import deploy, developer, emulator, engine, server, shared, validate  # noqa: F401


@pytest.fixture(scope="session")
def new_project(tmp_path_factory):
    """Makes a copy of the repository, with what ./install.sh has installed."""

    def make():
        directory = tmp_path_factory.mktemp("project") / "my-app"
        repository.copy(directory)
        for name in (".tools", ".venv"):
            (directory / name).symlink_to(repository.ROOT / name)
        return directory

    return make


@pytest.fixture
def clone(new_project):
    """A clone without the tools."""
    project = new_project()
    for name in (".tools", ".venv"):
        (project / name).unlink()
    subprocess.run("git init --quiet && git add --all", shell=True, cwd=project, check=True)
    return project


@pytest.fixture
def terminal(clone, new_machine, tmp_path):
    environment = {**new_machine, "TMPDIR": str(tmp_path)}
    # On a terminal curl draws no progress bar.
    (tmp_path / ".curlrc").write_text("silent\nshow-error\n")
    environment["CURL_HOME"] = str(tmp_path)
    environment.update({name: value for name, value in os.environ.items() if name.startswith("DOCKER_")})
    opened = Terminal(clone, environment, tmp_path / "log")
    yield opened
    opened.kill()
