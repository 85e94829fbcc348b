"""API Gateway's limits.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
"""

from __future__ import annotations

from local.gateway.model import Kind

BODY = 10 * 1024 * 1024  # bytes of a request's body
HEADERS = 10240  # bytes of all header values, in an HTTP API with the request line
WAIT: dict[Kind, float] = {"rest": 29.0, "http": 30.0}  # seconds that an API waits for a function
WAIT_AUTHORIZER = 10.0  # seconds that an HTTP API waits for an authorizer
