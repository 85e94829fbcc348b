"""Checks env.json against the template, since SAM CLI silently ignores what the template does not declare.

https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-using-invoke.html
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from local.aws import ENDPOINT

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
_RESERVED = frozenset(
    "AWS_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_DEFAULT_REGION AWS_EXECUTION_ENV AWS_LAMBDA_FUNCTION_MEMORY_SIZE "
    "AWS_LAMBDA_FUNCTION_NAME AWS_LAMBDA_FUNCTION_VERSION AWS_LAMBDA_INITIALIZATION_TYPE AWS_LAMBDA_LOG_GROUP_NAME "
    "AWS_LAMBDA_LOG_STREAM_NAME AWS_LAMBDA_MAX_CONCURRENCY AWS_LAMBDA_METADATA_API AWS_LAMBDA_METADATA_TOKEN "
    "AWS_LAMBDA_RUNTIME_API AWS_REGION AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN LAMBDA_RUNTIME_DIR LAMBDA_TASK_ROOT "
    "_HANDLER _X_AMZN_TRACE_ID".split()
)
_INSTEAD = {
    "REGION": "for another region: AWS_REGION=eu-west-1 ./run.sh",
    "ACCESS_KEY": "for your credentials: ./run.sh --profile NAME",
    "SESSION_TOKEN": "for your credentials: ./run.sh --profile NAME",
}


class Unfit(Exception):
    """The file cannot be read, or names something that the template does not have; the text says what to change."""


def read(file: str) -> dict[str, Any]:
    """The JSON object in the file; SAM CLI would read anything else as lines of NAME=value. Raises Unfit."""
    try:
        with open(file, encoding="utf-8-sig") as stream:
            values = json.load(stream)
    except ValueError as error:
        raise Unfit(f"{file} is not valid JSON: {error}; compare it with env.json.example") from None
    if not isinstance(values, dict):
        raise Unfit(f"{file} must be a JSON object with a key for each function, as in env.json.example")
    return values


def check(file: str, values: Mapping[str, Any], functions: Sequence[tuple[Sequence[str], Collection[str]]]) -> None:
    """Compares the values that a file gives with what the template declares.

    `values` is {function: {variable: value}}, where the name "Parameters" stands for every function; `functions` is a
    list of (names, variables): all names of a function, and the variables that it declares.
    Raises Unfit.
    """
    known = sorted(names[0] for names, _ in functions)
    for function, given in values.items():
        if not isinstance(given, dict):
            raise Unfit(f'{file}: "{function}" must be a JSON object of variables, as in env.json.example')
        declared = [variables for names, variables in functions if function == "Parameters" or function in names]
        if not declared and function != "Parameters":
            raise Unfit(f'{file}: the template has no function "{function}"; it has {", ".join(known)}')
        for name, value in given.items():
            if name in _RESERVED:
                instead = next((text for part, text in _INSTEAD.items() if part in name), "remove it")
                raise Unfit(f'{file}: "{name}" of {function} is reserved: Lambda sets it; {instead}')
            if not name.startswith(ENDPOINT) and not any(name in variables for variables in declared):
                where = "a function" if function == "Parameters" else function
                raise Unfit(
                    f'{file}: "{name}" is not declared for {where}; declare it in template.yaml, below Variables: '
                    f"of {where}, with a value for AWS:\n  {name}: value"
                )
            if isinstance(value, (dict, list)):
                raise Unfit(f'{file}: "{name}" of {function} must be a string, a number or a boolean')
