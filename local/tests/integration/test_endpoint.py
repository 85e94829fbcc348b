"""How a project's tests find its API."""

import json
import urllib.request

import pytest
from server import assert_nothing_left, cold, kill

from local import endpoint

REST = {
    "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "rest"}},
    "Deployment": {"Type": "AWS::ApiGateway::Deployment", "Properties": {"RestApiId": {"Ref": "Api"}}},
    "Stage": {
        "Type": "AWS::ApiGateway::Stage",
        "Properties": {"RestApiId": {"Ref": "Api"}, "DeploymentId": {"Ref": "Deployment"}, "StageName": "Live"},
    },
}
HTTP = {
    "Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Name": "http", "ProtocolType": "HTTP"}},
    "Stage": {
        "Type": "AWS::ApiGatewayV2::Stage",
        "Properties": {"ApiId": {"Ref": "Api"}, "StageName": "$default"},
    },
}
NONE = {"Topic": {"Type": "AWS::SNS::Topic"}}


@pytest.fixture
def stack(emulator, monkeypatch):
    """Makes a stack in emulated AWS, where boto3 looks now; returns its physical ids."""
    for name, value in emulator.environment("eu-west-3").items():
        monkeypatch.setenv(name, value)

    def create(name, resources):
        cloudformation = emulator.client("cloudformation", "eu-west-3")
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
        found = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in found}

    return create


# https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-call-api.html
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-stages.html
@pytest.mark.parametrize(
    ("name", "resources", "emulated", "path"),
    [("a-rest-api", REST, "/Live", "/Live"), ("an-http-api", HTTP, "/$default", "")],
)
def test_api_of_stack_is_found_by_its_kind(stack, emulator, monkeypatch, name, resources, emulated, path):
    api = stack(name, resources)["Api"]

    assert endpoint.of_stack(name) == f"{emulator.url}/_aws/execute-api/{api}{emulated}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", emulator.url)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert endpoint.of_stack(name) == f"https://{api}.execute-api.eu-west-3.amazonaws.com{path}"


def test_stack_without_api_is_told(stack):
    stack("without-api", NONE)

    with pytest.raises(endpoint.NotServed, match="the stack without-api has no API; it has AWS::SNS::Topic"):
        endpoint.of_stack("without-api")


@pytest.fixture
def here(project, monkeypatch):
    monkeypatch.setattr(endpoint, "_ROOT", cold(project))
    yield project
    kill(project)


def test_run_serves_without_env_json_and_leaves_nothing(here, capfd):
    (here / "env.json").write_text('{"MyFunction": {"MESSAGE": "of this machine"}}')

    with endpoint.run() as url, urllib.request.urlopen(f"{url}/my-endpoint", timeout=30) as answer:
        assert json.load(answer) == {"message": "Hello from Lambda"}

    assert_nothing_left(here)
    assert "GET /my-endpoint 200" in capfd.readouterr().err


def test_options_of_run_are_taken(here):
    (here / "other.json").write_text('{"MyFunction": {"MESSAGE": "for tests"}}')

    with endpoint.run("--env-vars", "other.json") as url:
        with urllib.request.urlopen(f"{url}/my-endpoint", timeout=30) as answer:
            assert json.load(answer) == {"message": "for tests"}


def test_run_that_cannot_start_is_told_with_its_reason(here):
    (here / "template.yaml").write_text("Resources: [")

    with pytest.raises(endpoint.NotServed, match="(?s)./run.sh ended:.*template"):
        endpoint.run().__enter__()
    assert_nothing_left(here)
