"""Decides as IAM does whether a role's policy allows a call, and reads that policy from a template.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from fnmatch import fnmatchcase
from typing import Any

import yaml

_TESTS = {
    "StringEquals": lambda value, pattern: value == pattern,
    "ArnEquals": fnmatchcase,
    "ArnLike": fnmatchcase,
}


def allows(statements: list[dict], action: str, arn: str, context: dict[str, str]) -> bool:
    """Whether one of the statements (none denies) allows the action on `arn`; `context` has the condition keys."""
    return any(
        any(fnmatchcase(action.lower(), pattern.lower()) for pattern in as_list(statement["Action"]))
        # A call that AWS checks against no resource is allowed by a statement for all of them only.
        and any(pattern == "*" or fnmatchcase(arn, pattern) for pattern in as_list(statement["Resource"]))
        and all(
            key in context and any(_TESTS[test](context[key], pattern) for pattern in as_list(patterns))
            for test, keys in statement.get("Condition", {}).items()
            for key, patterns in keys.items()
        )
        for statement in statements
    )


def as_list(value: Any) -> list:
    return value if isinstance(value, list) else [value]


class Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms: `!Ref Name` as {"Ref": "Name"}, `!Sub text` as {"Fn::Sub": text}."""


def _short(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict:
    name = tag if tag in ("Ref", "Condition") else f"Fn::{tag}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    return {name: loader.construct_sequence(node, deep=True)}


Template.add_multi_constructor("!", _short)


class Resolver:
    """Values of a template under parameters; a resource's own value is its logical id in angle brackets."""

    def __init__(self, template: dict, pseudo: dict[str, str], parameters: dict[str, str]):
        defaults = {name: given.get("Default") for name, given in template["Parameters"].items()}
        lists = {name for name, given in template["Parameters"].items() if given["Type"] == "CommaDelimitedList"}
        values = {**defaults, **parameters}
        self.values = {**pseudo, **{n: v.split(",") if n in lists else v for n, v in values.items()}}
        self.conditions = template["Conditions"]

    def __call__(self, value: Any) -> Any:
        if isinstance(value, list):
            return [resolved for item in value if (resolved := self(item)) is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref":
                return None if argument == "AWS::NoValue" else self.values.get(argument, f"<{argument}>")
            if name == "Fn::Sub":
                return re.sub(r"\$\{([^}]+)\}", lambda found: self.values.get(found[1], f"<{found[1]}>"), argument)
            if name == "Fn::If":
                return self(argument[1] if self.holds(self.conditions[argument[0]]) else argument[2])
        return {key: resolved for key, item in value.items() if (resolved := self(item)) is not None}

    def holds(self, condition: dict) -> bool:
        ((name, argument),) = condition.items()
        if name == "Fn::Not":
            return not self.holds(argument[0])
        assert name == "Fn::Equals", name
        return self(argument[0]) == self(argument[1])
