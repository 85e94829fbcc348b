"""Names: of the stack, of its bucket, and of what CloudFormation makes of them.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
"""

import re

from local.deploying import Failure

# Characters. A stack's name and a logical id share what a resource's name has room for; .github/deploy-role.yaml has
# the same two limits.
WHOLE = 25
STACK = 128
BUCKET = 63


def check(stack: str) -> None:
    """Raises Failure when no stack can have this name."""
    if not re.fullmatch("[a-zA-Z][a-zA-Z0-9-]*", stack):
        raise Failure(f"the STACK_NAME {stack} must have letters, digits and hyphens only, and begin with a letter")
    if len(stack) > STACK:
        raise Failure(f"the STACK_NAME {stack[:20]}… has {len(stack)} characters; AWS allows {STACK}")


def uncovered(stack: str) -> str | None:
    """Why the pipeline's role, whose permissions go by NAME-*, would not cover this stack; None when it would."""
    if len(stack) > WHOLE:
        return f"it has {len(stack)} characters, and CloudFormation shortens names of more than {WHOLE}"
    if "--" in stack or stack.endswith("-"):
        return "of two hyphens CloudFormation keeps one"
    return None


def bucket(stack: str, account: str, region: str) -> str:
    """The name of the stack's bucket. Two stacks that are cut to the same name still have a prefix each."""
    rest = f"-{account}-{region}"
    return stack[: BUCKET - len(rest)].lower().rstrip("-") + rest
