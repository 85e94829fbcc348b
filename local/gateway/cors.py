"""Cross-origin requests: preflights, and headers of answers."""

from __future__ import annotations

from local.gateway.model import Api, Request, Response


def preflight(request: Request, api: Api) -> Response:
    """The answer to an OPTIONS request that no route takes, in an API with `cors`."""
    raise NotImplementedError


def headers(request: Request, api: Api) -> tuple[tuple[str, str], ...]:
    """What an HTTP API adds to every answer; nothing for a REST API, whose function gives its own."""
    raise NotImplementedError
