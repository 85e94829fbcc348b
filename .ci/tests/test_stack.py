"""A new project's tests call a deployed stack just like ./run.sh; test_notes.py deploys one for them."""

import re
import subprocess


def test_integration_tests_name_a_stack_that_does_not_exist(project, emulator, new_machine):
    environment = {**new_machine, **emulator.environment(), "AWS_SAM_STACK_NAME": "another"}

    command = [project / ".venv" / "bin" / "pytest", "tests/integration"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert re.search("[Ss]tack .*another.* does not exist", done.stdout), done.stdout
