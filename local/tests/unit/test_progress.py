"""What ./deploy.sh says of what `sam deploy --output json` reports, in the form of aws-sam-cli 1.170.0."""

import json

import pytest

from local.deploying import sam
from local.deploying.progress import Progress


@pytest.fixture
def said():
    return []


def event(status, second, logical="Table", kind="AWS::DynamoDB::Table", reason=""):
    return {
        "type": "event",
        "status": status,
        "detailed_status": None,
        "resource_type": kind,
        "logical_id": logical,
        "reason": reason,
        "timestamp": f"2026-11-25T12:00:{second:02}.500000+00:00",
    }


def report(said, *reports):
    progress = Progress(said.append)
    for one in reports:
        progress(json.dumps(one))
    return progress


def change(action, replacement="N/A", logical="Table"):
    return {
        "type": "changeset",
        "action": action,
        "logical_id": logical,
        "resource_type": "AWS::DynamoDB::Table",
        "replacement": replacement,
    }


def test_change_says_whether_it_replaces(said):
    changes = [change("Modify", "False"), change("Modify", "True"), change("Modify", "Conditional"), change("Remove")]

    report(said, *changes, {"type": "result", "status": "success"})

    table = "Table (AWS::DynamoDB::Table)"
    assert said == [f"    {verb} {table}" for verb in ("change", "replace", "change or replace", "remove")]


def test_large_change_set_is_cut_short(said):
    report(said, *(change("Add", logical=f"Table{n}") for n in range(14)), event("CREATE_IN_PROGRESS", 1))

    assert len(said) == 11
    assert said[-1] == "    and 4 more"


def test_failure_is_said_once_and_what_it_cancelled_is_not(said):
    stack = {"logical": "shop", "kind": "AWS::CloudFormation::Stack"}
    report(
        said,
        event("CREATE_IN_PROGRESS", 1, **stack),
        event("CREATE_IN_PROGRESS", 2),
        event("CREATE_IN_PROGRESS", 4, "Queue", "AWS::SQS::Queue"),
        event("CREATE_FAILED", 9, reason="It exists"),
        event("CREATE_FAILED", 9, "Queue", "AWS::SQS::Queue", "Resource creation cancelled"),
        event("ROLLBACK_IN_PROGRESS", 10, **stack),
        event("DELETE_IN_PROGRESS", 11),
        event("DELETE_COMPLETE", 14),
        event("DELETE_SKIPPED", 14, "Notes"),
        event("ROLLBACK_COMPLETE", 15, **stack),
    )

    assert said == [
        "    failed Table (AWS::DynamoDB::Table), 7 s",
        "    Failed; all changes were rolled back",
        "    removed Table (AWS::DynamoDB::Table), 3 s",
        "    kept Notes (AWS::DynamoDB::Table)",
    ]


def test_change_set_that_is_only_made_is_not_a_deployment(said):
    made = report(said, change("Add"), {"type": "result", "status": "changeset_created", "changeset_id": "arn:aws:1"})

    assert not made.executed
    assert said[-1] == "    Not executed: arn:aws:1"


def test_other_lines_are_passed_over(said):
    progress = Progress(said.append)
    for line in ("", "text", "[]", "{}", '{"type": "outputs", "stack_outputs": []}'):
        progress(line)

    assert said == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # uv 0.13.9
        (
            "UV pip install failed: Using CPython 3.11.7\nerror: No solution found when resolving dependencies\n"
            "  cause: Because there is no version of a==9 and you require a==9, we can conclude …\n\n",
            "No solution found when resolving dependencies: Because there is no version of a==9 and you require a==9, "
            "we can conclude …",
        ),
        (
            "UV pip install failed: error: Couldn't parse requirement in `src/requirements.txt` at position 0\n"
            '  cause: no such comparison operator "="\na=9\n ^^\n',
            'Couldn\'t parse requirement in `src/requirements.txt` at position 0: no such comparison operator "="',
        ),
        ("Failed to create: Stack is busy.\n\nFor more information please visit …", "Failed to create: Stack is busy"),
    ],
    ids=["unresolved", "unreadable", "other"],
)
def test_reason_is_one_line(text, reason):
    assert sam.reason(text) == reason
