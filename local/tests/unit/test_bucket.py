"""What ./deploy.sh does to a bucket where the emulated AWS is lenient: owners, permissions, older forms, patience."""

import json

import boto3
import pytest
from botocore.stub import ANY, Stubber

from local.deploying import Failure, bucket

ACCOUNT = "000000000000"
OURS = {"Bucket": "ours", "ExpectedBucketOwner": ACCOUNT}
# Answers of a bucket whose settings are as they should be.
PRIVATE = {
    "PublicAccessBlockConfiguration": dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
}
TLS_ONLY = {
    "Sid": "TlsOnly",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::ours", "arn:aws:s3:::ours/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
OTHER = {"Sid": "Other", "Effect": "Deny", "Principal": "*", "Action": "s3:PutBucketAcl", "Resource": "*"}
ABORTS = {
    "ID": "Theirs",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
}


@pytest.fixture
def aws(monkeypatch):
    """S3 with prepared answers, which must be requested in this order; nobody waits."""
    s3 = boto3.client("s3", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    monkeypatch.setattr(boto3, "client", lambda service: s3)
    monkeypatch.setattr(bucket.time, "sleep", lambda seconds: None)
    with Stubber(s3) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def said():
    return []


def exists(aws):
    aws.add_response("head_bucket", {"BucketRegion": "us-east-1"}, OURS)


def settings(aws, *, policy=None, lifecycle=None):
    """Expects the three settings to be read, and those that are not given to be right."""
    aws.add_response("get_public_access_block", PRIVATE, OURS)
    policy = policy or {"Version": "2012-10-17", "Statement": [OTHER, TLS_ONLY]}
    aws.add_response("get_bucket_policy", {"Policy": json.dumps(policy)}, OURS)
    if lifecycle is None:
        aws.add_response("get_bucket_lifecycle_configuration", {"Rules": [ABORTS]}, OURS)


def test_readable_bucket_of_another_account_is_refused(aws, said):
    aws.add_client_error("head_bucket", "403", http_status_code=403, expected_params=OURS)

    with pytest.raises(Failure, match="^the bucket ours belongs to another account"):
        bucket.prepare("ours", ACCOUNT, said.append)


def test_settings_that_are_right_are_not_written(aws, said):
    exists(aws)
    settings(aws)

    bucket.prepare("ours", ACCOUNT, said.append)

    assert said == []


def test_who_may_only_put_objects_may_deploy(aws, said):
    exists(aws)
    for operation in (
        "get_public_access_block",
        "get_bucket_policy",
        "get_bucket_lifecycle_configuration",
    ):
        aws.add_client_error(operation, "AccessDenied", http_status_code=403)

    bucket.prepare("ours", ACCOUNT, said.append)

    assert said == [
        f"    ours stays as it is: these credentials may not see or set its {setting}"
        for setting in ("public access", "policy", "lifecycle")
    ]


def test_statement_without_a_list_is_kept(aws, said):
    exists(aws)
    aws.add_response("get_public_access_block", PRIVATE, OURS)
    aws.add_response("get_bucket_policy", {"Policy": json.dumps({"Version": "2012-10-17", "Statement": OTHER})}, OURS)
    written = json.dumps({"Version": "2012-10-17", "Statement": [OTHER, TLS_ONLY]})
    aws.add_response("put_bucket_policy", {}, {**OURS, "Policy": written})
    aws.add_response("get_bucket_lifecycle_configuration", {"Rules": [ABORTS]}, OURS)

    bucket.prepare("ours", ACCOUNT, said.append)


@pytest.mark.parametrize(
    ("other", "form"),
    [
        ({"Prefix": "logs/"}, {"Prefix": ""}),
        ({"Filter": {"Prefix": "logs/"}}, {"Filter": {"Prefix": ""}}),
    ],
    ids=["older form", "newer form"],
)
def test_rule_has_the_form_of_the_others_and_their_minimum_size_stays(aws, said, other, form):
    other = {"ID": "Other", "Status": "Enabled", "Expiration": {"Days": 9}, **other}
    size = {"TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}
    exists(aws)
    settings(aws, lifecycle=True)
    aws.add_response("get_bucket_lifecycle_configuration", {"Rules": [other], **size}, OURS)
    ours = {
        "ID": "AbortIncompleteUploads",
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        **form,
    }
    written = {**OURS, **size, "LifecycleConfiguration": {"Rules": [other, ours]}}
    aws.add_response("put_bucket_lifecycle_configuration", {}, written)

    bucket.prepare("ours", ACCOUNT, said.append)


def test_bucket_that_has_just_been_removed_or_made_is_waited_for(aws, said):
    aws.add_client_error("head_bucket", "404", http_status_code=404, expected_params=OURS)
    aws.add_client_error("create_bucket", "OperationAborted", http_status_code=409)
    aws.add_response("create_bucket", {}, {"Bucket": "ours"})
    aws.add_client_error("head_bucket", "404", http_status_code=404, expected_params=OURS)
    exists(aws)
    aws.add_client_error("get_public_access_block", "NoSuchPublicAccessBlockConfiguration")
    aws.add_client_error("put_public_access_block", "NoSuchBucket", http_status_code=404)
    aws.add_response("put_public_access_block", {}, {**OURS, "PublicAccessBlockConfiguration": ANY})
    policy = {"Version": "2012-10-17", "Statement": [TLS_ONLY]}
    aws.add_response("get_bucket_policy", {"Policy": json.dumps(policy)}, OURS)
    aws.add_response("get_bucket_lifecycle_configuration", {"Rules": [ABORTS]}, OURS)

    bucket.prepare("ours", ACCOUNT, said.append)

    assert said == ["==> Creating the bucket ours"]


def test_patience_has_an_end(aws, said, monkeypatch):
    monkeypatch.setattr(bucket, "PATIENCE", 0.1)
    aws.add_client_error("head_bucket", "404", http_status_code=404, expected_params=OURS)
    aws.add_client_error("create_bucket", "OperationAborted", http_status_code=409)

    with pytest.raises(aws.client.exceptions.ClientError, match="OperationAborted"):
        bucket.prepare("ours", ACCOUNT, said.append)
