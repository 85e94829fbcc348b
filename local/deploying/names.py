"""Names: of the stack, of its bucket, and those that CloudFormation derives from them.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
"""

import re

from local.deploying import Failure

# Characters. A resource's name has to hold the stack's name and a logical id; .github/deploy-role.yaml has the same
# two limits.
WHOLE = 25
STACK = 128
BUCKET = 63


def check(stack: str) -> None:
    """Raises Failure if no stack can have this name."""
    if not re.fullmatch("[a-zA-Z][a-zA-Z0-9-]*", stack):
        raise Failure(f"the STACK_NAME {stack} may have letters, digits and hyphens only, and must begin with a letter")
    if len(stack) > STACK:
        raise Failure(f"the STACK_NAME {stack[:20]}… has {len(stack)} characters; AWS allows {STACK}")


def uncovered(stack: str) -> str | None:
    """Why the pipeline's role, whose permissions are for NAME-*, would not cover this stack; None if it would."""
    if len(stack) > WHOLE:
        return f"it has {len(stack)} characters, and CloudFormation shortens names of more than {WHOLE}"
    if "--" in stack or stack.endswith("-"):
        return "CloudFormation shortens two hyphens to one"
    return None


def bucket(stack: str, account: str, region: str) -> str:
    """The name of the stack's bucket. Two stacks whose shortened names are the same still have their own prefixes."""
    rest = f"-{account}-{region}"
    return stack[: BUCKET - len(rest)].lower().rstrip("-") + rest
