"""The stack around `sam deploy`: what stands in its way, what failed, and the end of it all.

Usage: python -m local.stack prepare STACK             prints the id of the newest event
       python -m local.stack explain STACK LAST_EVENT  prints what failed first since then
       python -m local.stack delete STACK

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
"""

import sys
import time

import boto3
from botocore.exceptions import BotoCoreError, ClientError

# Nothing can update a stack in one of these.
BROKEN = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS"}
WAITERS = {
    "CREATE": "stack-create-complete",
    "ROLLBACK": "stack-create-complete",
    "UPDATE": "stack-update-complete",
    "UPDATE_ROLLBACK": "stack-rollback-complete",
    "DELETE": "stack-delete-complete",
}


def prepare(name):
    """Removes a stack that an earlier failure left unusable; returns the id of the newest event, "" when there is none.

    Exits with the command that helps when the stack cannot be deployed to.
    """
    stack = _describe(name)
    if stack and stack["StackStatus"] in BROKEN:
        print(f"==> The stack {name} is in {stack['StackStatus']}, left by an earlier failure", file=sys.stderr)
        delete(name)
        return ""
    if stack and (reason := obstacle(name, stack["StackStatus"], boto3.Session().region_name)):
        sys.exit(f"deploy.sh: {reason}")
    return next(_events(name), {"EventId": ""})["EventId"] if stack else ""


def obstacle(name, status, region):
    """One sentence that says why a stack in `status` takes no deployment, and the command to run; None when it does."""
    target = f"--stack-name {name} --region {region}"
    if status == "UPDATE_ROLLBACK_FAILED":
        return (
            f"the stack {name} is in {status}: an update failed, and so did the way back; mend what the events name, "
            f"then run: .venv/bin/aws cloudformation continue-update-rollback {target}"
        )
    if status.endswith("_IN_PROGRESS"):
        phase = status.removesuffix("_IN_PROGRESS").removesuffix("_CLEANUP").removesuffix("_COMPLETE")
        return (
            f"the stack {name} is in {status}: another deployment is running, or an interrupted one still is; "
            f"wait for its end with: .venv/bin/aws cloudformation wait {WAITERS.get(phase, 'stack-exists')} {target}"
        )
    return None


def explain(name, last_event):
    """Prints the first resource that failed after the event `last_event`, with its reason."""
    if _describe(name) and (event := first_failure(_events(name), last_event)):
        print(
            f"deploy.sh: {event['LogicalResourceId']} ({event['ResourceType']}), {event['ResourceStatus']}: "
            f"{event.get('ResourceStatusReason', 'no reason given')}",
            file=sys.stderr,
        )


def first_failure(events, last_event):
    """The cause among events, newest first, that are newer than `last_event`; None when nothing failed."""
    cause = None
    for event in events:
        if event["EventId"] == last_event:
            break
        # Of what fails first the stack cancels the rest, which "fails" too.
        cancelled = event.get("ResourceStatusReason", "").endswith("cancelled")
        if event["ResourceStatus"].endswith("_FAILED") and not cancelled:
            cause = event
    return cause


def delete(name):
    """Deletes the stack and waits until it is gone. Exits with what could not be deleted."""
    stack = _describe(name)
    if not stack:
        print(f"==> There is no stack {name}", file=sys.stderr)
        return
    print(f"==> Removing the stack {name}", file=sys.stderr)
    last_event = next(_events(name), {"EventId": ""})["EventId"]
    cloudformation = boto3.client("cloudformation")
    cloudformation.delete_stack(StackName=name)
    # By its id, since a deleted stack has no name.
    while stack := _describe(stack["StackId"]):
        if stack["StackStatus"] == "DELETE_FAILED":
            event = first_failure(_events(stack["StackId"]), last_event) or {}
            sys.exit(
                f"deploy.sh: the stack {name} could not be removed: {event.get('LogicalResourceId', name)}: "
                f"{event.get('ResourceStatusReason', stack.get('StackStatusReason'))}"
            )
        if stack["StackStatus"] == "DELETE_COMPLETE":
            break
        time.sleep(1)
    print(f"==> Removed the stack {name}", file=sys.stderr)


def _describe(name):
    """The stack, None when there is none."""
    try:
        return boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in error.response["Error"]["Message"]:
            raise
        return None


def _events(name):
    """The events of the stack, newest first."""
    for page in boto3.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=name):
        yield from page["StackEvents"]


if __name__ == "__main__":
    try:
        if sys.argv[1] == "prepare":
            print(prepare(sys.argv[2]))
        else:
            {"explain": explain, "delete": delete}[sys.argv[1]](*sys.argv[2:])
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"deploy.sh: the stack {sys.argv[2]}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
