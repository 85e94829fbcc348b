"""The bucket for the code: private, and never one that belongs to somebody else.

Usage: python -m local.bucket prepare BUCKET ACCOUNT
       python -m local.bucket remove BUCKET ACCOUNT PREFIX

https://docs.aws.amazon.com/AmazonS3/latest/userguide/security-best-practices.html
"""

import json
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError


def prepare(bucket, account):
    """Creates the bucket when `account` (12 digits) has none of that name, and makes its settings safe.

    Other settings, of a bucket that has other uses too, stay. Exits when it is not ours or lies in another region.
    """
    s3 = boto3.client("s3")
    region = s3.meta.region_name
    if (found := _region(s3, bucket, account)) is None:
        print(f"==> Creating the bucket {bucket}", file=sys.stderr)
        # S3 takes every region's name but this one.
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, **where)
    elif found != region:
        sys.exit(
            f"deploy.sh: the bucket {bucket} lies in {found}, and Lambda takes code only from its own region, "
            f"{region}; name another: BUCKET=... ./deploy.sh"
        )
    ours = {"Bucket": bucket, "ExpectedBucketOwner": account}
    s3.put_public_access_block(
        **ours,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    if not _read(s3.get_bucket_encryption, ours, "ServerSideEncryptionConfigurationNotFoundError"):
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        s3.put_bucket_encryption(**ours, ServerSideEncryptionConfiguration={"Rules": [rule]})
    policy = json.loads(
        _read(s3.get_bucket_policy, ours, "NoSuchBucketPolicy").get("Policy", '{"Version": "2012-10-17"}')
    )
    arn = f"arn:{boto3.Session().get_partition_for_region(region)}:s3:::{bucket}"
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy["Statement"] = _with(policy.get("Statement", []), statement, "Sid")
    s3.put_bucket_policy(**ours, Policy=json.dumps(policy))
    # The code itself never expires: rolling a stack back needs what it ran before.
    rule = {
        "ID": "AbortIncompleteUploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    rules = _read(s3.get_bucket_lifecycle_configuration, ours, "NoSuchLifecycleConfiguration").get("Rules", [])
    s3.put_bucket_lifecycle_configuration(**ours, LifecycleConfiguration={"Rules": _with(rules, rule, "ID")})


def remove(bucket, account, prefix):
    """Removes every version of every object under `prefix`/, and the bucket when nothing else is in it."""
    s3 = boto3.client("s3")
    if _region(s3, bucket, account) is None:
        print(f"==> There is no bucket {bucket}", file=sys.stderr)
        return
    versions = boto3.resource("s3").Bucket(bucket).object_versions
    answers = versions.filter(Prefix=f"{prefix}/", ExpectedBucketOwner=account).delete(ExpectedBucketOwner=account)
    for refused in (error for answer in answers for error in answer.get("Errors", [])):
        sys.exit(f"deploy.sh: {refused['Key']} could not be removed from the bucket {bucket}: {refused['Message']}")
    print(
        f"==> Removed {sum(len(answer['Deleted']) for answer in answers)} files under s3://{bucket}/{prefix}/",
        file=sys.stderr,
    )
    try:
        s3.delete_bucket(Bucket=bucket, ExpectedBucketOwner=account)
        print(f"==> Removed the bucket {bucket}", file=sys.stderr)
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "BucketNotEmpty":
            raise
        print(f"==> Kept the bucket {bucket}: it holds other files", file=sys.stderr)


def _region(s3, bucket, account):
    """The region of the bucket, None when nobody has one of that name. Exits when another account has it."""
    try:
        return s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account)["BucketRegion"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "404":
            return None
        if error.response["Error"]["Code"] != "403":
            raise
        sys.exit(
            f"deploy.sh: the bucket {bucket} belongs to another account, or these credentials may not use it; "
            "name another: BUCKET=... ./deploy.sh"
        )


def _read(operation, arguments, missing):
    """What the operation answers, {} when the bucket has no such setting."""
    try:
        return operation(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != missing:
            raise
        return {}


def _with(items, item, name):
    return [other for other in items if other.get(name) != item[name]] + [item]


if __name__ == "__main__":
    try:
        {"prepare": prepare, "remove": remove}[sys.argv[1]](*sys.argv[2:])
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"deploy.sh: the bucket {sys.argv[2]}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
