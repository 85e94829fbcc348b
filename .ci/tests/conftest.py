"""The fixtures of the machinery's tests, on a copy of this whole repository in place of the sample project."""

import shutil
import subprocess

import pytest

from local.tests.conftest import ROOT, new_machine, project  # noqa: F401
from local.tests.integration.conftest import deploy, developer, emulator, engine, server, shared, validate  # noqa: F401


@pytest.fixture(scope="session")
def new_project(tmp_path_factory):
    """Makes a copy of the repository: the files that git knows, with what ./install.sh has installed."""

    def copy():
        directory = tmp_path_factory.mktemp("project") / "my-app"
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        for name in filter(None, listed.stdout.decode().split("\0")):
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        for name in (".tools", ".venv"):
            (directory / name).symlink_to(ROOT / name)
        return directory

    return copy
