"""API Gateway's own answers.

Statuses: https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html. Bodies and
x-amzn-ErrorType as recorded in LocalStack's validated tests (test_apigateway_common.py, test_apigateway_lambda.py) and
published by callers; those from an integration have a space after the colon, the others none.
"""

from __future__ import annotations

from local.gateway.model import Kind, Response

_JSON = ("Content-Type", "application/json")


def ids(kind: Kind, id: str, extended_id: str) -> tuple[tuple[str, str], ...]:
    """The headers that every answer of an API has."""
    if kind == "http":
        return (("Apigw-Requestid", extended_id),)
    return (("x-amzn-RequestId", id), ("x-amz-apigw-id", extended_id))


def own(response: Response, id: str, extended_id: str, kind: Kind) -> Response:
    """A response that is already known, with this request's ids."""
    return Response(response.status, ids(kind, id, extended_id) + response.headers, response.body)


def error(kind: Kind, id: str, extended_id: str, status: int, rest: tuple[str, bytes], http: bytes) -> Response:
    """An error of either kind of API: `rest` is x-amzn-ErrorType and body, `http` the body."""
    headers = (_JSON, *ids(kind, id, extended_id))
    if kind == "http":
        return Response(status, headers, http)
    return Response(status, (*headers, ("x-amzn-ErrorType", rest[0])), rest[1])


def no_route(kind: Kind, id: str, extended_id: str) -> Response:
    """403 from a REST API, also for a missing method of a path; 404 from an HTTP API."""
    rest = ("MissingAuthenticationTokenException", b'{"message":"Missing Authentication Token"}')
    return error(kind, id, extended_id, 403 if kind == "rest" else 404, rest, b'{"message":"Not Found"}')


def unauthorized(kind: Kind, id: str, extended_id: str) -> Response:
    """An identity source is missing, or a REST API's authorizer says "Unauthorized"."""
    body = b'{"message":"Unauthorized"}'
    return error(kind, id, extended_id, 401, ("UnauthorizedException", body), body)


def forbidden(kind: Kind, id: str, extended_id: str) -> Response:
    """No API key, a host that is not served, or an HTTP API's authorizer does not allow the request."""
    body = b'{"message":"Forbidden"}'
    return error(kind, id, extended_id, 403, ("ForbiddenException", body), body)


def failed(kind: Kind, id: str, extended_id: str, rest: int = 502) -> Response:
    """The function failed or its answer is malformed; `rest` is the status of a REST API, 500 that of an HTTP API."""
    body = ("InternalServerErrorException", b'{"message": "Internal server error"}')
    status = rest if kind == "rest" else 500
    return error(kind, id, extended_id, status, body, b'{"message":"Internal Server Error"}')
