"""The tests of a new project ask a deployed stack as they ask ./run.sh."""

import subprocess


def test_integration_tests_pass_against_deployed_stack(project, deploy, emulator, new_machine):
    done = deploy(STACK_NAME="acceptance")
    assert done.returncode == 0, done.stderr

    def test():
        environment = {**new_machine, **emulator.environment(), "AWS_SAM_STACK_NAME": "acceptance"}
        command = [project / ".venv" / "bin" / "pytest", "tests/integration"]
        return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)

    passed = test()
    assert (passed.returncode, "1 passed" in passed.stdout) == (0, True), passed.stdout

    # It is the stack that is asked.
    changed = (project / "template.yaml").read_text().replace("Hello from Lambda", "Changed")
    (project / "template.yaml").write_text(changed)
    deploy(STACK_NAME="acceptance")
    failed = test()
    assert (failed.returncode, "'Changed, Ada!'" in failed.stdout) == (1, True), failed.stdout
