"""Why there are no credentials, in one sentence each; the emulated AWS accepts any."""

import os

import pytest
from botocore.exceptions import ClientError, NoCredentialsError, SSOTokenLoadError, UnauthorizedSSOTokenError

from local.deploying import account

CONFIGURE = ".venv/bin/aws configure"
EXPIRED = (
    "the AWS credentials have expired; get new ones where these came from (for example, aws sso login), "
    f"or enter them with: {CONFIGURE}"
)
REFUSED = (
    f"AWS refuses these credentials in eu-south-1; enter them again with: {CONFIGURE}, or, if the account has not "
    "enabled the region eu-south-1, name another: AWS_REGION=us-east-1 ./deploy.sh"
)


def says(code):
    return ClientError({"Error": {"Code": code, "Message": "It is invalid"}}, "GetCallerIdentity")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NoCredentialsError(), f"no AWS credentials were found; run: {CONFIGURE}"),
        (says("ExpiredToken"), EXPIRED),
        (UnauthorizedSSOTokenError(), EXPIRED),
        (SSOTokenLoadError(error_msg="no token"), EXPIRED),
        # A region that the account has not enabled answers this, too:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_enable-regions.html
        (says("InvalidClientTokenId"), REFUSED),
        (says("SignatureDoesNotMatch"), f"AWS refuses these credentials; enter them again with: {CONFIGURE}"),
    ],
    ids=lambda value: getattr(value, "__class__", type(value)).__name__ if isinstance(value, Exception) else "",
)
def test_reason_names_what_mends_it(error, sentence):
    assert account.reason(error, "eu-south-1") == sentence


def test_credentials_are_hidden_from_a_build_and_come_back(monkeypatch):
    given = {"AWS_SECRET_ACCESS_KEY": "s", "AWS_PROFILE": "p", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "u"}
    for name, value in {**given, "AWS_REGION": "eu-south-1"}.items():
        monkeypatch.setenv(name, value)

    with account.without_credentials():
        assert not set(given) & set(os.environ)
        assert os.environ["AWS_REGION"] == "eu-south-1"

    assert {name: os.environ[name] for name in given} == given
