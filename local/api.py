"""API Gateway in front of an engine: a request becomes an event, and the function's answer a response."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import re
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.engine import CannotRun, Function, Invoke, Result, StillRunning, TooLarge
from local.gateway import answer, authorizer, errors, event, limits, validation
from local.gateway.model import Request, Response, Route
from local.gateway.routes import Match
from local.identifier import request_id
from local.project import Project
from local.recording import Recorder
from local.run import Run
from local.terminal import say, shown

# How much a request of each method takes to try: the start proposes the easiest.
_EFFORT = {"GET": 0, "ANY": 0, "POST": 1, "OPTIONS": 3}

# What stands in a text for bytes that are none.
_UNKNOWN = "\ufffd"

_json = json.JSONEncoder(separators=(",", ":")).encode


class ApiGateway:
    """The APIs of the template; `static` is a directory whose files are served where no route matches, or None.

    `recorder` gets each request's event and the function's answer. `keys` are the valid API keys; without them,
    any key is valid.
    """

    def __init__(
        self, run: Run, static: Path | None = None, recorder: Recorder | None = None, keys: Collection[str] = ()
    ) -> None:
        self._run, self._static, self._recorder, self._keys = run, static, recorder, keys
        self._said: set[str] = set()
        if not run.reading.project.apis:
            names = run.reading.project.functions
            commands = "; run a function without one:" + "".join(f"\n  ./run.sh invoke {name}" for name in names)
            why = [*run.reading.remarks, f"template.yaml has no API that runs here{commands if names else ''}"]
            raise CannotRun("\n".join(why))

    def describe(self, url: str) -> list[str]:
        """A line for each route, one about functions that have none, and a command that calls the easiest route."""
        project = self._run.reading.project
        known = project.every_route

        def effort(route: Route) -> tuple[bool, bool, int]:
            function = project.by_name.get(route.function)
            asked = bool(route.authorizer or route.api_key or route.required)
            return bool(function and function.container_only), asked, _EFFORT.get(route.method, 2)

        route = min(known, key=effort)
        # No authority vouches for this machine's certificate.
        options = ["--insecure"] * url.startswith("https")
        options += ["--request", route.method] * (route.method not in ("GET", "ANY"))
        options += ["--header", f"'X-Api-Key: {next(iter(self._keys), 'any')}'"] * route.api_key
        path = re.sub(r"\{[^}]*\}", "1", route.path).replace("$default", "/")
        routed = {one.function for one in known} | {one.authorizer.function for one in known if one.authorizer}
        alone = [name for name in project.functions if name not in routed]
        return [
            *[f"{one.method:7} {url}{one.path.replace('$default', ' ($default)')}" for one in known],
            *[f"Without a route: {', '.join(alone)}; to run one: ./run.sh invoke {name}" for name in alone[:1]],
            f"Try it: {' '.join(['curl', *options, url + path])}",
            "Changes apply from the next request.",
        ]

    def refused(self, status: int, request: Request) -> Response:
        return errors.refused(status, self._run.reading.project.routes.kind, request)

    async def answer(self, request: Request) -> Response:
        project = await self._run.project()
        match = project.routes.find(request)
        if isinstance(match, Response):
            return self._static_file(request) or self._no_route(request, match, project)
        context = await self._authorize(request, match, project)
        if isinstance(context, Response):
            return context
        return await self._integrate(request, match, project, context)

    async def _integrate(
        self, request: Request, match: Match, project: Project, context: dict[str, Any] | None
    ) -> Response:
        if match.route.mock:
            return answer.mock(request, match)
        if not (function := project.by_name.get(match.route.function)):
            say(f"{match.route.path} leads to {match.route.function}, which is not a function of the template")
            return answer.failed(request, match)
        content, wait = event.event(request, match, context), limits.WAIT[match.api.kind]
        if _UNKNOWN in (content.get("body") or "") and _UNKNOWN.encode() not in request.body:
            self._say_once(f"{function.name}: a body that is not text loses bytes; its type is not in BinaryMediaTypes")
        result = await self._invoke(function, content, request, match, wait)
        if isinstance(result, Response):
            return result
        note = result.note(time.time() - request.received)
        if self._recorder:
            note += await asyncio.to_thread(self._record, request, function, content, result)
        if result.error:
            return replace(answer.failed(request, match), note=f"{note}: {shown(result.reason)}")
        answered = answer.response(result.payload, request, match)
        for remark in answered.remarks:
            self._say_once(remark)
        if answered.refused:
            note += f": {shown(answered.refused)}"
        return replace(answered.response, note=note) if note else answered.response

    def _say_once(self, remark: str) -> None:
        if remark not in self._said:
            self._said.add(remark)
            say(shown(remark))

    def _record(self, request: Request, function: Function, content: dict[str, Any], result: Result) -> str:
        assert self._recorder
        try:
            file = self._recorder.record(request.method, request.path, function, content, result)
        except OSError as error:
            return f", not recorded: {error.strerror}"
        return f", recorded in {file}"

    async def _authorize(self, request: Request, match: Match, project: Project) -> dict[str, Any] | None | Response:
        """The authorizer's context for the event, None if there is no authorizer, or the refusal."""
        context = None
        if match.route.authorizer:
            asked = authorizer.event(request, match)
            if isinstance(asked, Response):
                return asked
            wait = limits.WAIT_AUTHORIZER if match.api.kind == "http" else limits.WAIT["rest"]
            function = project.by_name.get(match.route.authorizer.function)
            if not function:
                known = match.route.authorizer
                say(f"the authorizer {known.name} leads to {known.function}, which is not a function of the template")
                return authorizer.outcome(b"", True, request, match)
            result = await self._invoke(function, asked, request, match, wait)
            if isinstance(result, Response):
                return result
            latency = int(result.duration * 1000)
            context = authorizer.outcome(result.payload, result.error is not None, request, match, latency=latency)
            if isinstance(context, Response):
                if context.status == 500:
                    told = shown(result.payload.decode(errors="replace"))
                    say(f"500, the authorizer {match.route.authorizer.name} failed, or its answer is malformed: {told}")
                return context
        return validation.refusal(request, match, self._keys) or context

    async def _invoke(
        self, function: Function, content: dict[str, Any], request: Request, match: Match, wait: float | None
    ) -> Result | Response:
        if self._run.reading.debug_port:  # nobody who debugs is in a hurry
            wait = None
        tenant = request.header("x-amz-tenant-id") if function.tenants else None
        if function.tenants and not tenant:
            text = "the function needs a tenant id; send the header X-Amz-Tenant-Id"
            return errors.refused(400, match.api.kind, request, text)
        payload = _json(content).encode()
        try:
            return await self._run.engine.invoke(
                Invoke(function, payload, request_id(), request.function_trace, tenant, wait=wait)
            )
        except StillRunning:
            return answer.too_slow(request, match)
        except TooLarge:
            return answer.too_large(request, match)
        except CannotRun as error:
            return replace(answer.failed(request, match), note=f": {' '.join(str(error).split())}")

    def _static_file(self, request: Request) -> Response | None:
        if self._static is None or request.method not in ("GET", "HEAD"):
            return None
        file = (self._static / request.path.lstrip("/")).resolve()
        if not file.is_relative_to(self._static.resolve()) or not file.is_file():
            return None
        kind = mimetypes.guess_type(file)[0] or "application/octet-stream"
        return Response(200, (("Content-Type", kind),), file.read_bytes())

    def _no_route(self, request: Request, response: Response, project: Project) -> Response:
        if response.status in (403, 404):
            known = ", ".join(f"{route.method} {route.path}" for route in project.every_route)
            say(shown(f"no route {request.method} {request.path}; the template has {known}"))
        return response
