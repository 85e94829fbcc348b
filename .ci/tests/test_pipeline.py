"""The pipeline in .github: valid, pinned, and a role that can deploy this application and nothing else."""

import json
import os
import re
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import boto3
import pytest
import yaml

from local.tests.conftest import SCRIPTS

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
TOOLS = ROOT / ".tools" / "bin"
SUBJECT = "repo:octocat@123456/my-repo@456789"


def run(*command, **variables):
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def workflow(name):
    """The workflow, in which `on` stands under YAML 1.1's word for it: true."""
    return yaml.safe_load((GITHUB / "workflows" / name).read_text())


@pytest.fixture(scope="module")
def jobs():
    return workflow("ci.yml")["jobs"]


def test_actions_are_pinned_by_commit_with_their_version():
    lines = [line for file in GITHUB.rglob("*.yml") for line in file.read_text().splitlines() if "uses:" in line]

    assert lines
    assert [line for line in lines if not re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)] == []


@pytest.mark.parametrize("name", ["ci.yml", "machinery.yml"])
def test_checkout_keeps_no_token(name):
    steps = [step for job in workflow(name)["jobs"].values() for step in job["steps"]]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout")]

    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_every_push_and_pull_request_runs_the_users_tests_as_the_readme_does(jobs):
    assert workflow("ci.yml")[True] == {"push": None, "pull_request": None}
    assert jobs.keys() == {"test", "deploy"}
    assert not {"if", "strategy"} & jobs["test"].keys()
    commands = [step["run"] for step in jobs["test"]["steps"] if "run" in step]
    assert commands[:2] == ["./install.sh", ".venv/bin/pytest"]
    assert re.search(r"\./install\.sh && \.venv/bin/pytest(`|\s*$)", (ROOT / "README.md").read_text(), re.MULTILINE)
    run("bash", "-c", commands[2])  # lints the template


def test_machinery_is_tested_on_both_systems_where_it_has_changed():
    machinery = workflow("machinery.yml")
    paths = machinery[True]["push"]["paths"]
    (job,) = machinery["jobs"].values()

    assert machinery[True] == {"push": {"paths": paths}, "pull_request": {"paths": paths}}
    assert set(paths) - {".github/workflows/machinery.yml"} == {"local/**", *SCRIPTS}
    assert {system.split("-")[0] for system in job["strategy"]["matrix"]["os"]} == {"ubuntu", "macos"}
    assert job["strategy"]["matrix"]["python"] == ["3.10", "3.14"]
    assert "./install.sh && .tools/bin/pytest local" in [step.get("run") for step in job["steps"]]


def test_only_main_is_deployed_when_role_is_known_and_tests_have_passed(jobs):
    deploy = jobs["deploy"]

    assert deploy["needs"] == "test"
    assert set(deploy["if"].split(" && ")) == {
        "github.event_name == 'push'",
        "github.ref == 'refs/heads/main'",
        "vars.AWS_ROLE_ARN != ''",
    }
    assert deploy["concurrency"] == {"group": "deploy", "cancel-in-progress": False}
    # A package without a wheel runs its own code when it is built: before there are credentials.
    steps = [step.get("run", step.get("uses", "")).partition("@")[0] for step in deploy["steps"]]
    order = ["./install.sh", "./deploy.sh --build", "aws-actions/configure-aws-credentials"]
    assert [step for step in steps if step in order] == order
    assert "./deploy.sh --no-build" in steps[-1]
    role = next(step["with"] for step in deploy["steps"] if "configure-aws-credentials" in step.get("uses", ""))
    assert role == {"role-to-assume": "${{ vars.AWS_ROLE_ARN }}", "aws-region": "${{ vars.AWS_REGION }}"}


def test_jobs_have_time_limits_and_least_permissions(jobs):
    assert workflow("ci.yml")["permissions"] == workflow("machinery.yml")["permissions"] == {}
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "test": {"contents": "read"},
        "deploy": {"contents": "read", "id-token": "write"},
    }
    assert all(job["timeout-minutes"] <= 30 for job in jobs.values())
    assert [file for file in GITHUB.rglob("*.yml") if "secrets." in file.read_text()] == []


def test_dependabot_knows_every_list_of_requirements():
    pip, actions = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]

    known = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*requirements.txt", ":!local/tests/project"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert set(pip["directories"]) == {f"/{Path(name).parent}".rstrip(".") for name in known}
    assert actions["package-ecosystem"] == "github-actions"
    assert all(update["schedule"] == {"interval": "weekly"} and update["groups"] for update in (pip, actions))


# The emulator's CloudFormation has no OIDC provider, so the role is deployed as where the account has one already. The
# stack has the likeliest name, which is among the names that the pipeline may change.
@pytest.fixture(scope="module")
def role(emulator):
    """The role and its policy as AWS has them, and the ARN that the stack's outputs give."""
    environment = emulator.environment("eu-west-1")
    run(
        *(TOOLS / "aws", "cloudformation", "deploy", "--stack-name", "my-app-pipeline"),
        *("--template-file", GITHUB / "deploy-role.yaml", "--capabilities", "CAPABILITY_IAM"),
        *("--parameter-overrides", f"SubjectPrefix={SUBJECT}", "StackName=my-app", "CreateProvider=false"),
        **environment,
    )
    session = boto3.Session("test", "test", region_name="eu-west-1")
    stack = session.client("cloudformation", endpoint_url=emulator.url).describe_stacks(StackName="my-app-pipeline")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Stacks"][0]["Outputs"]}
    iam = session.client("iam", endpoint_url=emulator.url)
    name = outputs["RoleArn"].rsplit("/")[-1]
    policy = iam.get_role_policy(RoleName=name, PolicyName="deploy")["PolicyDocument"]
    boundary = iam.get_policy_version(PolicyArn=outputs["FunctionBoundary"], VersionId="v1")["PolicyVersion"][
        "Document"
    ]
    return {
        **outputs,
        "trust": iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]["Statement"],
        "attached": iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"],
        "statements": {statement["Sid"]: statement for statement in policy["Statement"]},
        "boundary": boundary["Statement"] if isinstance(boundary, dict) else json.loads(boundary)["Statement"],
    }


def as_list(value):
    return value if isinstance(value, list) else [value]


def test_role_trusts_branch_main_of_this_repository_only(role):
    github = "token.actions.githubusercontent.com"
    assert role["trust"] == [
        {
            "Effect": "Allow",
            "Principal": {"Federated": f"arn:aws:iam::000000000000:oidc-provider/{github}"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    f"{github}:aud": "sts.amazonaws.com",
                    f"{github}:sub": f"{SUBJECT}:ref:refs/heads/main",
                }
            },
        }
    ]


def test_role_reaches_nothing_but_its_application(role):
    assert role["attached"] == []
    actions = [action for statement in role["statements"].values() for action in as_list(statement["Action"])]
    assert [action for action in actions if "*" in action] == []
    reached = {sid: as_list(statement["Resource"]) for sid, statement in role["statements"].items()}
    # AWS makes up the ids of APIs, lists have no narrower resource, and the transform is AWS's own.
    assert {sid for sid, arns in reached.items() if any("my-app" not in arn for arn in arns)} == {
        "Api",
        "Lists",
        "Transform",
    }
    assert reached["Bucket"] == [
        "arn:aws:s3:::my-app-000000000000-eu-west-1",
        "arn:aws:s3:::my-app-000000000000-eu-west-1/*",
    ]


def test_role_cannot_raise_its_own_permissions(role):
    giving = [statement for statement in role["statements"].values() if "iam:" in str(statement["Action"])]
    patterns = [arn for statement in giving for arn in as_list(statement["Resource"])]
    assert [arn for arn in patterns if fnmatchcase(role["RoleArn"], arn)] == []
    assert [arn for arn in patterns if fnmatchcase(role["FunctionBoundary"], arn)] == []

    conditions = {
        action: [statement.get("Condition") for statement in giving if action in as_list(statement["Action"])]
        for action in ("iam:PassRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary")
    }
    bounded = {"StringEquals": {"iam:PermissionsBoundary": role["FunctionBoundary"]}}
    aws = "arn:aws:iam::aws:policy"
    harmless = [
        f"{aws}/service-role/AWSLambdaBasicExecutionRole",
        f"{aws}/service-role/AWSLambdaVPCAccessExecutionRole",
        f"{aws}/AWSXrayWriteOnlyAccess",
        f"{aws}/AWSXRayDaemonWriteAccess",
    ]
    assert conditions == {
        "iam:PassRole": [{"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}],
        "iam:PutRolePolicy": [bounded],
        "iam:AttachRolePolicy": [{"ArnEquals": {"iam:PolicyARN": harmless}}, bounded],
        "iam:PutRolePermissionsBoundary": [bounded],
    }
    written = {action for statement in giving for action in as_list(statement["Action"])}
    assert not written & {"iam:DeleteRolePermissionsBoundary", "iam:UpdateAssumeRolePolicy", "iam:CreatePolicyVersion"}


def test_functions_may_write_their_log_unless_more_is_allowed(role):
    assert role["boundary"] == [
        {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}
    ]
