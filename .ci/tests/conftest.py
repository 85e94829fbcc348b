"""The fixtures of the machinery's tests, on a copy of this whole repository in place of the sample project."""

import shutil
import subprocess

import pytest

from local.tests.conftest import ROOT, new_machine, project  # noqa: F401
from local.tests.integration.conftest import deploy, developer, emulator, engine, server, shared, validate  # noqa: F401


@pytest.fixture(scope="session")
def new_project(tmp_path_factory):
    """Makes a copy of the repository: the files that git knows, with the tools that ./install.sh put into .venv."""

    def copy():
        directory = tmp_path_factory.mktemp("project") / "my-app"
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        for name in filter(None, listed.stdout.decode().split("\0")):
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        (directory / ".venv").symlink_to(ROOT / ".venv")
        return directory

    return copy
