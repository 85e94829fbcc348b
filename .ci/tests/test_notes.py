"""The notes API of the README, from a fresh clone: its blocks, then its commands, with nothing looked up elsewhere."""

import json
import platform

import pytest
import readme
import repository
from emulator import Emulator
from server import engine_answers

NOTES = "A notes API"

INSTALL = readme.Command("./install.sh", ["…"])


@pytest.mark.skipif(
    platform.system() != "Linux" and not engine_answers(), reason="./run.sh needs Linux or a container engine"
)
def test_notes_api_works_with_emulated_aws_and_then_deployed_there(terminal, clone):
    # A reader who has come this far in the README has the tools.
    (clone / ".tools").symlink_to(repository.ROOT / ".tools")
    readme.apply(clone, readme.examples()[NOTES])
    emulated = [
        command
        for command in readme.commands(only="Use AWS services")
        if "ministack" in command.text or command.text.startswith("export ")
    ]
    assert len(emulated) == 2

    for command in [INSTALL, *emulated, *readme.commands(only=NOTES)]:
        terminal.run(command)

    clean_up_deployed(Emulator(terminal.environment["AWS_ENDPOINT_URL"]))
    assert terminal.interrupt()[-1] == 0


def clean_up_deployed(aws):
    """What the README does with ./run.sh: of two notes the old one goes."""
    names = aws.resources("my-app")
    table = {"TableName": names["NotesTable"]}
    before = aws.client("dynamodb").scan(**table)["Items"]
    old = {"id": {"S": "old"}, "created": {"S": "2020-02-20T20:20:20"}}
    aws.client("dynamodb").put_item(**table, Item=old)

    answer = aws.client("lambda").invoke(FunctionName=names["CleanUpFunction"], Payload=b"{}")

    assert json.load(answer["Payload"]) == {"deleted": 1}
    assert before and aws.client("dynamodb").scan(**table)["Items"] == before
