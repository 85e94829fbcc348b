"""The event that a function gets from API Gateway."""

from __future__ import annotations

from typing import Any

from local.gateway.model import Request
from local.gateway.routes import Match


def event(request: Request, match: Match, authorizer: dict[str, Any] | None = None) -> dict[str, Any]:
    """The function's event; `authorizer` is what `authorizer.outcome` returned, None without an authorizer."""
    raise NotImplementedError
