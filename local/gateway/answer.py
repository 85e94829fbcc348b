"""What the client gets for a function's answer or for a failure.

REST API: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html, with what
LocalStack's validated tests recorded (test_aws_proxy_response_payload_format_validation and …_binary_response).
HTTP API: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html, with
LocalStack's recordings of function URLs, which infer answers alike (test_lambda_url_invocation).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, replace
from typing import Any

from local.gateway import cors, errors
from local.gateway.event import is_binary, media_type
from local.gateway.model import Request, Response
from local.gateway.routes import Match

_KEYS = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_VALUES = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html has a table; where a
# recording says otherwise (LocalStack, TestApiGatewayHeaderRemapping; x-amzn-remapped-content-length), it decides.
_REMAPPED = frozenset(
    (
        "authorization",
        "connection",
        "content-length",
        "content-md5",
        "date",
        "expect",
        "host",
        "max-forwards",
        "proxy-authenticate",
        "server",
        "trailer",
        "upgrade",
        "user-agent",
        "www-authenticate",
        "x-amzn-requestid",
        "x-forwarded-for",
    )
)
_DROPPED = frozenset(
    ("keep-alive", "proxy-connection", "te", "transfer-encoding", "via", "x-amz-apigw-id", "x-amzn-trace-id")
)
_DROPPED_HTTP = frozenset(
    (
        "apigw-requestid",
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-connection",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
_REMAPPED_HTTP = frozenset(("www-authenticate",))  # https://github.com/anthropics/claude-ai-mcp/issues/748
_BINARY = ("image/", "audio/", "video/", "font/")
_BINARY_TYPES = frozenset(
    f"application/{name}" for name in ("octet-stream", "pdf", "zip", "gzip", "x-gzip", "x-tar", "wasm", "msgpack")
)
# The client cannot get a status that HTTP does not have, nor one that precedes another response; the form is that of
# StatusCode in https://docs.aws.amazon.com/apigateway/latest/api/API_IntegrationResponse.html, without 1xx.
_STATUSES = range(200, 600)


class _Malformed(Exception):
    """API Gateway refuses the answer; the text says what is wrong and how to fix it."""


class _NoBase64(Exception):
    """isBase64Encoded is true, but the body is not base64."""


@dataclass(frozen=True)
class Answer:
    """`remarks` are lines for the terminal, each shown only once; `refused` is why the client gets an error."""

    response: Response
    remarks: tuple[str, ...] = ()
    refused: str = ""


def response(payload: bytes, request: Request, match: Match) -> Answer:
    """The client's answer, made from what the function returned (JSON), malformed or not.

    For HEAD, the body's length counts but its bytes are not sent; 204 and 304 have no body. There is no
    Content-Length.
    """
    remarks: list[str] = []
    refused = ""
    try:
        found = _response(payload, request, match, remarks)
    except _Malformed as error:
        refused = f"malformed answer: {error}"
        found = failed(request, match)
    except _NoBase64:
        refused = "isBase64Encoded is true, but the body is not base64: base64.b64encode it"
        found = cors.added(errors.failed(match.api.kind, request, rest=500), request, match.api)
    return Answer(found, tuple(f"{match.route.function}: {remark}" for remark in remarks), refused)


def failed(request: Request, match: Match) -> Response:
    """The function ended in an error or could not be run: 502 of a REST API, 500 of an HTTP API."""
    return cors.added(errors.failed(match.api.kind, request), request, match.api)


def too_slow(request: Request, match: Match) -> Response:
    """The function took longer than the API waits: 504 of a REST API, 503 of an HTTP API."""
    kind = match.api.kind
    rest = ("InternalServerErrorException", b'{"message": "Endpoint request timed out"}')
    status, http = 504 if kind == "rest" else 503, b'{"message":"Service Unavailable"}'
    return cors.added(errors.error(kind, request, status, rest, http), request, match.api)


def too_large(request: Request, match: Match) -> Response:
    """The event is larger than Lambda allows (6 MB): 413."""
    found = cors.added(errors.refused(413, match.api.kind, request), request, match.api)
    return replace(found, note=": the event, including the body, is larger than 6 MB, Lambda's limit")


def mock(request: Request, match: Match) -> Response:
    """The answer of a mock integration; `match.route.mock` is not None."""
    found = match.route.mock
    assert found
    return replace(found, headers=errors.ids(match.api.kind, request) + found.headers)


def _response(payload: bytes, request: Request, match: Match, remarks: list[str]) -> Response:
    rest = match.api.kind == "rest"
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError):
        raise _Malformed(f"{_shown(payload[:200].decode('utf-8', 'replace'))} is not JSON") from None
    if match.route.payload == "2.0" and (not isinstance(answer, dict) or answer.get("statusCode") is None):
        text = answer if isinstance(answer, str) else json.dumps(answer, separators=(",", ":"), ensure_ascii=False)
        headers = [("Content-Type", "application/json")]
        return _finished(200, headers, text.encode("utf-8", "replace"), request, match)
    if not isinstance(answer, dict):
        raise _Malformed(f"the function returned {_kind(answer)}; return a dict with statusCode and body")
    if rest and (unknown := answer.keys() - _KEYS - {"base64Encoded"}):
        raise _Malformed(f"API Gateway does not know {_names(unknown)}; it knows {_names(_KEYS)}")
    status = _status(answer, match, remarks)
    encoded = _flag(answer, "base64Encoded" if rest and answer.get("base64Encoded") is not None else "isBase64Encoded")
    body = _body(answer.get("body"), encoded, request, match, remarks)
    headers = _headers(answer, match, len(body), remarks)
    type = next((value for name, value in headers if name.lower() == "content-type"), None)
    if type is None:
        if rest:
            headers.insert(0, ("Content-Type", "application/json"))
        elif body:
            headers.insert(0, ("Content-Type", "text/plain; charset=utf-8"))
    elif body and not encoded and ((type := media_type(type)) in _BINARY_TYPES or type.startswith(_BINARY)):
        if type != "image/svg+xml":
            remarks.append(
                f"Content-Type {_shown(type)} without isBase64Encoded: the body is sent as text in UTF-8; "
                "base64.b64encode it and return isBase64Encoded: True"
            )
    if body and status in (204, 304):
        remarks.append(f"status {status} has no body; the function's body is dropped")
        body = b""
    if status == 204:
        headers = [(name, value) for name, value in headers if name.lower() != "content-type"]
    if rest:
        headers.append(("X-Amzn-Trace-Id", request.function_trace))
    return _finished(status, headers, body, request, match)


def _finished(status: int, headers: list[tuple[str, str]], body: bytes, request: Request, match: Match) -> Response:
    found = Response(status, (*headers, *errors.ids(match.api.kind, request)), body)
    return cors.added(found, request, match.api)


def _status(answer: dict[str, Any], match: Match, remarks: list[str]) -> int:
    status = answer.get("statusCode")
    if status is None and match.api.kind == "rest":
        remarks.append("the answer has no statusCode; API Gateway takes that as 200")
        return 200
    if isinstance(status, str) and status.isascii() and status.isdigit():
        status = int(status[:9])
    if isinstance(status, float) and status.is_integer():
        status = int(status)
    if not isinstance(status, int) or status not in _STATUSES:  # True is 1
        raise _Malformed(f"statusCode is {_shown(answer.get('statusCode'))}; API Gateway needs one from 200 to 599")
    return status


def _headers(answer: dict[str, Any], match: Match, length: int, remarks: list[str]) -> list[tuple[str, str]]:
    """The function's headers, as API Gateway sends them; `length` is that of the body."""
    found: list[tuple[str, str]] = []
    single = _object(answer, "headers", "strings")
    listed = _object(answer, "multiValueHeaders", "lists of strings")
    cookies = answer.get("cookies")
    if match.route.payload == "2.0":
        if listed:
            remarks.append("multiValueHeaders are ignored in payload 2.0; use headers, and cookies for Set-Cookie")
            listed = {}
    elif cookies is not None:
        remarks.append("cookies are ignored in payload 1.0; use multiValueHeaders with Set-Cookie")
        cookies = None
    others = {name.lower(): values for name, values in listed.items()}
    for name, values in listed.items():
        if not isinstance(values, list):
            raise _Malformed(f"multiValueHeaders: {_shown(name)} is {_kind(values)}; API Gateway needs a list")
        found += [(name, _scalar(name, value)) for value in values if value is not None]
    for name, value in single.items():
        if value is None:
            continue
        text = _scalar(name, value)
        if (same := others.get(name.lower())) is None:
            found.append((name, text))
        elif text not in same:  # multiValueHeaders decide on the spelling of the name
            found.append((next(key for key in listed if key.lower() == name.lower()), text))
    if cookies is not None:
        if not isinstance(cookies, list):
            raise _Malformed(f"cookies is {_kind(cookies)}; API Gateway needs a list of strings")
        found += [("Set-Cookie", _scalar("cookies", value)) for value in cookies if value is not None]
    return [header for name, value in found if (header := _sent(name, value, match, length, remarks))]


def _sent(name: str, value: str, match: Match, length: int, remarks: list[str]) -> tuple[str, str] | None:
    """The header as it is sent, or None. What frameworks add and API Gateway sends in any case gets no remark."""
    if not _TOKEN.fullmatch(name):
        raise _Malformed(f"{_shown(name)} is not a valid header name")
    if _NOT_IN_VALUES.search(value):
        raise _Malformed(f"the header {name} has a line feed or another control character: {_shown(value)}")
    if not value.isascii():
        changed = value.encode("latin-1", "replace").decode("latin-1")
        if changed != value:
            remarks.append(f"the header {name} has characters that HTTP forbids; they are sent as question marks")
            value = changed
    lower = name.lower()
    if lower == "content-length" and value.strip() == str(length):
        remarks = []
    http = match.api.kind == "http"
    if lower in (_DROPPED_HTTP if http else _DROPPED):
        remarks.append(f"API Gateway does not send the function's header {name}")
        return None
    if http and match.api.cors and lower.startswith("access-control-"):
        remarks.append(f"API Gateway does not send the function's header {name}: the API has its own CORS settings")
        return None
    if lower in (_REMAPPED_HTTP if http else _REMAPPED):
        remarks.append(f"API Gateway sends the function's header {name} as x-amzn-Remapped-{name}")
        name = f"x-amzn-Remapped-{name}"
    return name, value.strip()


def _body(body: Any, encoded: bool, request: Request, match: Match, remarks: list[str]) -> bytes:
    if body is None:
        return b""
    if isinstance(body, (dict, list)):
        raise _Malformed(f"body is {_kind(body)}; API Gateway needs a string: json.dumps it")
    text = body if isinstance(body, str) else json.dumps(body)
    if not encoded:
        return text.encode("utf-8", "replace")
    if match.api.kind == "rest":
        accept = request.header("accept") or ""
        if not is_binary(media_type(accept), match.api.binary_types):
            remarks.append(
                "isBase64Encoded is ignored: the first type of the client's Accept is not among BinaryMediaTypes; "
                "the body is sent as base64"
            )
            return text.encode("utf-8", "replace")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _NoBase64 from None


def _flag(answer: dict[str, Any], name: str) -> bool:
    value = answer.get(name)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value is None or isinstance(value, bool):
        return bool(value)
    raise _Malformed(f"{name} is {_shown(value)}; API Gateway needs a boolean")


def _object(answer: dict[str, Any], name: str, of: str) -> dict[str, Any]:
    value = answer.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _Malformed(f"{name} is {_kind(value)}; API Gateway needs an object of {of}")
    return value


def _scalar(name: str, value: Any) -> str:
    if isinstance(value, (dict, list)):
        raise _Malformed(f"the header {_shown(name)} is {_kind(value)}; API Gateway needs a string")
    return value if isinstance(value, str) else json.dumps(value)


def _kind(value: Any) -> str:
    return {dict: "a dict", list: "a list", str: "a string", bool: "a boolean", type(None): "None"}.get(
        type(value), "a number"
    )


def _names(keys: set[str]) -> str:
    return ", ".join(_shown(key) for key in sorted(keys))


def _shown(value: Any) -> str:
    """A value for the terminal, on one line and without control characters."""
    text = json.dumps(value)
    return text[:100] + "…" * (len(text) > 100)
