"""What the client gets for a function's answer, and for what went wrong."""

from __future__ import annotations

from dataclasses import dataclass

from local.gateway.model import Kind, Request, Response
from local.gateway.routes import Match


@dataclass(frozen=True)
class Answer:
    """`remarks` are lines for the terminal; one that was printed once need not be printed again."""

    response: Response
    remarks: tuple[str, ...] = ()


def response(payload: bytes, request: Request, match: Match) -> Answer:
    """The client's answer for what the function returned (JSON), malformed or not."""
    raise NotImplementedError


def failed(request: Request, match: Match) -> Response:
    """The function ended in an error or could not be run: 502 of a REST API, 500 of an HTTP API."""
    raise NotImplementedError


def too_slow(request: Request, match: Match) -> Response:
    """The function took longer than the API waits: 504 of a REST API, 503 of an HTTP API."""
    raise NotImplementedError


def too_large(request: Request, match: Match) -> Response:
    """The function's answer or its event is larger than Lambda takes (6 MB): 502 or 413 as API Gateway tells it."""
    raise NotImplementedError


def refused(status: int, kind: Kind, id: str, extended_id: str, message: str | None = None) -> Response:
    """The front's own refusal: 400, 403 (wrong Host), 404, 413, 414, 431, before there is a request or a match."""
    raise NotImplementedError
