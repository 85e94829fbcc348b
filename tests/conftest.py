"""What every test starts from: the handler's module, a copy of the project to run scripts in."""

import importlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def handler():
    """lambda.handler, loaded by name as Lambda does it: `import lambda` is a syntax error."""
    return importlib.import_module("lambda").handler


@pytest.fixture(scope="session")
def new_project(tmp_path_factory):
    """Makes a copy of the project: the files that git knows, with the tools that ./install.sh put into .venv."""

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


@pytest.fixture
def project(new_project):
    """A copy of the project for this test alone."""
    return new_project()


@pytest.fixture(scope="session")
def new_machine(tmp_path_factory):
    """The environment of a new user: an empty home, no AWS variable, nothing but the usual programs."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SSL_CERT_FILE", "UV_CACHE_DIR") if name in os.environ}
    return {**kept, "HOME": str(tmp_path_factory.mktemp("home")), "AWS_EC2_METADATA_DISABLED": "true"}
