"""What `sam deploy --output json` reports, as lines for people: the change set, and each resource as it is made.

https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-cli-command-reference-sam-deploy.html
"""

import json
from collections.abc import Callable
from datetime import datetime

_CHANGES = {"Add": "add", "Modify": "change", "Remove": "remove"}
_DONE = {"CREATE": "created", "UPDATE": "updated", "DELETE": "removed", "IMPORT": "imported"}
# The rest of a large change set is only counted: every resource gets a line as it is made.
_SHOWN = 10


class Progress:
    """Takes the lines one by one; `say` gets those for people. `executed` is false if a change set was only created."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._changes: list[str] = []
        self._started: dict[str, datetime] = {}
        self.executed = True

    def __call__(self, line: str) -> None:
        try:
            report = json.loads(line)
            handle = getattr(self, f"_{report['type']}", None)
        except (ValueError, TypeError, KeyError):
            return
        if handle:
            handle(report)

    def _changeset(self, report: dict) -> None:
        change = _CHANGES.get(report["action"], report["action"].lower())
        change = {"True": "replace", "Conditional": "change or replace"}.get(report["replacement"], change)
        self._changes.append(f"    {change} {report['logical_id']} ({report['resource_type']})")

    def _show_changes(self) -> None:
        for line in self._changes[:_SHOWN]:
            self._say(line)
        if len(self._changes) > _SHOWN:
            self._say(f"    and {len(self._changes) - _SHOWN} more")
        self._changes = []

    def _event(self, report: dict) -> None:
        self._show_changes()
        resource, status = report["logical_id"], report["status"]
        action, _, outcome = status.partition("_")
        if report["resource_type"] == "AWS::CloudFormation::Stack" and "ROLLBACK_IN_PROGRESS" in status:
            self._say("    Failed; all changes were rolled back")
        if report["resource_type"] == "AWS::CloudFormation::Stack":
            return
        at = datetime.fromisoformat(report["timestamp"])
        if outcome == "IN_PROGRESS":
            self._started.setdefault(resource, at)
            return
        seconds = round((at - self._started.pop(resource, at)).total_seconds())
        if outcome == "COMPLETE":
            self._say(f"    {_DONE.get(action, status)} {resource} ({report['resource_type']}), {seconds} s")
        # What was cancelled because of another failure explains nothing.
        elif outcome == "FAILED" and not report["reason"].endswith("cancelled"):
            self._say(f"    failed {resource} ({report['resource_type']}), {seconds} s")
        elif outcome == "SKIPPED":
            self._say(f"    kept {resource} ({report['resource_type']})")

    def _result(self, report: dict) -> None:
        self._show_changes()
        if report["status"] == "no_changes":
            self._say("    No changes to deploy")
        if report["status"] == "changeset_created":
            self.executed = False
            self._say(f"    Not executed: {report['changeset_id']}")
