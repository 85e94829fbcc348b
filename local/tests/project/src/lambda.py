"""The function behind GET /my-endpoint."""

import json
import os


def handler(event, context):
    """Takes an API Gateway proxy event and returns the proxy response: 200, with a JSON message.

    The message is MESSAGE of the environment; with ?name=Ada it is for Ada.
    """
    message = os.environ["MESSAGE"]
    if name := (event.get("queryStringParameters") or {}).get("name"):
        message = f"{message}, {name}!"
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps({"message": message}),
    }
