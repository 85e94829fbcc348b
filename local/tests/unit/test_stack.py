"""What ./deploy.sh says about a stack where the emulated AWS says too little."""

import datetime

import boto3
import pytest
from botocore.stub import Stubber

from local.deploying import Failure, stack

ID = "arn:aws:cloudformation:us-east-1:000000000000:stack/shop/1"
STACK = {"StackName": "shop", "StackId": ID, "CreationTime": datetime.datetime.now(datetime.timezone.utc)}


@pytest.fixture
def aws(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("cloudformation", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    monkeypatch.setattr(boto3, "client", lambda service: client)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def describes(aws, status, **more):
    aws.add_response("describe_stacks", {"Stacks": [{**STACK, "StackStatus": status, **more}]}, {"StackName": "shop"})


def test_what_early_validation_refuses_is_named(aws):
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html
    now = datetime.datetime.now(datetime.timezone.utc)
    describes(aws, "REVIEW_IN_PROGRESS")
    aws.add_response("describe_stack_events", {"StackEvents": []}, {"StackName": "shop"})
    aws.add_response(
        "describe_events",
        {
            "OperationEvents": [
                {
                    "EventId": "2",
                    "EventType": "VALIDATION_ERROR",
                    "LogicalResourceId": "Table",
                    "ResourceType": "AWS::DynamoDB::Table",
                    "ValidationName": "NAME_CONFLICT_VALIDATION",
                    "ValidationStatus": "FAILED",
                    "ValidationStatusReason": "Resource of type 'AWS::DynamoDB::Table' with identifier 'notes' exists.",
                    "ValidationPath": "/Resources/Table/Properties/TableName",
                    "Timestamp": now,
                },
                {
                    "EventId": "1",
                    "ValidationStatusReason": "Of an earlier deployment",
                    "Timestamp": now - datetime.timedelta(days=1),
                },
            ]
        },
        {"StackName": "shop", "Filters": {"FailedEvents": True}},
    )

    assert stack.explain("shop", "") == (
        "Table (AWS::DynamoDB::Table), refused before it was made: Resource of type 'AWS::DynamoDB::Table' with "
        "identifier 'notes' exists. [/Resources/Table/Properties/TableName]"
    )


def test_role_without_describe_events_has_no_reason_but_no_error_either(aws):
    describes(aws, "REVIEW_IN_PROGRESS")
    aws.add_response("describe_stack_events", {"StackEvents": []}, {"StackName": "shop"})
    aws.add_client_error("describe_events", "AccessDenied", http_status_code=403)

    assert stack.explain("shop", "") is None


def test_termination_protection_is_explained(aws):
    describes(aws, "CREATE_COMPLETE", EnableTerminationProtection=True)

    with pytest.raises(Failure, match="has termination protection; turn it off with: .* shop --region us-east-1$"):
        stack.delete("shop", print)
