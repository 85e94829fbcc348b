"""The starting point of every test: a copy of the scripts, together with the sample project."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ("install.sh", "run.sh", "deploy.sh", "requirements.txt")
SAMPLE = Path(__file__).parent / "project"

# The AWS settings of a developer's shell must not affect any test.
for variable in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[variable]


@pytest.fixture(scope="session")
def tools():
    """What .tools of a project links to."""
    return ROOT / ".tools"


@pytest.fixture(scope="session")
def new_project(tmp_path_factory, tools):
    """Makes a project of the scripts, local/ and the sample, in which everything is installed."""

    def make(installed=None):
        directory = tmp_path_factory.mktemp("project") / "my-app"
        shutil.copytree(SAMPLE, directory)
        # With its bytecode, except for what is being written.
        shutil.copytree(ROOT / "local", directory / "local", ignore=shutil.ignore_patterns("tests", "*.pyc.*"))
        for name in SCRIPTS:
            shutil.copy2(ROOT / name, directory)
        (directory / ".tools").symlink_to(tools)
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
    """The environment of a new user: a home with only uv's cache, no AWS variables, only the usual programs."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SSL_CERT_FILE") if name in os.environ}
    cache = subprocess.check_output([ROOT / ".tools" / "bin" / "uv", "cache", "dir"], text=True).strip()
    own = {"HOME": str(tmp_path_factory.mktemp("home")), "UV_CACHE_DIR": cache, "AWS_EC2_METADATA_DISABLED": "true"}
    return {**kept, **own}
