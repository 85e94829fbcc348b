"""Lambda authorizers: their identity sources, their event, and what comes of their answer."""

from __future__ import annotations

from typing import Any

from local.gateway.model import Request, Response
from local.gateway.routes import Match


def event(request: Request, match: Match) -> dict[str, Any] | Response:
    """The authorizer's event; or 401 where an identity source is missing. `match.route.authorizer` is not None."""
    raise NotImplementedError


def outcome(payload: bytes, failed: bool, request: Request, match: Match) -> dict[str, Any] | Response:
    """What `event.event` takes as `authorizer`, or the refusal; `failed`: the authorizer ended in an error."""
    raise NotImplementedError
