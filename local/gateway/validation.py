"""What a REST API asks of a request before it reaches the function: an API key, required parameters."""

from __future__ import annotations

from collections.abc import Collection

from local.gateway.model import Request, Response
from local.gateway.routes import Match


def refusal(request: Request, match: Match, keys: Collection[str] = ()) -> Response | None:
    """403 without an API key (any is taken if `keys` is empty), 400 without a required parameter, else None."""
    raise NotImplementedError
