"""Lambda's Invoke API, for `start-lambda`: a request becomes an invoke, its result a response. No I/O but the engine's.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html, and recordings of it (LocalStack, tests/aws/services/
lambda_/test_lambda.snapshot.json), from which the messages are taken.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn
from urllib.parse import unquote

from local.engine import EVENT_LIMIT, CannotRun, Engine, Function, Invoke, Result, StillRunning
from local.gateway.model import Request, Response
from local.run import Run
from local.terminal import say, shown

# Bytes of an asynchronous event: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_UNATTENDED_LIMIT = 1024 * 1024

# Bytes of the log that are returned for LogType=Tail.
_TAIL = 4096

_PATH = re.compile(r"/2015-03-31/functions/([^/]+)/invocations/?")

# A name, alone or after the other parts of an ARN, with or without a version.
_NAME = re.compile(r"(?:(?:arn:[\w-]+:lambda:[\w-]+:)?\d{12}:function:)?([^:]+)(?::([^:]+))?")

# Invokes without a waiting caller; the event loop itself keeps no reference to its tasks.
_unattended: set[asyncio.Task] = set()


class InvokeApi:
    """The application that ./run.sh start-lambda serves."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def describe(self, url: str) -> list[str]:
        """A command that invokes the first function."""
        function = next(iter(self._run.reading.project.functions.values()), None)
        command = f"aws lambda invoke --endpoint-url {url} --no-sign-request --region us-east-1"
        return [f"Try it: .tools/bin/{command} --function-name {function.name} /dev/stdout"] if function else []

    async def answer(self, request: Request) -> Response:
        return await answer(request, (await self._run.project()).by_name, self._run.engine)

    def refused(self, status: int, request: Request) -> Response:
        """The front's own refusal, before there is an invoke."""
        code = {413: "RequestTooLargeException", 500: "ServiceException"}.get(status, "InvalidRequestContentException")
        body = json.dumps({"Type": "User", "message": f"the request is refused with {status}"}).encode()
        headers = (("Content-Type", "application/json"), ("x-amzn-RequestId", request.id), ("x-amzn-ErrorType", code))
        return Response(status, headers, body)


class _Refused(Exception):
    """An error of the API: HTTP status, the name that SDKs raise, message, and whose fault it is."""

    def __init__(self, status: int, code: str, message: str, type: str | None = "User", key: str = "message") -> None:
        self.status, self.code, self.body = status, code, {"Type": type, key: message}


async def answer(request: Request, functions: Mapping[str, Function], engine: Engine) -> Response:
    """The response to a request of the Invoke API. `functions` has each function under all its names."""
    headers = {name.lower(): value for name, value in request.headers}
    try:
        response = await _answer(request, headers, functions, engine)
    except _Refused as refused:
        body = json.dumps(refused.body).encode()
        response = Response(refused.status, (("x-amzn-ErrorType", refused.code),), body)
    kind = [("Content-Type", "application/json")] if response.body else []
    return replace(response, headers=(*kind, ("x-amzn-RequestId", request.id), *response.headers))


async def _answer(
    request: Request, headers: Mapping[str, str], functions: Mapping[str, Function], engine: Engine
) -> Response:
    """The response without the headers that all have."""
    function = _find(request, functions)
    kind = headers.get("x-amz-invocation-type", "RequestResponse")
    tail = headers.get("x-amz-log-type", "None")
    _one_of("invocationType", kind, ("Event", "RequestResponse", "DryRun"))
    _one_of("logType", tail, ("Tail", "None"))
    event = _event(request.body, kind, _UNATTENDED_LIMIT if kind == "Event" else EVENT_LIMIT)
    tenant = headers.get("x-amz-tenant-id")
    if function.tenants != bool(tenant):
        text = "Add a valid tenant ID in" if function.tenants else "Remove the tenant ID from"
        state = "enabled" if function.tenants else "not enabled"
        raise _Refused(
            400,
            "InvalidParameterValueException",
            f"The invoked function is {state} with tenancy configuration. {text} your request and try again.",
        )
    if kind == "DryRun":
        return Response(204)
    invoke = Invoke(
        function,
        event,
        request.id,
        trace=request.function_trace,
        tenant=tenant,
        client_context=_client_context(headers.get("x-amz-client-context")),
        tail=tail == "Tail",
    )
    if kind == "Event":
        task = asyncio.get_running_loop().create_task(_unwatched(engine, invoke))
        _unattended.add(task)
        task.add_done_callback(_unattended.discard)
        return Response(202)
    result = await _invoke(engine, invoke)
    more, note = [("X-Amz-Executed-Version", "$LATEST")], result.note(time.time() - request.received)
    if result.error:
        more.append(("X-Amz-Function-Error", result.error))
        note += f": {shown(result.reason)}"
    if invoke.tail:
        more.append(("X-Amz-Log-Result", base64.b64encode(result.log[-_TAIL:]).decode()))
    return Response(200, tuple(more), result.payload, note)


async def _invoke(engine: Engine, invoke: Invoke) -> Result:
    try:
        return await engine.invoke(invoke)
    except CannotRun as error:
        say(str(error))
        raise _Refused(500, "ServiceException", str(error), "Service", "Message") from None
    except StillRunning:
        raise _Refused(504, "ServiceException", "The function is still running", "Service", "Message") from None


async def _unwatched(engine: Engine, invoke: Invoke) -> None:
    """Runs an asynchronous invoke. Lambda would retry it twice; here the terminal shows the error."""
    try:
        result = await _invoke(engine, invoke)
    except _Refused as refused:
        return say(f"Event for {invoke.function.name} failed: {refused.code}")
    if result.error:
        reason = json.loads(result.payload)
        say(f"Event for {invoke.function.name} failed: {shown(str(reason.get('errorType')))}; no retries here")


def _find(request: Request, functions: Mapping[str, Function]) -> Function:
    found = _PATH.fullmatch(request.path)
    if not found or request.method != "POST":
        raise _Refused(404, "UnknownOperationException", f"{request.method} {request.path} is not an Invoke request")
    wanted = unquote(found[1])
    named = _NAME.fullmatch(wanted)
    query = dict(pair.partition("=")[::2] for pair in request.query.split("&"))
    qualifier = unquote(query.get("Qualifier", "")) or (named and named[2]) or "$LATEST"
    function = functions.get(wanted) or (named and functions.get(named[1]))
    if not function or qualifier != "$LATEST":
        known = next(iter(functions.values()), None)
        start = known.arn.rpartition(":")[0] if known else "arn:aws:lambda:us-east-1:012345678912:function"
        name = named[1] if named else wanted
        raise _Refused(
            404, "ResourceNotFoundException", f"Function not found: {start}:{name}:{qualifier}", key="Message"
        )
    return function


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise _Refused(
            400,
            "InvalidParameterValueException",
            f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(known)}]",
        )


def _event(body: bytes, kind: str, limit: int) -> bytes:
    if len(body) > limit:
        text = f"{len(body)} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
        raise _Refused(413, "RequestTooLargeException", text)
    try:
        json.loads(body.decode() or "{}", parse_constant=_no_json)
    except ValueError as error:  # also for what is not UTF-8
        text = f"Could not parse request body into json: Could not parse payload into json: {error}"
        raise _Refused(400, "InvalidRequestContentException", text) from None
    except RecursionError:
        pass  # JSON, however deeply nested
    return body or b"{}"


def _no_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _client_context(encoded: str | None) -> str | None:
    if not encoded:
        return None
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        json.loads(text)
        return text
    except (binascii.Error, ValueError):
        message = "Client context must be a valid Base64-encoded JSON object."
        raise _Refused(400, "InvalidRequestContentException", message, None) from None
