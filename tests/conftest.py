"""What the tests share: the handler, the address of the API, and a region and credentials for boto3."""

import importlib
import os

import pytest

from local import endpoint

if "AWS_SAM_STACK_NAME" not in os.environ:
    # A handler may call boto3.resource(...) when it is imported; these credentials reach no account.
    os.environ.pop("AWS_PROFILE", None)
    os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@pytest.fixture
def handler():
    """The function, imported by name as Lambda does, since `lambda` is a keyword."""
    return importlib.import_module("lambda").handler


@pytest.fixture(scope="session")
def api():
    """The base URL of the API: of the stack that AWS_SAM_STACK_NAME names, or of ./run.sh."""
    with endpoint.of_stack_or_run() as url:
        yield url
