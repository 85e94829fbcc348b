"""Which of the shell's settings for AWS are used, without a server."""

import pytest

from local import aws
from local.cloudformation import attributes

PSEUDO = {
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "notes",
}


@pytest.mark.parametrize(
    "url, local",
    [
        ("http://127.0.0.1:4566", True),
        ("https://localhost", True),
        ("http://LOCALHOST:4566/", True),
        ("http://[::1]:4566", True),
        ("http://127.1.2.3", True),
        ("http://s3.localhost:4566", True),
        ("http://127.0.0.1.example.com", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1@example.com", False),
        ("http://0.0.0.0:4566", False),
        ("http://192.168.0.1", False),
        ("http://[::1", False),
        ("127.0.0.1:4566", False),
    ],
)
def test_only_a_loopback_address_is_this_machine(url, local):
    assert aws.is_local(url) is local


def test_ignored_endpoints_are_neither_taken_nor_named():
    """https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html"""
    environment = {
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://example.com",
        "AWS_REGION": "eu-west-1",
    }

    used = aws.of(environment, None, None)

    assert used.describe() == ["Functions have placeholder credentials; --profile NAME gives yours"]
    assert not [name for name in environment if name.startswith("AWS_ENDPOINT")]


def test_profile_and_endpoint_are_both_said():
    used = aws.of({"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "eu-west-1"}, "mine", None)

    assert used.describe() == [
        "Functions call the AWS at http://127.0.0.1:1 (region eu-west-1)",
        "Functions have your AWS credentials from the profile mine (region eu-west-1)",
    ]


# By the section "Return values" of each type's page.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
@pytest.mark.parametrize(
    "kind, physical, attribute, value",
    [
        (
            "AWS::DynamoDB::Table",
            "notes-Notes-ABC",
            "Arn",
            "arn:aws:dynamodb:us-east-1:123456789012:table/notes-Notes-ABC",
        ),
        ("AWS::SQS::Queue", "https://sqs.us-east-1.amazonaws.com/123456789012/work", "QueueName", "work"),
        (
            "AWS::SQS::Queue",
            "http://127.0.0.1:4566/000000000000/work",
            "Arn",
            "arn:aws:sqs:us-east-1:123456789012:work",
        ),
        ("AWS::SNS::Topic", "arn:aws:sns:us-east-1:123456789012:news", "TopicName", "news"),
        ("AWS::S3::Bucket", "notes-files-abc", "Arn", "arn:aws:s3:::notes-files-abc"),
        ("AWS::Serverless::HttpApi", "abc123", "ApiEndpoint", "https://abc123.execute-api.us-east-1.amazonaws.com"),
        (
            "AWS::Cognito::UserPool",
            "us-east-1_AbC",
            "ProviderName",
            "cognito-idp.us-east-1.amazonaws.com/us-east-1_AbC",
        ),
        ("AWS::KMS::Key", "1234-5678", "Arn", "arn:aws:kms:us-east-1:123456789012:key/1234-5678"),
        ("AWS::Serverless::Function", "notes-My-X", "Arn", "arn:aws:lambda:us-east-1:123456789012:function:notes-My-X"),
        ("AWS::RDS::DBInstance", "notes-db-x", "DBInstanceArn", "arn:aws:rds:us-east-1:123456789012:db:notes-db-x"),
    ],
)
def test_attributes_of_a_deployed_resource_follow_from_its_id(kind, physical, attribute, value):
    def of(attribute):
        return attributes.of(kind, attribute, "Logical", "Logical", lambda key: None, PSEUDO, physical)

    assert of("") == (physical, True)
    assert of(attribute) == (value, True)
