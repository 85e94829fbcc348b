"""The tests of a new project ask a deployed stack as they ask ./run.sh."""

import re
import subprocess


def test_integration_tests_pass_against_deployed_stack(project, deploy, emulator, new_machine):
    done = deploy(STACK_NAME="acceptance")
    assert done.returncode == 0, done.stderr

    for stack, expected in {"acceptance": 0, "another": 1}.items():
        environment = {**new_machine, **emulator.environment(), "AWS_SAM_STACK_NAME": stack}
        command = [project / ".venv" / "bin" / "pytest", "tests/integration"]
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == expected, done.stdout
    assert re.search("[Ss]tack .*another.* does not exist", done.stdout), done.stdout
