"""The owner of the bucket: the emulated AWS takes ExpectedBucketOwner and does not compare it."""

import boto3
import pytest
from botocore.stub import Stubber

from local import bucket


def test_readable_bucket_of_another_account_is_refused(monkeypatch):
    s3 = boto3.client("s3", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    monkeypatch.setattr(boto3, "client", lambda service: s3)
    with Stubber(s3) as aws:
        asked = {"Bucket": "theirs", "ExpectedBucketOwner": "000000000000"}
        aws.add_client_error("head_bucket", "403", http_status_code=403, expected_params=asked)

        with pytest.raises(SystemExit, match="deploy.sh: the bucket theirs belongs to another account"):
            bucket.prepare("theirs", "000000000000")
