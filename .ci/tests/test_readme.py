"""The README's commands, run in order in a fresh clone with an empty home; what they print is what it shows."""

import json
import platform
import re

import emulator
import pytest
import readme
from server import engine_answers

NOTES = "A notes API"  # test_notes.py

# Commands that no test can run, and why.
NOT_RUN = {
    r"git clone .*": "the clone is there: the project's own address is not known to it",
    r"git fetch .*|git checkout .*": "test_upgrade.py does, from a repository that is there",
}


@pytest.mark.skipif(
    platform.system() != "Linux" and not engine_answers(), reason="./run.sh needs Linux or a container engine"
)
def test_readme_is_true_from_first_line_to_last(terminal):
    change = re.search(
        r"In `(\S+)`, change the message: `(.+?)` into `(.+?)`", " ".join(readme.README.read_text().split())
    )
    file, old, new = change.groups()
    for command in readme.commands(but=NOTES):
        if any(re.fullmatch(pattern, command.text) for pattern in NOT_RUN):
            continue
        edited = ", dear " in "".join(command.shown)
        if edited:
            terminal.edit(file, old, new)
        terminal.run(command)
        if edited:
            terminal.edit(file, new, old)

    assert terminal.interrupt()[0] == 0


def test_every_command_is_in_a_block_that_is_run():
    # Those that go into files are in examples: test_examples.py, test_settings.py and test_notes.py put them there.
    assert {block.language for block in readme.blocks()} == {"console", "json", "mermaid", "python", "text", "yaml"}
    placed = [block for block in readme.placed() if block.heading not in readme.examples()]
    assert [block.sentence for block in placed if "PermissionsBoundary" not in "".join(block.lines)] == []
    for command in readme.commands():
        assert command.text and "…" not in command.text


def test_emulator_of_readme_is_the_tested_one():
    ministack = next(command.text for command in readme.commands() if "ministack" in command.text)

    assert emulator.MINISTACK.replace("==", "@") in ministack.split()
    assert emulator.TRANSLATOR in ministack.split()


def test_editor_configuration_is_json_and_attaches_to_port_of_readme():
    (attach,) = json.loads("\n".join(readme.block("json")))["configurations"]

    assert f"--debug-port {attach['connect']['port']}" in readme.README.read_text()
    # The directory that the function runs in: src/ in processes, /var/task in containers.
    assert attach["pathMappings"] == [{"localRoot": "${workspaceFolder}/src", "remoteRoot": "."}]
