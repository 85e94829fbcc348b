"""The bucket for the code: private, and owned by this account.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/security-best-practices.html
"""

import json
import time
from collections.abc import Callable
from typing import Any

import boto3
from botocore.exceptions import ClientError

from local.deploying import Failure

# S3's passing errors for a bucket that has just been created or removed, and how long they may last, in seconds.
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
PASSING = ("OperationAborted", "NoSuchBucket", "404")
PATIENCE = 120.0

_PRIVATE = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
_DENIED = ("AccessDenied", "403")


def prepare(bucket: str, account: str, say: Callable[[str], None]) -> None:
    """Creates the bucket if `account` (12 digits) has none of that name, and makes its settings safe.

    S3 encrypts every bucket by itself: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-encryption.html
    Only settings that differ are written; others, of a bucket with other uses, stay. Credentials that may not read or
    write them are good enough to deploy. Raises Failure if the bucket is not ours or is in another region.
    """
    s3 = boto3.client("s3")
    region = s3.meta.region_name
    if (found := _region(s3, bucket, account)) is None:
        say(f"==> Creating the bucket {bucket}")
        # S3 accepts every region's name but this one.
        where: dict[str, Any] = (
            {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )
        try:
            _patiently(s3.create_bucket, Bucket=bucket, **where)
        except s3.exceptions.BucketAlreadyOwnedByYou:  # the response to the first attempt was lost
            pass
        _patiently(s3.head_bucket, Bucket=bucket, ExpectedBucketOwner=account)
    elif found != region:
        raise Failure(
            f"the bucket {bucket} is in {found}, and Lambda takes code only from its own region, "
            f"{region}; name another: BUCKET=... ./deploy.sh"
        )
    ours = {"Bucket": bucket, "ExpectedBucketOwner": account}
    arn = f"arn:{boto3.Session().get_partition_for_region(region)}:s3:::{bucket}"
    for setting, secure in {
        "public access": lambda: _block_public_access(s3, ours),
        "policy": lambda: _refuse_plain_http(s3, ours, arn),
        "lifecycle": lambda: _end_unfinished_uploads(s3, ours),
    }.items():
        try:
            secure()
        except ClientError as error:
            if error.response["Error"]["Code"] not in _DENIED:
                raise
            say(f"    {bucket} stays as it is: these credentials may not see or set its {setting}")


def remove(bucket: str, account: str, prefix: str, say: Callable[[str], None]) -> None:
    """Removes every version of every object under `prefix`/, and the bucket if nothing else is in it."""
    s3 = boto3.client("s3")
    if _region(s3, bucket, account) is None:
        say(f"==> There is no bucket {bucket}")
        return
    versions = boto3.resource("s3").Bucket(bucket).object_versions
    answers = versions.filter(Prefix=f"{prefix}/", ExpectedBucketOwner=account).delete(ExpectedBucketOwner=account)
    for refused in (error for answer in answers for error in answer.get("Errors", [])):
        raise Failure(f"{refused['Key']} could not be removed from the bucket {bucket}: {refused['Message']}")
    say(f"==> Removed {sum(len(answer['Deleted']) for answer in answers)} files under s3://{bucket}/{prefix}/")
    try:
        _patiently(s3.delete_bucket, passing=("OperationAborted",), Bucket=bucket, ExpectedBucketOwner=account)
        say(f"==> Removed the bucket {bucket}")
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in ("BucketNotEmpty", "NoSuchBucket"):
            raise
        say(f"==> Kept the bucket {bucket}: it holds other files" if code == "BucketNotEmpty" else "==> It is gone")


def _region(s3: Any, bucket: str, account: str) -> str | None:
    """The region of the bucket, None if there is no bucket of that name. Raises Failure if another account owns it."""
    try:
        return s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account)["BucketRegion"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "404":
            return None
        if error.response["Error"]["Code"] != "403":
            raise
        raise Failure(
            f"the bucket {bucket} belongs to another account, or these credentials may not use it; "
            "name another: BUCKET=... ./deploy.sh"
        ) from None


def _block_public_access(s3: Any, ours: dict) -> None:
    found = _read(s3.get_public_access_block, ours, "NoSuchPublicAccessBlockConfiguration")
    if found.get("PublicAccessBlockConfiguration") != _PRIVATE:
        _patiently(s3.put_public_access_block, **ours, PublicAccessBlockConfiguration=_PRIVATE)


def _refuse_plain_http(s3: Any, ours: dict, arn: str) -> None:
    found = _read(s3.get_bucket_policy, ours, "NoSuchBucketPolicy").get("Policy", '{"Version": "2012-10-17"}')
    policy = json.loads(found)
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    statements = policy.get("Statement", [])
    # A single statement need not be in a list.
    statements = statements if isinstance(statements, list) else [statements]
    if statement not in statements:
        policy["Statement"] = [other for other in statements if other.get("Sid") != "TlsOnly"] + [statement]
        _patiently(s3.put_bucket_policy, **ours, Policy=json.dumps(policy))


def _end_unfinished_uploads(s3: Any, ours: dict) -> None:
    """The code itself never expires: rolling back a stack needs the previous code."""
    found = _read(s3.get_bucket_lifecycle_configuration, ours, "NoSuchLifecycleConfiguration")
    rules = found.get("Rules", [])
    if any(
        rule["Status"] == "Enabled"
        and "AbortIncompleteMultipartUpload" in rule
        and rule.get("Filter", {"Prefix": rule.get("Prefix")}) in ({}, {"Prefix": ""})
        for rule in rules
    ):
        return
    rule: dict[str, Any] = {
        "ID": "AbortIncompleteUploads",
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    # S3 accepts all rules in the older form, each with its own Prefix, or all in the newer one.
    rule |= {"Prefix": ""} if any("Prefix" in other for other in rules) else {"Filter": {"Prefix": ""}}
    others = [other for other in rules if other.get("ID") != rule["ID"]]
    # If it were not sent back, it would fall back to its default.
    kept = {name: found[name] for name in ("TransitionDefaultMinimumObjectSize",) if name in found}
    _patiently(s3.put_bucket_lifecycle_configuration, **ours, **kept, LifecycleConfiguration={"Rules": [*others, rule]})


def _read(operation: Callable[..., dict], arguments: dict, missing: str) -> dict:
    """The operation's answer, {} if the bucket has no such setting."""
    try:
        return _patiently(operation, **arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != missing:
            raise
        return {}


def _patiently(operation: Callable[..., Any], passing: tuple[str, ...] = PASSING, **arguments: Any) -> Any:
    """What the operation returns once S3 is up to date with what has just happened to the bucket."""
    deadline, pause = time.monotonic() + PATIENCE, 0.5
    while True:
        try:
            return operation(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] not in passing or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 10)
