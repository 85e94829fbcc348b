"""The notes API of the README, from a fresh clone: its blocks, then its commands, with nothing looked up elsewhere."""

import platform

import pytest
import readme
from server import engine_answers

NOTES = "A notes API"

# A reader who has come this far in the README has installed the tools.
INSTALL = readme.Command("./install.sh", ["…"])


@pytest.mark.skipif(
    platform.system() != "Linux" and not engine_answers(), reason="./run.sh needs Linux or a container engine"
)
def test_notes_api_works_with_emulated_aws_and_then_deployed_there(terminal, clone):
    readme.apply(clone, readme.examples()[NOTES])
    emulated = [
        command
        for command in readme.commands(only="Use AWS services")
        if "ministack" in command.text or command.text.startswith("export ")
    ]
    assert len(emulated) == 2

    for command in [INSTALL, *emulated, *readme.commands(only=NOTES)]:
        terminal.run(command)

    assert terminal.interrupt()[-1] == 0
