"""The acceptance test of a deployed stack: AWS_SAM_STACK_NAME=my-app .venv/bin/pytest tests/integration/test_stack.py

Without AWS_SAM_STACK_NAME it deploys one to an emulated AWS.
"""

import json
import os
import urllib.request

import boto3
import pytest
from emulator import Emulator


@pytest.fixture
def url(request):
    """The URL of the endpoint, from the outputs of the stack."""
    if name := os.environ.get("AWS_SAM_STACK_NAME"):
        emulator = Emulator(os.environ["AWS_ENDPOINT_URL"]) if "AWS_ENDPOINT_URL" in os.environ else None
        # boto3 itself reads only AWS_DEFAULT_REGION.
        cloudformation = boto3.client("cloudformation", region_name=os.environ.get("AWS_REGION"))
    else:
        name = "acceptance"
        emulator = request.getfixturevalue("emulator")
        request.getfixturevalue("deploy")(STACK_NAME=name)
        cloudformation = emulator.client("cloudformation")
    stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    endpoint = next(output["OutputValue"] for output in stack["Outputs"] if output["OutputKey"] == "MyEndpointUrl")
    return emulator.reachable(endpoint) if emulator else endpoint


def test_endpoint_of_stack_answers_with_message(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert json.load(answer) == {"message": "Hello from Lambda"}
