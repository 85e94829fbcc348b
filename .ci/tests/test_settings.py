"""The settings of the README's chapter "Change", taken from its text: here and in emulated AWS."""

import json
import urllib.request

import pytest
import readme
from server import Server, answering

SETTINGS = ("A value for each deployment", "A secret", "A permission", "A database in a VPC")
SECRET, BUCKET = "secretsmanager:us-east-1:000000000000:secret:my-app/token-*", "my-bucket"


@pytest.fixture
def project(new_project):
    """A project with all settings at once."""
    copy, examples = new_project(), readme.examples()
    for title in SETTINGS:
        readme.apply(copy, examples[title])
    (copy / "src" / "lambda.py").write_text(answering("[os.environ['MESSAGE'], os.environ['TOKEN']]"))
    return copy


def test_settings_and_boundary_of_the_pipeline_are_valid(project, validate):
    (boundary,) = [one for one in readme.placed() if "PermissionsBoundary" in "".join(one.lines)]
    readme.put(project, *readme.part(boundary))

    validate()


def test_env_json_gives_the_value_of_a_secret_locally(project, developer):
    (project / "env.json").write_text('{"Parameters": {"TOKEN": "for this machine"}}')
    server = Server(project, "processes", developer)
    try:
        assert server.get() == (200, ["Hello", "for this machine"])
    finally:
        server.kill()


def test_settings_count_deployed(project, deploy, emulator):
    emulator.client("secretsmanager").create_secret(Name="my-app/token", SecretString="of AWS")

    for options in [["--parameter-overrides", "Message=Hi"], []]:  # the second deployment keeps it
        done = deploy(*options, STACK_NAME="settings")
        assert done.returncode == 0, done.stderr
        with urllib.request.urlopen(emulator.reachable(done.stdout.strip()), timeout=30) as answer:
            assert json.load(answer) == ["Hi", "of AWS"]

    iam, role = emulator.client("iam"), emulator.resources("settings")["MyFunctionRole"]
    # ministack 1.5.33 does not keep a function's VpcConfig, but SAM's right to join the network comes with it.
    attached = [policy["PolicyName"] for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]]
    assert "AWSLambdaVPCAccessExecutionRole" in attached
    granted = [
        (action, json.dumps(statement["Resource"]))
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
        for action in statement["Action"]
    ]
    assert any(action == "s3:GetObject" and BUCKET in resource for action, resource in granted), granted
    assert any(action == "secretsmanager:GetSecretValue" and SECRET in resource for action, resource in granted)
