"""The function behind GET /my-endpoint."""

import json
import os


def handler(event, context):
    """Takes an API Gateway proxy event and returns the proxy response: 200, with a JSON message."""
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps({"message": os.environ["MESSAGE"]}),
    }
