"""API Gateway's own answers.

Statuses: https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html. Bodies and
x-amzn-ErrorType as recorded in LocalStack's validated tests (test_apigateway_common.py, test_apigateway_lambda.py) and
published by callers; those from an integration have a space after the colon, the others none.
"""

from __future__ import annotations

import json

from local.gateway.model import Kind, Request, Response

_REFUSALS = {
    400: ("BadRequestException", "Bad Request", "Bad Request"),
    401: ("UnauthorizedException", "Unauthorized", "Unauthorized"),
    403: ("ForbiddenException", "Forbidden", "Forbidden"),
    404: ("NotFoundException", "Not Found", "Not Found"),
    408: ("RequestTimeoutException", "Request Timeout", "Request Timeout"),
    413: ("RequestTooLargeException", "Request Too Long", "Request Entity Too Large"),
    414: ("RequestUriTooLongException", "Request-URI Too Long", "Request-URI Too Long"),
    431: ("RequestHeaderFieldsTooLargeException",) + ("Request Header Fields Too Large",) * 2,
    500: ("InternalServerErrorException", "Internal server error", "Internal Server Error"),
    503: ("ServiceUnavailableException", "Service Unavailable", "Service Unavailable"),
}


def ids(kind: Kind, request: Request) -> tuple[tuple[str, str], ...]:
    """The headers that every answer of an API has."""
    if kind == "http":
        return (("Apigw-Requestid", request.extended_id),)
    return (("x-amzn-RequestId", request.id), ("x-amz-apigw-id", request.extended_id))


def error(kind: Kind, request: Request, status: int, rest: tuple[str, bytes], http: bytes) -> Response:
    """An error of either kind of API: `rest` is x-amzn-ErrorType and body, `http` the body."""
    headers = (("Content-Type", "application/json"), *ids(kind, request))
    if kind == "http":
        return Response(status, headers, http)
    return Response(status, (*headers, ("x-amzn-ErrorType", rest[0])), rest[1])


def no_route(kind: Kind, request: Request) -> Response:
    """403 from a REST API, also for a missing method of a path; 404 from an HTTP API."""
    rest = ("MissingAuthenticationTokenException", b'{"message":"Missing Authentication Token"}')
    return error(kind, request, 403 if kind == "rest" else 404, rest, b'{"message":"Not Found"}')


def refused(status: int, kind: Kind, request: Request, message: str | None = None) -> Response:
    """A refusal before the function: 400, 401 (no identity), 403 (no API key, wrong Host), 404, 413, 414, 431, …"""
    type, *messages = _REFUSALS.get(status) or _REFUSALS[400 if status < 500 else 500]
    rest, http = (json.dumps({"message": message or text}, separators=(",", ":")).encode() for text in messages)
    return error(kind, request, status, (type, rest), http)


def failed(kind: Kind, request: Request, rest: int = 502) -> Response:
    """The function failed or its answer is malformed; `rest` is the status of a REST API, 500 that of an HTTP API."""
    body = ("InternalServerErrorException", b'{"message": "Internal server error"}')
    status = rest if kind == "rest" else 500
    return error(kind, request, status, body, b'{"message":"Internal Server Error"}')
