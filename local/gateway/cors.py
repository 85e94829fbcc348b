"""Cross-origin requests: preflights, and headers of answers.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-api-corsconfiguration.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from local.gateway import errors
from local.gateway.model import METHODS, Api, Cors, Request, Response, Route


def mock(cors: Cors, path: str, methods: Iterable[str]) -> Route:
    """The OPTIONS method with a mock integration that SAM generates for a REST API's path with these methods.

    It answers 200 with `{}` and a line feed to any origin; without AllowMethods it lists the path's methods.
    """
    methods = cors.methods or (METHODS if "ANY" in methods else tuple(sorted({*methods, "OPTIONS"})))
    headers = [
        ("Access-Control-Allow-Origin", ",".join(cors.origins)),
        ("Access-Control-Allow-Headers", ",".join(cors.headers)),
        ("Access-Control-Allow-Methods", ",".join(methods)),
        ("Access-Control-Max-Age", "" if cors.max_age is None else str(cors.max_age)),
        ("Access-Control-Allow-Credentials", "true" if cors.credentials else ""),
    ]
    response = Response(200, (("Content-Type", "application/json"), *((n, v) for n, v in headers if v)), b"{}\n")
    return Route("OPTIONS", path, "", authorizer=cors.authorizer, mock=response)


def preflight(request: Request, api: Api) -> Response:
    """An HTTP API's answer, if it has `cors`, to an OPTIONS request that matches no route: 204, without a body.

    A route that matches OPTIONS (ANY, $default) gets it: aws/serverless-application-model issue 1603.
    """
    headers = (*errors.ids(api.kind, request), *_headers(request, api, preflight=True))
    return Response(204, headers)


def added(response: Response, request: Request, api: Api) -> Response:
    """The answer with an HTTP API's headers; a REST API adds none, since its function sets them."""
    if not api.cors or api.kind == "rest":
        return response
    headers = _headers(request, api, preflight=request.method == "OPTIONS")
    return replace(response, headers=response.headers + headers)


def _headers(request: Request, api: Api, preflight: bool) -> tuple[tuple[str, str], ...]:
    """None if the origin or the method is not allowed."""
    origin = request.header("origin")
    method = request.header("access-control-request-method") if preflight else None
    cors = api.cors
    if not cors or origin is None or not (allowed := _allowed(origin, cors)):
        return ()
    if method is not None and not {"*", method.upper()} & {name.upper() for name in cors.methods}:
        return ()
    found = [("access-control-allow-origin", allowed)]
    if cors.credentials:
        found.append(("access-control-allow-credentials", "true"))
    if cors.expose:
        found.append(("access-control-expose-headers", ",".join(cors.expose)))
    if method is not None:
        found.append(("access-control-allow-methods", ",".join(cors.methods)))
        if cors.headers:
            found.append(("access-control-allow-headers", ",".join(cors.headers)))
        if cors.max_age is not None:
            found.append(("access-control-max-age", str(cors.max_age)))
    return tuple(found)


def _allowed(origin: str, cors: Cors) -> str | None:
    """The value of Access-Control-Allow-Origin: "*", the origin, or None; `https://*` stands for every host."""
    if "*" in cors.origins:
        return "*"
    scheme = origin.partition("://")[0] + "://*"
    return origin if origin in cors.origins or scheme in cors.origins else None
