"""What API Gateway reads from an OpenAPI document with its extensions.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local.gateway.model import METHODS, Response

_ANY = "x-amazon-apigateway-any-method"
_PLACES = ("query", "header", "path")
_STATUS = re.compile(r"""["']?statusCode["']?\s*:\s*["']?(\d{3})""")


@dataclass(frozen=True)
class Operation:
    """A method of a path. `security` has the names of the required schemes, or None where the API's own apply.

    `required` are the parameters without which API Gateway answers 400, as (place, name); `checks_body` says whether it
    compares the body with a model.
    """

    method: str
    path: str
    integration: Mapping[str, Any]
    id: str | None = None
    security: tuple[str, ...] | None = None
    required: tuple[tuple[str, str], ...] = ()
    checks_body: bool = False


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """The document's operations in its order."""
    for path, item in table(document, "paths").items():
        for name, found in item.items() if isinstance(item, dict) else ():
            name = str(name).lower()
            method = "ANY" if name == _ANY else name.upper()
            if not isinstance(found, dict) or (method != "ANY" and method not in METHODS):
                continue
            names = [(one.get("in"), one) for one in (*_listed(item, "parameters"), *_listed(found, "parameters"))]
            validator = _validator(document, found)
            yield Operation(
                method=method,
                path=str(path),
                integration=table(found, "x-amazon-apigateway-integration"),
                id=found.get("operationId"),
                security=security(found),
                required=tuple(
                    (place, str(one.get("name")))
                    for place, one in names
                    if place in _PLACES and one.get("required") is True and validator.get("validateRequestParameters")
                ),
                checks_body=bool(validator.get("validateRequestBody")),
            )


def security(value: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names of the schemes that a document or an operation requires, or None if it does not say."""
    if not isinstance(value.get("security"), list):
        return None
    return tuple(name for one in _listed(value, "security") for name in one)


def schemes(document: Mapping[str, Any]) -> dict[str, Any]:
    """The security schemes by name, in OpenAPI 2 and 3."""
    return {**table(document, "securityDefinitions"), **table(table(document, "components"), "securitySchemes")}


def mock(integration: Mapping[str, Any]) -> tuple[Response, bool]:
    """What a mock integration answers, and whether that is certain: mapping templates are not evaluated.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-mock-integration.html
    """
    request = next(iter(table(integration, "requestTemplates").values()), "")
    status = found[1] if (found := _STATUS.search(str(request))) else "200"
    responses = {str(key): value for key, value in table(integration, "responses").items() if isinstance(value, dict)}
    pattern = next((key for key in responses if key != "default" and _matches(key, status)), "default")
    if pattern not in responses:
        return Response(500, (("Content-Type", "application/json"),), b'{"message": "Internal server error"}'), True
    response = responses[pattern]
    templates = table(response, "responseTemplates")
    kind, body = next(iter(templates.items()), ("application/json", ""))
    body = "" if body is None else str(body)
    headers, certain = [("Content-Type", str(kind))], "$" not in body and "#" not in body
    for target, value in table(response, "responseParameters").items():
        name, literal = target.removeprefix("method.response.header."), str(value)
        if literal[:1] == literal[-1:] == "'":
            headers = [one for one in headers if one[0].lower() != name.lower()] + [(name, literal[1:-1])]
        else:
            certain = False
    code = str(response.get("statusCode", status))
    return Response(int(code) if code.isdecimal() else 200, tuple(headers), body.encode()), certain


def table(value: Any, key: str) -> dict[str, Any]:
    """The table with the key, or an empty one."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, dict) else {}


def _listed(value: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = value.get(key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _validator(document: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[str, Any]:
    key = "x-amazon-apigateway-request-validator"
    return table(table(document, f"{key}s"), str(operation.get(key) or document.get(key)))


def _matches(pattern: str, status: str) -> bool:
    try:
        return re.fullmatch(pattern, status) is not None
    except re.error:
        return False
