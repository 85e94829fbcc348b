"""What API Gateway makes of a function's answer, where SAM CLI is more lenient.

Recorded against AWS in LocalStack's validated tests (tests/aws/services/apigateway/test_apigateway_lambda.py); see
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

import json

# Bytes of a request that API Gateway takes. https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
REQUEST_LIMIT = 10 * 1024 * 1024

# Seconds that a REST API (29) and an HTTP API (30) wait for a function.
WAIT_REST, WAIT_HTTP = 29, 30

_KEYS = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded", "base64Encoded", "cookies"}


class Malformed(Exception):
    """API Gateway would answer 502; the text says what is wrong and how to mend it."""


def checked(answer, rest):
    """The function's answer (JSON text) as API Gateway reads it, and a remark for the terminal or None.

    `rest` says whether a REST API asks: an HTTP API takes unknown keys, and what has no statusCode as the body.
    Raises Malformed.
    """
    try:
        response = json.loads(answer)
    except ValueError:
        raise Malformed(f"the function's answer is no JSON: {answer[:200]!r}") from None
    if not isinstance(response, dict):
        if rest:
            raise Malformed(f"the function returned {_kind(response)}; return a dict with statusCode and body")
        return answer, None
    if not rest and response.get("statusCode") is None:
        return answer, None
    if rest and (unknown := response.keys() - _KEYS):
        raise Malformed(f"API Gateway does not know {_names(unknown)}; it knows {_names(_KEYS - {'base64Encoded'})}")
    status = response.get("statusCode")
    _check_status(status)
    if isinstance(response.get("body"), (dict, list)):
        raise Malformed(f"body is {_kind(response['body'])}; API Gateway needs a string: json.dumps it")
    response["headers"] = _headers(response.get("headers"))
    _check_lists(response.get("multiValueHeaders"))
    remark = "the function returned no statusCode; API Gateway takes that for 200" if status is None else None
    return json.dumps(response), remark


def _check_status(status):
    if status is None or (isinstance(status, int) and not isinstance(status, bool)):
        return
    if not (isinstance(status, str) and status.isdecimal()):
        raise Malformed(f"statusCode is {json.dumps(status)}; API Gateway needs an integer, such as 200")


def _headers(headers):
    if headers is None:
        return {}
    if not isinstance(headers, dict):
        raise Malformed(f"headers is {_kind(headers)}; API Gateway needs an object of strings")
    for name, value in headers.items():
        if isinstance(value, (dict, list)):
            raise Malformed(f"the header {name} is {_kind(value)}; API Gateway needs a string, or multiValueHeaders")
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in headers.items()}


def _check_lists(headers):
    if headers is None:
        return
    if not isinstance(headers, dict):
        raise Malformed(f"multiValueHeaders is {_kind(headers)}; API Gateway needs an object of lists")
    for name, values in headers.items():
        if not isinstance(values, list):
            raise Malformed(f"multiValueHeaders: {name} is {_kind(values)}; API Gateway needs a list of strings")


def _kind(value):
    return {dict: "a dict", list: "a list", str: "a string", bool: "a boolean", type(None): "None"}.get(
        type(value), "a number"
    )


def _names(keys):
    return ", ".join(sorted(keys))
