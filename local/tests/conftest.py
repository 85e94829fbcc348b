"""What every test starts from: a copy of the scripts with the sample project, to run them in."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ("install.sh", "run.sh", "deploy.sh", "requirements.txt")
SAMPLE = Path(__file__).parent / "project"


@pytest.fixture(scope="session")
def new_project(tmp_path_factory):
    """Makes a project of the scripts, local/ and the sample, where ./install.sh has nothing left to do."""

    def make(installed=None):
        directory = tmp_path_factory.mktemp("project") / "my-app"
        shutil.copytree(SAMPLE, directory)
        shutil.copytree(ROOT / "local", directory / "local", ignore=shutil.ignore_patterns("tests", "__pycache__"))
        for name in SCRIPTS:
            shutil.copy2(ROOT / name, directory)
        (directory / ".tools").symlink_to(ROOT / ".tools")
        if installed:
            (directory / ".venv").symlink_to(installed / ".venv")
        return directory

    installed = make()
    subprocess.run([installed / "install.sh"], check=True)
    return lambda: make(installed)


@pytest.fixture
def project(new_project):
    """A project for this test alone."""
    return new_project()


@pytest.fixture(scope="session")
def new_machine(tmp_path_factory):
    """The environment of a new user: an empty home, no AWS variable, nothing but the usual programs."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SSL_CERT_FILE", "UV_CACHE_DIR") if name in os.environ}
    return {**kept, "HOME": str(tmp_path_factory.mktemp("home")), "AWS_EC2_METADATA_DISABLED": "true"}
