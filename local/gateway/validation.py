"""What a REST API requires of a request before it reaches the function: an API key, and parameters.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-key-source.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html
Recorded in LocalStack's validated test_api_key_required_for_methods and test_api_gateway_request_validator.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from local.gateway import errors
from local.gateway.event import query
from local.gateway.model import Request, Response
from local.gateway.routes import Match


def refusal(request: Request, match: Match, keys: Collection[str] = ()) -> Response | None:
    """403 without an API key (any key is accepted if `keys` is empty), 400 without a required parameter, else None."""
    if match.route.api_key:
        key = request.header("x-api-key")
        if not key or (keys and key not in keys):
            return errors.refused(403, match.api.kind, request)
    if match.route.required and (missing := _missing(request, match)):
        text = f"Missing required request parameters: [{', '.join(missing)}]"
        body = json.dumps({"message": text}).encode()
        return errors.error(match.api.kind, request, 400, ("BadRequestException", body), body)
    return None


def _missing(request: Request, match: Match) -> list[str]:
    """The names of the missing required parameters; header names are compared as spelled."""
    there = {
        "header": {name for name, _ in request.headers},
        "path": match.parameters.keys(),
        "query": query(request.query, split_semicolons=True).keys(),
    }
    return [name for place, name in sorted(match.route.required) if name not in there.get(place, ())]
