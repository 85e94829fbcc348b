"""Which function takes a request, as API Gateway chooses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from local.gateway.model import Api, Kind, Request, Response, Route


class Ambiguous(Exception):
    """Two functions take one method and path of one API; the text names both."""


@dataclass(frozen=True)
class Match:
    """The route that takes a request. `parameters` are percent-encoded as sent, as is `path`, which has no stage."""

    api: Api
    route: Route
    parameters: dict[str, str]
    path: str


class Routes:
    """The routes of all APIs of a template; `kind` is that of the answers where no route matches."""

    kind: Kind

    def __init__(self, apis: Sequence[Api]) -> None:
        raise NotImplementedError

    def find(self, request: Request) -> Match | Response:
        """The route that takes the request, or API Gateway's own answer: no such route, a preflight, a mock."""
        raise NotImplementedError
