"""API Gateway's limits.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
"""

BODY = 10 * 1024 * 1024  # bytes of a request's body, and of an answer's
HEADERS = 10240  # bytes of the request line and all header lines
WAIT = {"rest": 29.0, "http": 30.0}  # seconds that an API waits for a function
