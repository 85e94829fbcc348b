"""Account and region: determined once, and passed to every later step in the environment.

https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

import contextlib
import os
from collections.abc import Iterator

import boto3
import botocore.session
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound
from botocore.utils import JSONFileCache

from local.deploying import Failure

CONFIGURE = ".venv/bin/aws configure"
_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
# Other variables that lead to credentials: in a shell, in a container and in a GitHub workflow.
_LEADS = (
    *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY", "AWS_CONTAINER_", "AWS_SECURITY_TOKEN"),
    *("ACTIONS_ID_TOKEN_", "ACTIONS_RUNTIME_TOKEN", "GITHUB_TOKEN"),
)


def identify() -> tuple[str, str]:
    """Returns (account of 12 digits, region). Leaves the region and the credentials in the environment.

    So one MFA code is enough for all steps and, cached where SAM CLI keeps its cache, for an hour. Raises Failure.
    """
    try:
        session = boto3.Session()
        region = os.environ.get("AWS_REGION") or session.region_name
    except ProfileNotFound:
        profile = os.environ.get("AWS_PROFILE")
        others = ", ".join(botocore.session.Session().available_profiles) or "none"
        raise Failure(
            f"there is no profile {profile} (AWS_PROFILE), only {others}; create it: {CONFIGURE} --profile {profile}"
        ) from None
    if not region:
        raise Failure(f"no region is set; run: {CONFIGURE} set region us-east-1, or: AWS_REGION=us-east-1 ./deploy.sh")
    # Most SDKs read the first, boto3 the second.
    os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = region
    session._session.get_component("credential_provider").get_provider("assume-role").cache = JSONFileCache()
    try:
        found = session.get_credentials()
        if found is None:
            raise NoCredentialsError
        frozen = found.get_frozen_credentials()
        account = session.client("sts", region_name=region).get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        raise Failure(reason(error, region)) from error
    values = (frozen.access_key, frozen.secret_key, frozen.token)
    os.environ.update({name: value for name, value in zip(_SECRETS, values, strict=True) if value})
    return account, region


def reason(error: Exception, region: str) -> str:
    """One sentence that says why there are no valid credentials, and what to do."""
    text = " ".join(str(error).split())
    if isinstance(error, NoCredentialsError) or "Unable to locate credentials" in text:
        return f"no AWS credentials were found; run: {CONFIGURE}"
    if "xpired" in text or "SSO" in text or "sso" in text:
        return (
            "the AWS credentials have expired; get new ones where these came from (for example, aws sso login), "
            f"or enter them with: {CONFIGURE}"
        )
    if "InvalidClientTokenId" in text or "UnrecognizedClient" in text:
        return (
            f"AWS refuses these credentials in {region}; enter them again with: {CONFIGURE}, or, if the account has "
            f"not enabled the region {region}, name another: AWS_REGION=us-east-1 ./deploy.sh"
        )
    if "SignatureDoesNotMatch" in text:
        return f"AWS refuses these credentials; enter them again with: {CONFIGURE}"
    return f"AWS does not say whose credentials these are; see .venv/bin/aws sts get-caller-identity: {text}"


@contextlib.contextmanager
def without_credentials() -> Iterator[None]:
    """Hides credentials, and what leads to them, for a while: a build runs other people's code."""
    hidden = {name: value for name, value in os.environ.items() if name.startswith(_SECRETS + _LEADS)}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)
