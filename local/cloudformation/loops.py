"""Fn::ForEach, unrolled before anything else is read.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-foreach.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_LOOP = "Fn::ForEach::"


def unrolled(node: Any, collection: Callable[[str, Any], list[str]]) -> Any:
    """The node with every loop in it written out; `collection` gives the values of a loop from its key and their node.

    A malformed loop, for which CloudFormation refuses the template, is left as it is.
    """
    if isinstance(node, list):
        return [unrolled(one, collection) for one in node]
    if not isinstance(node, dict):
        return node
    made: dict[Any, Any] = {}
    for key, one in node.items():
        if not str(key).startswith(_LOOP) or not (isinstance(one, list) and len(one) == 3 and isinstance(one[2], dict)):
            made[key] = unrolled(one, collection)
            continue
        name, values, body = one
        for value in collection(key, values):
            made |= unrolled(_filled(body, str(name), value), collection)
    return made


def _filled(node: Any, name: str, value: str) -> Any:
    """The body of a loop with the value in place of its identifier: ${Name}, &{Name} for a logical id, or Ref."""
    if isinstance(node, str):
        return node.replace(f"${{{name}}}", value).replace(f"&{{{name}}}", re.sub("[^A-Za-z0-9]", "", value))
    if isinstance(node, list):
        return [_filled(one, name, value) for one in node]
    if not isinstance(node, dict):
        return node
    if node == {"Ref": name}:
        return value
    return {_filled(key, name, value): _filled(one, name, value) for key, one in node.items()}
