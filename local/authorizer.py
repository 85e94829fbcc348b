"""What API Gateway makes of a Lambda authorizer's answer, where SAM CLI makes something else of it.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
The texts are those that callers have reported, of errors in https://github.com/aws/aws-lambda-go/issues/81.
"""

import json
import re

_ACTION = "execute-api:Invoke"
_DENIED = "User is not authorized to access this resource"


class Refused(Exception):
    """The request is answered with `status` (an integer) and `body` (an object) instead of by the function."""

    def __init__(self, status, body):
        super().__init__(status, body)
        self.status, self.body = status, body


def permits(answer, arn):
    """True if the policy in an authorizer's answer allows the method's ARN, False if it denies it, None if neither."""
    found = {
        statement["Effect"]
        for statement in answer["policyDocument"]["Statement"]
        if _matches(statement["Action"], _ACTION, re.IGNORECASE) and _matches(statement["Resource"], arn)
    }
    return False if "Deny" in found else True if "Allow" in found else None


def denied(answer, arn, rest):
    """The Refused for a request that the authorizer's answer (JSON text) does not allow; `rest`: in a REST API."""
    if not rest:
        return Refused(403, {"message": "Forbidden"})
    explicitly = permits(json.loads(answer), arn) is False
    return Refused(403, {"Message": _DENIED + " with an explicit deny in an identity-based policy" * explicitly})


def failed(answer, rest):
    """The Refused for an authorizer that ended in an error, or whose answer (JSON text) is none."""
    if not rest:
        return Refused(500, {"message": "Internal Server Error"})
    try:
        unauthorized = json.loads(answer)["errorMessage"] == "Unauthorized"
    except (ValueError, TypeError, KeyError):
        unauthorized = False
    return Refused(401, {"message": "Unauthorized"}) if unauthorized else Refused(500, {"message": None})


def _matches(patterns, text, flags=0):
    """Whether one of IAM's patterns, in which * and ? are wildcards, is the text."""
    patterns = patterns if isinstance(patterns, list) else [patterns]
    expressions = [re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".") for pattern in patterns]
    return any(re.fullmatch(expression, text, flags) for expression in expressions)
