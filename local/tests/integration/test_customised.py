"""A project that has become somebody's own: its tests are its own, and the machinery's do not look at it."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from customised import customise
from server import cold

ROOT = Path(__file__).parents[3]


@pytest.fixture
def customised(project):
    """What ./install.sh has installed is there, as it was before the changes."""
    shutil.copytree(ROOT / "local" / "tests", project / "local" / "tests")
    customise(project)
    return cold(project)


def test_users_tests_pass_within_30_seconds_and_the_machinerys_are_found(customised, developer):
    started = time.monotonic()
    done = run("./install.sh && .venv/bin/pytest", customised, developer)
    assert (done.returncode, time.monotonic() - started < 30) == (0, True), done.stdout + done.stderr
    assert "2 passed" in done.stdout

    # .ci/run runs the whole of them in such a clone.
    done = run(".tools/bin/pytest --collect-only --quiet local", customised, developer)
    assert done.returncode == 0, done.stdout


def run(command, project, environment):
    return subprocess.run(
        ["bash", "-c", command], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
