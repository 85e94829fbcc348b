"""The stack around `sam deploy`: what blocks it, what failed, its outputs, and its deletion.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

import boto3
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from local.deploying import Failure

# A stack in one of these cannot be updated. REVIEW_IN_PROGRESS is not among them: somebody else's first deployment may
# be running, and to `sam deploy` such a stack does not exist.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html#cfn-stack-status-codes
BROKEN = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}
# Only those that can succeed: rolling back a creation or an import has no waiter.
WAITERS = {
    "CREATE": "stack-create-complete",
    "UPDATE": "stack-update-complete",
    "UPDATE_ROLLBACK": "stack-rollback-complete",
    "DELETE": "stack-delete-complete",
    "IMPORT": "stack-import-complete",
}
# What is lost with a resource of each type.
LOSES = {
    "AWS::Cognito::UserPool": "its users",
    "AWS::DynamoDB::GlobalTable": "its items",
    "AWS::DynamoDB::Table": "its items",
    "AWS::EFS::FileSystem": "its files",
    "AWS::RDS::DBCluster": "its data",
    "AWS::RDS::DBInstance": "its data",
    "AWS::S3::Bucket": "nothing in it: CloudFormation removes only an empty bucket",
}

_began = datetime.now(timezone.utc)


def prepare(name: str, say: Callable[[str], None]) -> str:
    """Removes a stack that an earlier failure left unusable; returns the id of the newest event, "" if there is none.

    Raises Failure with the command that helps if the stack cannot be deployed to.
    """
    stack = _describe(name)
    if stack and stack["StackStatus"] in BROKEN:
        say(f"==> The stack {name} is in {stack['StackStatus']}, left by an earlier failure")
        delete(name, say)
        return ""
    if stack and (reason := obstacle(name, stack["StackStatus"], boto3.Session().region_name)):
        raise Failure(reason)
    return _newest(name) if stack else ""


def obstacle(name: str, status: str, region: str) -> str | None:
    """One sentence: why a stack in `status` cannot be deployed to, and the command to run; None if it can."""
    target = f"--stack-name {name} --region {region}"
    if status == "REVIEW_IN_PROGRESS":
        return None
    if status == "UPDATE_ROLLBACK_FAILED":
        return (
            f"the stack {name} is in {status}: an update failed, and so did its rollback; fix what the events name, "
            f"then run: .venv/bin/aws cloudformation continue-update-rollback {target}"
        )
    if status == "IMPORT_ROLLBACK_FAILED":
        return (
            f"the stack {name} is in {status}: an import of resources failed, and so did its rollback; "
            f"see why: .venv/bin/aws cloudformation describe-stack-events {target}"
        )
    if status.endswith("_IN_PROGRESS"):
        phase = status.removesuffix("_IN_PROGRESS").removesuffix("_CLEANUP").removesuffix("_COMPLETE")
        if waiter := WAITERS.get(phase):
            what = "an import of resources" if phase == "IMPORT" else "another deployment"
            return (
                f"the stack {name} is in {status}: {what} is running, or an interrupted one still is; "
                f"wait for it to end: .venv/bin/aws cloudformation wait {waiter} {target}"
            )
        return (
            f"the stack {name} is in {status}: a failure is being rolled back; run ./deploy.sh again after that; "
            f"see its status: .venv/bin/aws cloudformation describe-stacks {target} --query Stacks[0].StackStatus"
        )
    return None


def explain(name: str, last_event: str) -> str | None:
    """What failed first after the event `last_event`, and why; None if CloudFormation names nothing."""
    try:
        event = _describe(name) and first_failure(_events(name), last_event)
        if not event:
            return _validation(name)
    except (BotoCoreError, ClientError):  # the failure itself has been reported; this is only about its reason
        return None
    return (
        f"{event['LogicalResourceId']} ({event['ResourceType']}), {event['ResourceStatus']}: "
        f"{event.get('ResourceStatusReason', 'no reason given')}"
    )


def first_failure(events: Iterable[dict], last_event: str) -> dict | None:
    """The cause among events, newest first, that are newer than `last_event`; None if nothing failed."""
    cause = None
    for event in events:
        if event["EventId"] == last_event:
            break
        # After the first failure the stack cancels everything else, which then "fails" too.
        cancelled = event.get("ResourceStatusReason", "").endswith("cancelled")
        if event["ResourceStatus"].endswith("_FAILED") and not cancelled:
            cause = event
    return cause


def _validation(name: str) -> str | None:
    """Why a change set was refused before it ran: only DescribeEvents says so.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html
    """
    answer = boto3.client("cloudformation").describe_events(StackName=name, Filters={"FailedEvents": True})
    for event in answer["OperationEvents"]:
        why = event.get("ValidationStatusReason") or event.get("HookStatusReason") or event.get("ResourceStatusReason")
        if why and event["Timestamp"] >= _began:
            where = event.get("ValidationPath") or event.get("LogicalResourceId", name)
            kind = f" ({event['ResourceType']})" if "ResourceType" in event else ""
            return f"{event.get('LogicalResourceId', name)}{kind}, refused before it was made: {why} [{where}]"
    return None


def outputs(name: str) -> dict[str, str]:
    """The stack's outputs as {name: value}."""
    stack = _describe(name) or {}
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def delete(name: str, say: Callable[[str], None]) -> None:
    """Deletes the stack and waits until it is gone. Raises Failure with what could not be deleted."""
    stack = _describe(name)
    if not stack:
        say(f"==> There is no stack {name}")
        return
    region = boto3.Session().region_name
    if stack.get("EnableTerminationProtection"):
        raise Failure(
            f"the stack {name} has termination protection; turn it off with: .venv/bin/aws cloudformation "
            f"update-termination-protection --no-enable-termination-protection --stack-name {name} --region {region}"
        )
    resources = _resources(name)
    kept = _retained(name) if resources else set()
    say(f"==> Removing the stack {name}")
    for resource in resources:
        logical, kind = resource["LogicalResourceId"], resource["ResourceType"]
        label = f"{logical} ({kind} {resource.get('PhysicalResourceId', '')})"
        lost = f" and {LOSES[kind]}" if kind in LOSES else ""
        say(f"    keeping {label}, as its DeletionPolicy says" if logical in kept else f"    removing {label}{lost}")
    last_event = _newest(name)
    cloudformation = boto3.client("cloudformation")
    cloudformation.delete_stack(StackName=name)
    # By its id, since a deleted stack has no name.
    while stack := _describe(stack["StackId"]):
        if stack["StackStatus"] == "DELETE_FAILED":
            event = first_failure(_events(stack["StackId"]), last_event) or {}
            raise Failure(
                f"the stack {name} could not be removed: {event.get('LogicalResourceId', name)}: "
                f"{event.get('ResourceStatusReason', stack.get('StackStatusReason'))}"
            )
        if stack["StackStatus"] == "DELETE_COMPLETE":
            break
        time.sleep(float(os.environ.get("SAM_CLI_POLL_DELAY", "1")))
    say(f"==> Removed the stack {name}")


def _resources(name: str) -> list[Any]:
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
    found = [resource for page in pages for resource in page["StackResourceSummaries"]]
    return [resource for resource in found if resource["ResourceStatus"] != "DELETE_COMPLETE"]


def _retained(name: str) -> set[str]:
    """The logical ids of what stays when the stack is deleted."""
    body = boto3.client("cloudformation").get_template(StackName=name, TemplateStage="Processed")["TemplateBody"]
    template = yaml.load(body, _Plain) if isinstance(body, str) else body
    return {
        logical
        for logical, resource in template.get("Resources", {}).items()
        if str(resource.get("DeletionPolicy", "")).startswith("Retain")
    }


class _Plain(yaml.SafeLoader):
    """Reads CloudFormation's short forms, such as !Ref, as nothing."""


_Plain.add_multi_constructor("!", lambda *_: None)


def _describe(name: str) -> Any:
    """The stack, None if there is none."""
    try:
        return boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in error.response["Error"]["Message"]:
            raise
        return None


def _newest(name: str) -> str:
    return next(_events(name), {"EventId": ""})["EventId"]


def _events(name: str) -> Iterator[Any]:
    """The events of the stack, newest first."""
    for page in boto3.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=name):
        yield from page["StackEvents"]
