"""Which function handles a request, chosen as API Gateway does.

REST API: recorded in LocalStack's validated TestApigatewayRouting and test_lambda_aws_proxy_integration
(tests/aws/services/apigateway/test_apigateway_common.py, test_apigateway_lambda.py). HTTP API:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html#http-api-develop-routes.evaluation
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote

from local.gateway import cors, errors
from local.gateway.model import METHODS, Api, Kind, Request, Response, Route
from local.identifier import identifier

_PARAMETER = re.compile(r"\{([^{}+]+)(\+?)\}")


class Ambiguous(Exception):
    """Two functions have the same method and path of one API; the text names both."""


@dataclass(frozen=True)
class Match:
    """The route for a request, and what belongs to the route whatever the request is.

    `path` is the event's path without the stage: percent-encoded as sent for a REST API, decoded for an HTTP API, like
    `parameters`; `sent` has the extra slashes that a client put before a REST API's path. `api_id`, `deployment_id` and
    `resource_id` have the form of AWS's; `arn` is that of the stage: arn:aws:execute-api:REGION:ACCOUNT:API/STAGE.
    Where `route.mock` is not None, `answer.mock` takes the place of the function.
    """

    api: Api
    route: Route
    parameters: dict[str, str]
    path: str
    sent: str
    api_id: str
    deployment_id: str
    resource_id: str
    arn: str


@dataclass
class _Resource:
    """A path of an API, with the targets of its methods."""

    path: str
    expression: re.Pattern[str]
    order: tuple[int, ...]
    id: str
    methods: dict[str, Route] = field(default_factory=dict)

    def route(self, method: str) -> Route | None:
        return self.methods.get(method) or (self.methods.get("ANY") if method in METHODS else None)


class _Table:
    """The paths of one API, the most specific first."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.id = identifier(api.id, 10)
        self.deployment_id = identifier(f"{api.id}/{api.stage}", 6)
        self.arn = f"arn:aws:execute-api:{api.region}:{api.account}:{self.id}/{api.stage}"
        self.prefix = "" if api.stage == "$default" else f"/{api.stage}"
        resources: dict[str, _Resource] = {}
        for route in api.routes:
            shape = _PARAMETER.sub(r"{\2}", route.path)
            resource = resources.setdefault(shape, _resource(api, route.path))
            known = resource.methods.setdefault(route.method, route)
            if known.function != route.function:
                raise Ambiguous(
                    f"{route.method} {route.path} belongs to two functions, {known.function} and {route.function}; "
                    "give one of them another method or path"
                )
        if api.kind == "rest" and api.cors:
            for resource in resources.values():
                resource.methods.setdefault("OPTIONS", cors.mock(api.cors, resource.path, resource.methods))
        self.default = resources.pop("$default", None)
        plain = [r for r in resources.values() if not any(r.order)]
        self.literal = {r.path.rstrip("/") or "/" if api.kind == "rest" else r.path: r for r in plain}
        # An HTTP API prefers any path without a greedy parameter; a REST API decides segment by segment.
        self.patterns = sorted(
            (r for r in resources.values() if any(r.order)),
            key=lambda r: (api.kind == "http" and 2 in r.order, r.order, r.path),
        )
        # A path that begins with the stage's name is AWS's form, unless the API has such a path itself.
        own = any(r.path == self.prefix or r.path.startswith(f"{self.prefix}/") for r in resources.values())
        self.stage_first = bool(self.prefix) and not own

    def find(self, method: str, path: str) -> Match | None:
        """The match for a path as sent, with the stage before it or without."""
        inside = self._inside(path)
        if inside is None:
            return self._find(method, path)
        first, second = (inside, path) if self.stage_first else (path, inside)
        return self._find(method, first) or self._find(method, second)

    def _inside(self, path: str) -> str | None:
        """What follows the stage's name, if the path begins with it; extra slashes before it are ignored."""
        if not self.prefix:
            return None
        path = "/" + path.lstrip("/")
        rest = path[len(self.prefix) :]
        return rest or "/" if path.startswith(self.prefix) and rest[:1] in ("", "/") else None

    def _find(self, method: str, sent: str) -> Match | None:
        if self.api.kind == "rest":
            path = "/" + sent.lstrip("/")
            wanted = path.rstrip("/") or "/"
        else:
            # API Gateway decodes first, and loses everything from a decoded question mark on (hotsock/voker, pull 8).
            path = wanted = unquote(sent, errors="replace").partition("?")[0]
        resource = self.literal.get(wanted)
        if resource and (route := resource.route(method)):
            return self._match(resource, route, {}, path, sent)
        for resource in self.patterns:
            if (found := resource.expression.fullmatch(wanted)) and (route := resource.route(method)):
                return self._match(
                    resource, route, dict(zip(_names(route.path), found.groups(), strict=True)), path, sent
                )
        if self.default and (route := self.default.route("ANY")):
            return self._match(self.default, route, {}, path, sent)
        return None

    def _match(self, resource: _Resource, route: Route, parameters: dict[str, str], path: str, sent: str) -> Match:
        return Match(self.api, route, parameters, path, sent, self.id, self.deployment_id, resource.id, self.arn)


class Routes:
    """The routes of all APIs of a template; `kind` is the kind of API that answers if no route matches."""

    def __init__(self, apis: Sequence[Api]) -> None:
        """Raises Ambiguous."""
        self._tables = [_Table(api) for api in apis]
        self.kind: Kind = "http" if apis and all(api.kind == "http" for api in apis) else "rest"
        self._shared = next((api for api in apis if api.kind == "http" and api.cors), None)

    def find(self, request: Request) -> Match | Response:
        """The route that takes the request, or API Gateway's own answer: no such route, or a preflight.

        If several APIs have the path, the first one in the template answers; one that has it only with other methods
        answers that there is no such route.
        """
        path = _path(request.target)
        for table in self._tables:
            if match := table.find(request.method, path):
                return match
        own = next((table.api for table in self._tables if any(table.find(method, path) for method in METHODS)), None)
        api = own or self._shared
        if request.method == "OPTIONS" and api and api.kind == "http" and api.cors:
            return cors.preflight(request, api)
        return errors.no_route(own.kind if own else self.kind, request)


def _path(target: str) -> str:
    """The path of a request target, which may be an absolute URI."""
    path = target.partition("?")[0]
    if not path.startswith("/") and "://" in path:
        path = "/" + path.partition("://")[2].partition("/")[2]
    return path


def _resource(api: Api, path: str) -> _Resource:
    pieces = [_segment(segment, api.kind) for segment in path.split("/")]
    return _Resource(
        path,
        re.compile("/".join(expression for expression, _ in pieces), re.DOTALL),
        tuple(rank for _, rank in pieces),
        identifier(f"{api.id}{path}", 6),
    )


@lru_cache(maxsize=1024)
def _names(path: str) -> tuple[str, ...]:
    """The names of the path's parameters, which may differ from one method to the next."""
    return tuple(found[1] for segment in path.split("/") if (found := _PARAMETER.fullmatch(segment)))


def _segment(segment: str, kind: Kind) -> tuple[str, int]:
    """The regular expression of a segment, and its rank: 0 literal, 1 with a parameter, 2 greedy."""
    if not (found := _PARAMETER.fullmatch(segment)):
        return re.escape(segment), 0
    if not found[2]:
        return "([^/]+)", 1
    # A greedy parameter of an HTTP API may be empty: a recorded event of February 2022 has {"proxy": ""} for /handler/.
    return ("(.+)" if kind == "rest" else "(.*)"), 2
