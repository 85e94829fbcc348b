"""Lambda authorizers: their identity sources, their event, and the outcome of their answer.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
Events as recorded in aws-powertools for TypeScript (packages/parser/tests/events/apigw-rest, apigw-http). The texts are
as callers have reported them; those of errors are from https://github.com/aws/aws-lambda-go/issues/81.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from local.gateway import cors, errors
from local.gateway.event import event as function_event
from local.gateway.event import payload_1, payload_2, query
from local.gateway.model import Authorizer, Request, Response
from local.gateway.routes import Match

_ACTION = "execute-api:Invoke"
_DENIED = "User is not authorized to access this resource"
_BROKEN = b'{"message":null}'


class _Malformed(Exception):
    """API Gateway does not accept the authorizer's answer."""


def event(request: Request, match: Match) -> dict[str, Any] | Response:
    """The authorizer's event; or 401 where an identity source is missing. `match.route.authorizer` is not None."""
    authorizer = match.route.authorizer
    assert authorizer
    sources = [_source(place, name, request, match) for place, name in authorizer.sources]
    if not all(sources) or not _valid(sources, authorizer):
        return cors.added(errors.refused(401, match.api.kind, request), request, match.api)
    arn = _arn(request, match)
    if authorizer.type == "token":
        token = sources[0] if sources else _source("header", "Authorization", request, match)
        return {"type": "TOKEN", "methodArn": arn, "authorizationToken": token}
    if authorizer.payload == "2.0":
        first = {"version": "2.0", "type": "REQUEST", "routeArn": arn, "identitySource": sources}
        return {**first, **payload_2(request, match)}
    found: dict[str, Any] = {"type": "REQUEST", "methodArn": arn}
    if match.api.kind == "http":
        source = ",".join(text for text in sources if text)
        found = {"version": "1.0", **found, "identitySource": source, "authorizationToken": source}
    found.update(payload_1(request, match, length=True))
    for name in ("queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "stageVariables"):
        found[name] = found[name] or {}
    return found


def outcome(
    payload: bytes, failed: bool, request: Request, match: Match, latency: int = 0
) -> dict[str, Any] | Response:
    """What `event.event` takes as `authorizer`, or the refusal.

    `failed`: the authorizer ended in an error, and `payload` is that error. `latency` is its duration in milliseconds.
    """
    authorizer = match.route.authorizer
    assert authorizer
    rest = match.api.kind == "rest"
    try:
        answer = json.loads(payload)
        if failed:
            if rest and answer["errorMessage"] == "Unauthorized":
                return errors.refused(401, "rest", request)
            raise _Malformed
        if not isinstance(answer, dict):
            raise _Malformed
        simple = authorizer.simple and authorizer.payload == "2.0"
        allowed = _simple(answer) if simple else _permits(answer, _arn(request, match))
        if not allowed:
            return _refused(allowed is False, request, match)
        return _context(answer, rest, match, latency)
    except (_Malformed, ValueError, TypeError, KeyError, RecursionError):
        error = ("AuthorizerConfigurationException", _BROKEN)
        body = b'{"message":"Internal Server Error"}'
        return cors.added(errors.error(match.api.kind, request, 500, error, body), request, match.api)


def _arn(request: Request, match: Match) -> str:
    """The ARN of the requested method and path."""
    return f"{match.arn}/{request.method}{match.path}"


def _source(place: str, name: str, request: Request, match: Match) -> str | None:
    """The value of an identity source; header names are matched in any case."""
    if place == "header":
        return request.header(name)
    if place == "query":
        return next(iter(query(request.query).get(name, ())), None)
    if place == "stage":
        return match.api.variables.get(name)
    if place == "context":
        found: Any = function_event(request, match)
        for key in ("requestContext", *name.split(".")):
            found = found.get(key) if isinstance(found, dict) else None
        return None if found is None or isinstance(found, dict) else str(found)
    return None


def _valid(sources: list[str | None], authorizer: Authorizer) -> bool:
    """Whether the token matches the authorizer's regular expression, if it has one."""
    if not authorizer.validation or not sources:
        return True
    try:
        return re.match(authorizer.validation, sources[0] or "") is not None
    except re.error:
        return True


def _simple(answer: dict[str, Any]) -> bool:
    allowed = answer.get("isAuthorized")
    if not isinstance(allowed, bool):
        raise _Malformed
    return allowed


def _permits(answer: dict[str, Any], arn: str) -> bool | None:
    """True if the policy allows the method's ARN, False if it denies it, None if neither; a denial takes precedence."""
    statements = answer["policyDocument"]["Statement"]
    found = {
        _text(statement["Effect"])
        for statement in (statements if isinstance(statements, list) else [statements])
        if _applies(statement, "Action", _ACTION, re.IGNORECASE) and _applies(statement, "Resource", arn)
    }
    return False if "Deny" in found else True if "Allow" in found else None


def _applies(statement: dict[str, Any], element: str, text: str, flags: int = 0) -> bool:
    """Whether a statement's Action or Resource (NotAction, NotResource) is about the text."""
    if element in statement:
        return _matches(statement[element], text, flags)
    return not _matches(statement[f"Not{element}"], text, flags)


def _matches(patterns: Any, text: str, flags: int) -> bool:
    """Whether the text matches one of IAM's patterns, in which * and ? are wildcards."""
    patterns = patterns if isinstance(patterns, list) else [patterns]
    return any(_pattern(_text(pattern), flags).fullmatch(text) for pattern in patterns)


@lru_cache(maxsize=1024)
def _pattern(pattern: str, flags: int) -> re.Pattern[str]:
    # Adjacent wildcards are merged: a regular expression would try every way to divide the text among them.
    pattern = re.sub(r"\*[*?]*", lambda found: "?" * found[0].count("?") + "*", pattern)
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), flags | re.DOTALL)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Malformed
    return value


def _refused(explicitly: bool, request: Request, match: Match) -> Response:
    if match.api.kind == "http":
        return cors.added(errors.refused(403, "http", request), request, match.api)
    message = _DENIED + " with an explicit deny in an identity-based policy" * explicitly
    body = json.dumps({"Message": message}, separators=(",", ":")).encode()
    return errors.error("rest", request, 403, ("AccessDeniedException", body), b"")


def _context(answer: dict[str, Any], rest: bool, match: Match, latency: int) -> dict[str, Any]:
    """The context for the function's event: as text in a REST API, as it is in an HTTP API."""
    context = answer.get("context")
    if context is not None and not isinstance(context, dict):
        raise _Malformed
    if rest:
        principal = _text(answer["principalId"])
        texts = {name: None if value is None else _string(value) for name, value in (context or {}).items()}
        return {"principalId": principal, "integrationLatency": latency, **texts}
    if match.route.payload == "2.0":
        return {"lambda": context}
    return {name: answer[name] for name in ("principalId",) if name in answer} | (context or {})


def _string(value: Any) -> str:
    if isinstance(value, (dict, list)):
        raise _Malformed
    return value if isinstance(value, str) else json.dumps(value)
