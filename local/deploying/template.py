"""The template, checked before anything is built or made in AWS.

https://github.com/aws-cloudformation/cfn-lint
"""

import difflib
import hashlib
import re
from pathlib import Path
from typing import Any

from local.deploying import Failure

PASSED = Path(".aws-sam/checked")


def check(template: Path) -> None:
    """Raises Failure with the line and the first of what is wrong. What has passed once is not checked again."""
    if not template.is_file():
        raise Failure(f"there is no {template} here")
    config = [file for file in (template, Path(".cfnlintrc"), Path(".cfnlintrc.yaml"), Path(".cfnlintrc.yml"))]
    state = hashlib.sha256(b"\0".join(file.read_bytes() for file in config if file.is_file())).hexdigest()
    if PASSED.is_file() and PASSED.read_text() == state:
        return
    if found := errors(template):
        first = found[0]
        more = f" ({len(found) - 1} more: .tools/bin/cfn-lint {template})" if len(found) > 1 else ""
        raise Failure(f"{template}, line {first.linenumber}: {sentence(first)}{more}")
    PASSED.parent.mkdir(exist_ok=True)
    PASSED.write_text(state)


def errors(template: Path) -> list[Any]:
    """What cfn-lint calls errors, the one with a suggestion first, and one for each line."""
    from cfnlint.config import ConfigMixIn
    from cfnlint.runner import Runner

    found = [
        match for match in Runner(ConfigMixIn(["--template", str(template)])).run() if match.rule.severity == "error"
    ]
    found.sort(key=lambda match: ("Did you mean" not in match.message, match.linenumber))
    return list({match.linenumber: match for match in reversed(found)}.values())[::-1]


def sentence(match: Any) -> str:
    """What cfn-lint says, with a suggestion where it has none of its own, and its rule, by which it can be ignored."""
    text = re.sub(
        r"Additional properties are not allowed \((.*)\)$", r"\1", match.message.removesuffix("."), flags=re.DOTALL
    )
    if offered := re.fullmatch(r"('?)(.+?)\1 is not one of \[(.*)\]", text, re.DOTALL):
        words = re.findall(r"'([^']+)'", offered[3])
        text = f"{offered[1]}{offered[2]}{offered[1]} is none of the values that stand here"
        if close := difflib.get_close_matches(offered[2], words, 1):
            text += f". Did you mean '{close[0]}'?"
        elif len(offered[3]) < 200:
            text = f"{offered[2]} is not one of {offered[3]}"
    elif kind := re.match(r"Resource type '(.+?)' does not exist", text):
        from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

        known = [*PROVIDER_SCHEMA_MANAGER.get_resource_types("us-east-1"), *_SERVERLESS]
        if close := difflib.get_close_matches(kind[1], known, 1):
            text += f". Did you mean '{close[0]}'?"
    return f"{' '.join(text.split())} [{match.rule.id}]"


_SERVERLESS = [
    f"AWS::Serverless::{name}"
    for name in ("Function", "Api", "HttpApi", "LayerVersion", "SimpleTable", "StateMachine", "Application")
]
