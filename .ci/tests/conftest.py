"""The fixtures of the machinery's tests, on a copy of this whole repository in place of the sample project."""

import pytest
import repository
from terminal import clone, terminal  # noqa: F401

from local.tests.conftest import new_machine, project  # noqa: F401
from local.tests.integration.conftest import (  # noqa: F401
    deploy,
    developer,
    emulator,
    engine,
    server,
    shared,
    validate,
    warm_tools,
)


@pytest.fixture(scope="session")
def new_project(tmp_path_factory, tools):
    """Makes a copy of the repository, with what ./install.sh has installed."""

    def make():
        directory = tmp_path_factory.mktemp("project") / "my-app"
        repository.copy(directory)
        (directory / ".tools").symlink_to(tools)
        (directory / ".venv").symlink_to(repository.ROOT / ".venv")
        return directory

    return make
