"""The real servers that the integration tests talk to."""

import os
import subprocess
from pathlib import Path

import emulator as ministack
import pytest
import warm
from server import Server, engine_answers

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    """An emulated AWS, empty at first and shared by all tests: give every stack its own name."""
    running, process = ministack.start(tmp_path_factory.mktemp("emulator"))
    yield running
    ministack.stop(process)


@pytest.fixture(scope="session", name="tools")
def warm_tools(tmp_path_factory, new_machine):
    """Those with which ./run.sh and ./deploy.sh run in forks, unless a project is made `cold`."""
    made = warm.tools(tmp_path_factory.mktemp("warm"), ROOT / ".tools")
    started = [warm.start(made, module, new_machine) for module in warm.IMPORTED]
    yield made
    for process in started:
        process.terminate()
        process.wait()


@pytest.fixture
def deploy(project, emulator, new_machine):
    """Runs ./deploy.sh in the project, against the emulator; a variable that is None is not set."""

    def run(*arguments, region="us-east-1", **variables):
        # The settings at the top of deploy.sh are the user's.
        settings = {"STACK_NAME": "my-app", "OUTPUT": "MyEndpointUrl", "SAM_CLI_POLL_DELAY": "0.2"}
        environment = {**new_machine, **emulator.environment(region), **settings, **variables}
        return subprocess.run(
            [project / "deploy.sh", *arguments],
            env={name: value for name, value in environment.items() if value is not None},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture
def validate(project, new_machine):
    """Checks the project's template as SAM CLI does."""

    def run():
        done = subprocess.run(
            [project / ".tools" / "bin" / "sam", "validate", "--lint", "--template-file", project / "template.yaml"],
            env={**new_machine, "AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"},
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, done.stdout + done.stderr

    return run


# Lines of the terminal that a failing test shows.
SHOWN = 10_000


@pytest.fixture(scope="module", params=["processes", "containers"])
def engine(request):
    """The engine of ./run.sh; a module about one of the engines overrides this fixture."""
    if request.param == "containers" and not engine_answers():
        pytest.skip("no container engine answers on this machine")
    return request.param


@pytest.fixture(scope="session")
def developer(new_machine):
    """A new machine's environment, with what a developer's shell has and no function may see."""
    docker_variables = {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
    return {
        **new_machine,
        **docker_variables,
        "MESSAGE": "from the developer's shell",
        "STRAY": "from the developer's shell",
        "AWS_ACCESS_KEY_ID": "AKIAREALDEVELOPERKEY",
        "AWS_SECRET_ACCESS_KEY": "secret of the developer",
        "AWS_SESSION_TOKEN": "token of the developer",
        "AWS_PROFILE": "expired",
    }


@pytest.fixture
def serve(engine, project, developer):
    """Starts ./run.sh with options, and ends it after the test."""
    started = []

    def start(*options, environment=None, **more):
        started.append(Server(project, engine, {**developer, **(environment or {})}, *options, **more))
        return started[-1]

    yield start
    for running in started:
        print(running.terminal[-SHOWN:])
        running.kill()


@pytest.fixture(scope="module")
def shared(engine, new_project, developer):
    """./run.sh for all tests of a module; a module may have one of its own."""
    running = Server(new_project(), engine, developer)
    yield running
    try:
        assert running.end() == 0
    finally:
        running.kill()


@pytest.fixture
def server(shared):
    """The shared ./run.sh; files that the test saves are as before afterwards."""
    shared.begin()
    yield shared
    print(shared.terminal[-SHOWN:])
    shared.restore()
