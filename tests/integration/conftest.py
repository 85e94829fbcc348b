"""The real servers that the integration tests talk to."""

import subprocess
import sys
from pathlib import Path

import pytest

# For the emulator, and for the package "local".
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent.parent)]

import emulator as ministack


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    """An emulated AWS, empty at the start and shared by all tests: give every stack a name of its own."""
    running, process = ministack.start(tmp_path_factory.mktemp("emulator"))
    yield running
    ministack.stop(process)


@pytest.fixture
def deploy(project, emulator, new_machine):
    """Runs ./deploy.sh in the project, against the emulator; a variable that is None is not set."""

    def run(*arguments, region="us-east-1", **variables):
        environment = {**new_machine, **emulator.environment(region), "SAM_CLI_POLL_DELAY": "0.2", **variables}
        return subprocess.run(
            [project / "deploy.sh", *arguments],
            env={name: value for name, value in environment.items() if value is not None},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
