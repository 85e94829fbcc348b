"""./deploy.sh on a terminal: the seconds of a running step, and one MFA code for all of them."""

import os
import pty
import re
import select
import subprocess
import time

import pytest
from packages import package
from server import cold


@pytest.fixture
def on_terminal(project, emulator, new_machine):
    """Runs ./deploy.sh on its own terminal and types `answer` when it asks; returns what the terminal got."""

    def run(*arguments, answer="", **variables):
        settings = {"OUTPUT": "MyEndpointUrl", "SAM_CLI_POLL_DELAY": "0.2"}  # not those of the user's deploy.sh
        environment = {**new_machine, **emulator.environment(), **settings, **variables}
        environment = {name: value for name, value in environment.items() if value is not None}
        pid, terminal = pty.fork()
        if not pid:
            os.chdir(cold(project))
            os.execve("./deploy.sh", ["./deploy.sh", *arguments], environment)
        text, deadline = "", time.monotonic() + 120
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 1)[0]:
                try:
                    got = os.read(terminal, 4096).decode()
                except OSError:  # how Linux says that it was closed
                    break
                text += got
                if "MFA code" in got:
                    os.write(terminal, f"{answer}\n".encode())
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        assert os.waitstatus_to_exitcode(status) == 0, text
        return text

    return run


def test_running_step_counts_its_seconds(project, on_terminal):
    slow = project / "src" / "slow"
    package(slow, 1, building="import os, time; time.sleep(float(os.environ.get('SECONDS_OF_BUILD', 0)))")
    (project / "src" / "requirements.txt").write_text("./src/slow\n")
    subprocess.run([project / "install.sh"], check=True, capture_output=True)
    (slow / "pyproject.toml").touch()

    text = on_terminal(STACK_NAME="counting", SECONDS_OF_BUILD="2.5")

    assert re.search(r"\r\x1b\[K==> Building 1 s\r\x1b\[K==> Building 2 s", text)
    # The next line begins below the last count; what a step says is not counted on the same line.
    assert re.search(r"==> Building \d+ s\r\n==> ", text)
    assert re.search(r"\r\n    created MyFunction \(AWS::Lambda::Function\), 0 s\r\n", text.replace("\r\x1b[K", ""))


def test_one_mfa_code_is_enough(tmp_path, on_terminal):
    config = tmp_path / "config"
    config.write_text(
        "[profile base]\naws_access_key_id = test\naws_secret_access_key = test\n"
        "[profile mine]\nsource_profile = base\nregion = us-east-1\n"
        "role_arn = arn:aws:iam::000000000000:role/deployer\nmfa_serial = arn:aws:iam::000000000000:mfa/me\n"
    )

    text = on_terminal(
        answer="123456",
        STACK_NAME="mfa",
        AWS_CONFIG_FILE=str(config),
        AWS_PROFILE="mine",
        AWS_ACCESS_KEY_ID=None,
        AWS_SECRET_ACCESS_KEY=None,
        AWS_DEFAULT_REGION=None,
    )

    assert text.count("Enter MFA code for arn:aws:iam::000000000000:mfa/me") == 1
    assert "/Prod/my-endpoint" in text
