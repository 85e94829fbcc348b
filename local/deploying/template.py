"""Checks the template before anything is built or created in AWS.

https://github.com/aws-cloudformation/cfn-lint
"""

import difflib
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from local import manifest
from local.deploying import Failure

PASSED = Path(".aws-sam/checked")


def check(template: Path) -> None:
    """Raises Failure with the first error and its line, or with what cannot be built in a function's folder.

    A template that has passed is not linted again.
    """
    if not template.is_file():
        raise Failure(f"there is no {template} here")
    config = (template, Path(".cfnlintrc"), Path(".cfnlintrc.yaml"), Path(".cfnlintrc.yml"))
    files = [file.read_bytes() for file in config if file.is_file()]
    # The result depends on the Pythons on PATH.
    state = hashlib.sha256(b"\0".join([os.environ.get("PATH", "").encode(), *files])).hexdigest()
    if not (PASSED.is_file() and PASSED.read_text() == state):
        if found := errors(template):
            more = f" ({len(found) - 1} more: .tools/bin/cfn-lint {template})" if len(found) > 1 else ""
            raise Failure(f"{template}, {found[0]}{more}")
        for name, runtime in unbuildable(template):
            raise Failure(
                f"{template}: {name} has no BuildMethod, so its build needs {runtime} on PATH, where there is "
                f"none; to build without it, add to {name}, beside Properties:\n"
                "    Metadata:\n      BuildMethod: python-uv"
            )
        PASSED.parent.mkdir(exist_ok=True)
        PASSED.write_text(state)
    _check_code(template)


def _check_code(template: Path) -> None:
    """Checks what `sam build` would take from the functions' folders, and marks edited packages to be built."""
    for name, properties, _ in _functions(template):
        code = properties.get("CodeUri")
        if not isinstance(code, str):
            continue
        if (template.parent / code).resolve() == Path.cwd():
            raise Failure(
                f"{template}: {name} has the whole project as its code, with all its tools; "
                "move the function's own files to a folder, and name that: CodeUri: src/"
            )
        try:
            manifest.read(template.parent / code).freshen()
        except (manifest.InstallError, OSError) as error:
            raise Failure(str(error)) from None


def errors(template: Path) -> list[str]:
    """What cfn-lint calls errors: one sentence for each line, those with a suggestion first.

    Each ends with its rule, with which it can be ignored: https://github.com/aws-cloudformation/cfn-lint#configuration
    """
    from cfnlint.config import ConfigMixIn
    from cfnlint.runner import Runner

    matches = list(Runner(ConfigMixIn(["--template", str(template)])).run())
    matches = [match for match in matches if match.rule.severity == "error"]
    # A value that may have several forms, such as an event, is compared with each of them.
    offered: dict[tuple[int, str], set[str]] = {}
    for match in matches:
        if found := _ONE_OF.fullmatch(match.message):
            offered.setdefault((match.linenumber, found[1]), set()).update(re.findall("'([^']+)'", found[2]))

    lines: dict[int, tuple[int, str]] = {}
    for match in matches:
        text = re.sub(r"Additional properties are not allowed \((.*)\)$", r"\1", match.message, flags=re.DOTALL)
        rank = 0 if "Did you mean" in text else 2
        known: Collection[str] = ()
        if found := _ONE_OF.fullmatch(text):
            known = offered[match.linenumber, found[1]]
            text = f"'{found[1]}' is not allowed here"
        elif found := re.match("Resource type '(.+?)' does not exist", text):
            known = _types()
        if found and (close := difflib.get_close_matches(found[1], known, 1)):
            rank, text = 1, f"{text}. Did you mean '{close[0]}'?"
        sentence = f"line {match.linenumber}: {' '.join(text.split())} [{match.rule.id}]"
        lines[match.linenumber] = min(lines.get(match.linenumber, (9, "")), (rank, sentence), key=lambda it: it[0])
    return [sentence for _, (_, sentence) in sorted(lines.items(), key=lambda item: (item[1][0], item[0]))]


def unbuildable(template: Path) -> Iterator[tuple[str, str]]:
    """Yields (name, runtime) of the functions for which `sam build` would need a Python that is not here.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/building-custom-runtimes.html
    """
    here = {f"python{sys.version_info[0]}.{sys.version_info[1]}"}
    for name, own, build in _functions(template):
        runtime = str(own.get("Runtime"))
        local = "InlineCode" not in own and not str(own.get("CodeUri")).startswith("s3://")
        if local and not build and runtime.startswith("python") and not (runtime in here or shutil.which(runtime)):
            yield name, runtime


def _functions(template: Path) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    """Yields (name, properties including those of Globals, BuildMethod) of each function."""
    from samcli.yamlhelper import yaml_parse

    document = yaml_parse(template.read_text())
    shared = (document.get("Globals") or {}).get("Function") or {}
    for name, resource in (document.get("Resources") or {}).items():
        if isinstance(resource, dict) and resource.get("Type") == "AWS::Serverless::Function":
            own = {**shared, **(resource.get("Properties") or {})}
            yield name, own, (resource.get("Metadata") or {}).get("BuildMethod")


_ONE_OF = re.compile(r"'([^']+)' is not one of \[(.*)\]", re.DOTALL)


def _types() -> list[str]:
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

    return [*PROVIDER_SCHEMA_MANAGER.get_resource_types("us-east-1"), *_SERVERLESS]


_SERVERLESS = [
    f"AWS::Serverless::{name}"
    for name in ("Function", "Api", "HttpApi", "LayerVersion", "SimpleTable", "StateMachine", "Application")
]
