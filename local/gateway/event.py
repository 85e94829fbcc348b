"""The event that a function gets from API Gateway.

REST API: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
HTTP API: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
Where these say too little, it follows recordings: LocalStack's validated tests (test_apigateway_lambda.py),
hotsock/voker (vokerhttp/testdata), aws-powertools (tests/events; of TypeScript packages/parser/tests/events), floci
issue 2172.
"""

from __future__ import annotations

import base64
import re
import time
from typing import Any
from urllib.parse import unquote_plus

from local.gateway.model import Request
from local.gateway.routes import Match

# Headers of a request that do not arrive in a REST API's function (LocalStack, TestApiGatewayHeaderRemapping).
_DROPPED = frozenset(
    (
        "connection",
        "content-length",
        "content-md5",
        "expect",
        "max-forwards",
        "proxy-authenticate",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    )
)
# Headers that concern one connection only.
_HOP_BY_HOP = frozenset(
    ("connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)
# Headers whose names are not spelled as the client sent them; payload 1.0 of HTTP APIs has two more.
_SPELLED = {
    name.lower(): name
    for name in (
        "Authorization",
        "Host",
        "User-Agent",
        "X-Amzn-Trace-Id",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Proto",
    )
}
_SPELLED_HTTP = {**_SPELLED, "content-length": "Content-Length", "content-type": "Content-Type"}
_TEXT = frozenset(f"application/{name}" for name in ("graphql", "javascript", "json", "xml"))
_CHARSET = re.compile(r";\s*charset=(?!\"?utf-8\b)", re.IGNORECASE)
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def event(request: Request, match: Match, authorizer: dict[str, Any] | None = None) -> dict[str, Any]:
    """The function's event; `authorizer` is what `authorizer.outcome` returned, None without an authorizer."""
    if match.route.payload == "2.0":
        found = payload_2(request, match)
        body, encoded = _body_http(request)
        if body is not None:
            found["body"] = body
    else:
        found = payload_1(request, match)
        body, encoded = _body_http(request) if match.api.kind == "http" else _body_rest(request, match)
        found["body"] = body
    found["isBase64Encoded"] = encoded
    if authorizer is not None:
        found["requestContext"]["authorizer"] = authorizer
    return found


def payload_1(request: Request, match: Match, length: bool = False) -> dict[str, Any]:
    """Format 1.0 without a body; with the client's Content-Length, which an HTTP API always gives, if `length`."""
    api, route = match.api, match.route
    http = api.kind == "http"
    headers, lists = _headers_1(request, http, length or http)
    parameters = query(request.query, split_semicolons=not http)
    host = headers.get("Host", "")
    prefix = "" if api.stage == "$default" else f"/{api.stage}"
    path = prefix + match.path if http else match.path
    identity: dict[str, Any] = {
        "accessKey": None,
        "accountId": None,
        "caller": None,
        "cognitoAuthenticationProvider": None,
        "cognitoAuthenticationType": None,
        "cognitoIdentityId": None,
        "cognitoIdentityPoolId": None,
        "principalOrgId": None,
        "sourceIp": request.source_ip,
        "user": None,
        "userAgent": headers.get("User-Agent"),
        "userArn": None,
    }
    context: dict[str, Any] = {
        "accountId": api.account,
        "apiId": match.api_id,
        "domainName": host,
        "domainPrefix": _first_label(host),
        "extendedRequestId": request.extended_id,
        "httpMethod": request.method,
        "identity": identity,
        "path": path if http else prefix + match.sent,
        "protocol": request.protocol,
        "requestId": request.extended_id if http else request.id,
        "requestTime": _time(request.received),
        "requestTimeEpoch": int(request.received * 1000),
        "resourceId": match.resource_id,
        "resourcePath": route.path,
        "stage": api.stage,
    }
    found: dict[str, Any] = {"version": "1.0"} if http else {}
    if http:
        identity["cognitoAmr"] = None
        context["resourceId"] = _route_key(match)
    else:
        context["deploymentId"] = match.deployment_id
        if route.api_key and (key := request.header("x-api-key")):
            identity["apiKey"], identity["apiKeyId"] = key, match.resource_id
        if route.operation:
            context["operationName"] = route.operation
    found.update(
        resource=route.path,
        path=path,
        httpMethod=request.method,
        headers=headers,
        multiValueHeaders=lists,
        queryStringParameters={name: values[-1] for name, values in parameters.items()} or None,
        multiValueQueryStringParameters=parameters or None,
        pathParameters=match.parameters or None,
        stageVariables=api.variables or None,
        requestContext=context,
    )
    return found


def payload_2(request: Request, match: Match) -> dict[str, Any]:
    """Format 2.0 without body and isBase64Encoded."""
    api = match.api
    headers, cookies = _headers_2(request)
    key = _route_key(match)
    path = match.path if api.stage == "$default" else f"/{api.stage}{match.path}"
    host = headers.get("host", "")
    found: dict[str, Any] = {
        "version": "2.0",
        "routeKey": key,
        "rawPath": path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": api.account,
            "apiId": match.api_id,
            "domainName": host,
            "domainPrefix": _first_label(host),
            "http": {
                "method": request.method,
                "path": path,
                "protocol": request.protocol,
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request.extended_id,
            "routeKey": key,
            "stage": api.stage,
            "time": _time(request.received),
            "timeEpoch": int(request.received * 1000),
        },
    }
    if cookies:
        found["cookies"] = cookies
    if parameters := query(request.query):
        found["queryStringParameters"] = {name: ",".join(values) for name, values in parameters.items()}
    if match.parameters:
        found["pathParameters"] = match.parameters
    if api.variables:
        found["stageVariables"] = api.variables
    return found


def media_type(value: str) -> str:
    """The type of a Content-Type or of the first entry of an Accept header, in lower case."""
    return value.partition(",")[0].partition(";")[0].strip().lower()


def is_binary(type: str, binary_types: tuple[str, ...]) -> bool:
    """Whether a media type is among a REST API's BinaryMediaTypes; `*/*` matches anything, even without a type.

    An entry may end in `/*`; one that begins with `*/` matches nothing (LocalStack, test_aws_proxy_binary_response).
    """
    for entry in binary_types:
        entry = entry.lower()
        if entry == "*/*":
            return True
        if not entry.startswith("*/") and (entry == type or (entry.endswith("/*") and type.startswith(entry[:-1]))):
            return bool(type)
    return False


def _headers_1(request: Request, http: bool, length: bool) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The last value of each header, and all values."""
    spelled = _SPELLED_HTTP if http else _SPELLED
    dropped = _HOP_BY_HOP if http else _DROPPED
    headers: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for name, value in request.headers:
        lower = name.lower()
        if lower in dropped and not (length and lower == "content-length"):
            continue
        if (name := names.get(lower) or spelled.get(lower) or name) in lists:
            lists[name].append(value)
        else:
            names[lower] = name
            lists[name] = [value]
        headers[name] = value
    added = {
        "X-Forwarded-For": ", ".join([*lists.get("X-Forwarded-For", ()), request.source_ip]),
        "X-Forwarded-Port": str(request.port),
        "X-Forwarded-Proto": request.scheme,
        "X-Amzn-Trace-Id": request.trace,
    }
    if length and "content-length" not in names:
        added["Content-Length"] = str(len(request.body))
    return headers | added, lists | {name: [value] for name, value in added.items()}


def _headers_2(request: Request) -> tuple[dict[str, str], list[str]]:
    """Headers with names in lower case and values joined by commas, and cookies."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in request.headers:
        name = name.lower()
        if name in _HOP_BY_HOP:
            continue
        if name == "cookie":
            cookies += [cookie for piece in value.split(";") if (cookie := piece.strip())]
        elif name in headers:
            headers[name] += "," + value
        else:
            headers[name] = value
    headers.setdefault("content-length", str(len(request.body)))
    sent = headers.get("x-forwarded-for")
    headers["x-forwarded-for"] = f"{sent}, {request.source_ip}" if sent else request.source_ip
    headers["x-forwarded-port"] = str(request.port)
    headers["x-forwarded-proto"] = request.scheme
    headers["x-amzn-trace-id"] = request.trace
    return headers, cookies


def query(text: str, split_semicolons: bool = False) -> dict[str, list[str]]:
    """Decoded names and values. A REST API also splits at semicolons (API Gateway's important notes)."""
    found: dict[str, list[str]] = {}
    if split_semicolons:
        text = text.replace(";", "&")
    for pair in text.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            found.setdefault(_decoded(name), []).append(_decoded(value))
    return found


def _decoded(text: str) -> str:
    return _text(unquote_plus(text, errors="replace")) if "%" in text or "+" in text or not text.isascii() else text


def _body_rest(request: Request, match: Match) -> tuple[str | None, bool]:
    """Base64 if the Content-Type is among the BinaryMediaTypes, else text; bytes that are not UTF-8 are lost."""
    if not request.body:
        return None, False
    if (types := match.api.binary_types) and is_binary(media_type(_content_type(request)), types):
        return base64.b64encode(request.body).decode(), True
    return request.body.decode("utf-8", "replace"), False


def _body_http(request: Request) -> tuple[str | None, bool]:
    """Text for text, JSON, XML, JavaScript and GraphQL in UTF-8, else base64, also for forms and without a type."""
    if not request.body:
        return None, False
    content_type = _content_type(request)
    type = media_type(content_type)
    if (type.startswith("text/") or type in _TEXT) and not _CHARSET.search(content_type):
        return request.body.decode("utf-8", "replace"), False
    return base64.b64encode(request.body).decode(), True


def _content_type(request: Request) -> str:
    return request.header("content-type") or ""


def _route_key(match: Match) -> str:
    route = match.route
    return route.path if route.path == "$default" else f"{route.method} {route.path}"


def _first_label(host: str) -> str:
    return host if host.startswith("[") else host.partition(":")[0].partition(".")[0]


def _text(value: str) -> str:
    """A parameter, whose bytes may not be UTF-8, as characters that JSON can hold."""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _time(seconds: float) -> str:
    """A time as in the access log format, 06/Jan/2021:10:55:03 +0000, whatever the locale is."""
    t = time.gmtime(seconds)
    return f"{t[2]:02}/{_MONTHS[t[1]]}/{t[0]}:{t[3]:02}:{t[4]:02}:{t[5]:02} +0000"
