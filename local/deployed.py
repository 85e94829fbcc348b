"""A deployed stack, for ./run.sh --stack: the names that its resources have in AWS."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local.aws import ENDPOINT, Aws

_WAIT_S = 5


class NotFound(Exception):
    """The stack cannot be read; the text says why, and what to do."""


@dataclass(frozen=True)
class Deployed:
    """`id` is the stack's ARN; `names` are physical ids by logical id, with the path of a nested stack before it."""

    name: str
    id: str
    names: Mapping[str, str]

    @property
    def pseudo(self) -> dict[str, str]:
        """The pseudo parameters that differ from those of a template that is not deployed."""
        region, account = self.id.split(":")[3:5]
        return {
            "AWS::StackName": self.name,
            "AWS::StackId": self.id,
            "AWS::Region": region,
            "AWS::AccountId": account,
        }


def find(name: str, aws: Aws) -> Deployed:
    """Reads the stack with this name. Raises NotFound."""
    if not aws.profile and not {ENDPOINT, f"{ENDPOINT}_CLOUDFORMATION"} & aws.endpoints.keys():
        raise NotFound(
            f"--stack {name} needs an AWS to ask: --profile NAME, or for an emulated one: "
            f"export {ENDPOINT}=http://127.0.0.1:4566"
        )
    logging.getLogger("botocore").setLevel(logging.WARNING)  # otherwise it logs which endpoint it has found
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    keys: Any = {} if aws.profile else {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    try:
        session = boto3.Session(profile_name=aws.profile, region_name=aws.region, **keys)
        limits = Config(connect_timeout=_WAIT_S, read_timeout=_WAIT_S, retries={"total_max_attempts": 2})
        client = session.client("cloudformation", config=limits)
        id = client.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
        return Deployed(name, id, dict(_names(client, name, "")))
    except (BotoCoreError, ClientError) as error:
        reason = f"the stack {name} cannot be read at {aws.place}: {error}"
        if isinstance(error, ClientError) and "does not exist" in str(error):
            reason = f"there is no stack {name} at {aws.place}; deploy it first: STACK_NAME={name} ./deploy.sh"
        raise NotFound(reason) from None


def _names(client: Any, stack: str, path: str) -> Iterator[tuple[str, str]]:
    for page in client.get_paginator("list_stack_resources").paginate(StackName=stack):
        for resource in page["StackResourceSummaries"]:
            if physical := resource.get("PhysicalResourceId"):
                logical = path + resource["LogicalResourceId"]
                yield logical, physical
                if resource["ResourceType"] == "AWS::CloudFormation::Stack":
                    yield from _names(client, physical, f"{logical}/")
