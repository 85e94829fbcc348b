"""Checks env.json against the template: what it names and the template lacks, SAM CLI drops without a word.

https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-using-invoke.html
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any


class Unfit(Exception):
    """The file cannot be read, or names what the template does not have; the text says what to change."""


def read(file: str) -> dict[str, Any]:
    """The JSON object in the file; SAM CLI would take what is no JSON for lines of NAME=value. Raises Unfit."""
    try:
        with open(file, encoding="utf-8") as stream:
            values = json.load(stream)
    except ValueError as error:
        raise Unfit(f"{file} is no JSON: {error}; compare it with env.json.example") from None
    if not isinstance(values, dict):
        raise Unfit(f"{file} must be an object of functions, as in env.json.example")
    return values


def check(file: str, values: Mapping[str, Any], functions: Sequence[tuple[Sequence[str], Collection[str]]]) -> None:
    """Compares the values that a file gives with what the template declares.

    `values` is {function: {variable: value}}, where the name "Parameters" stands for every function; `functions` is a
    list of (names, variables): the names that a function goes by, and the variables that it declares.
    Raises Unfit.
    """
    known = sorted(names[0] for names, _ in functions)
    for function, given in values.items():
        if not isinstance(given, dict):
            raise Unfit(f'{file}: "{function}" must be an object of variables, as in env.json.example')
        declared = [variables for names, variables in functions if function == "Parameters" or function in names]
        if not declared and function != "Parameters":
            raise Unfit(f'{file}: the template has no function "{function}"; it has {", ".join(known)}')
        for name, value in given.items():
            if not any(name in variables for variables in declared):
                where = "a function" if function == "Parameters" else function
                raise Unfit(
                    f'{file}: "{name}" is not declared for {where}; add to template.yaml, Environment: Variables:, '
                    f"of {where}, the line\n  {name}: a value for AWS"
                )
            if isinstance(value, (dict, list)):
                raise Unfit(f'{file}: "{name}" of {function} must be a string, a number or a boolean')
