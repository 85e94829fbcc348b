"""What ./deploy.sh does about a stack that an earlier failure left, in states that the emulated AWS gets into."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.deploying.stack import first_failure, obstacle

ROOT = Path(__file__).parents[3]
EMPTY_ZIP = b"PK\5\6" + bytes(18)
TOPIC = {"Topic": {"Type": "AWS::SNS::Topic"}}
# Fails after a second, since nobody sends the signal that it waits for.
WAIT = {
    "Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
    "Wait": {"Type": "AWS::CloudFormation::WaitCondition", "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "1"}},
}


class Stack:
    """A stack that the emulator fails on demand. An image repository can be removed only while no image is in it."""

    def __init__(self, emulator, name):
        self.emulator, self.name = emulator, name
        self.cloudformation, self.ecr = emulator.client("cloudformation"), emulator.client("ecr")

    def create(self, resources, **options):
        self.cloudformation.create_stack(
            StackName=self.name, TemplateBody=json.dumps({"Resources": resources}), **options
        )

    def update(self, resources):
        self.cloudformation.update_stack(StackName=self.name, TemplateBody=json.dumps({"Resources": resources}))

    def images(self):
        return {"Images": {"Type": "AWS::ECR::Repository", "Properties": {"RepositoryName": self.name}}}

    def function(self, key):
        code = {"S3Bucket": self.name, "S3Key": key}
        role = "arn:aws:iam::000000000000:role/any"
        properties = {"Code": code, "Handler": "lambda.handler", "Runtime": "python3.13", "Role": role}
        return {"Function": {"Type": "AWS::Lambda::Function", "Properties": properties}}

    def put_image(self):
        while True:
            try:
                return self.ecr.put_image(repositoryName=self.name, imageManifest="{}", imageTag="any")
            except self.ecr.exceptions.RepositoryNotFoundException:
                time.sleep(0.05)

    def delete_image(self):
        self.ecr.batch_delete_image(repositoryName=self.name, imageIds=[{"imageTag": "any"}])

    def status(self):
        try:
            return self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]["StackStatus"]
        except self.cloudformation.exceptions.ClientError:
            return None

    def reaches(self, status):
        deadline = time.monotonic() + 20
        while self.status() != status and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.status() == status

    def prepare(self):
        """The step of ./deploy.sh: return code, and the lines that it says."""
        done = subprocess.run(
            [sys.executable, "-m", "local.deploying", "prepare"],
            check=False,
            cwd=ROOT,
            env={**os.environ, **self.emulator.environment(), "STACK_NAME": self.name},
            capture_output=True,
            text=True,
            timeout=60,
        )
        # What it removes has names that the emulator makes up.
        return done.returncode, [line for line in done.stderr.splitlines() if not line.startswith("    removing ")]


@pytest.fixture
def stack(emulator, request):
    return Stack(emulator, request.node.name.replace("_", "-"))


def test_create_failed(stack):
    stack.create(WAIT, OnFailure="DO_NOTHING")
    stack.reaches("CREATE_FAILED")

    assert stack.prepare() == (
        0,
        [
            f"==> The stack {stack.name} is in CREATE_FAILED, left by an earlier failure",
            f"==> Removing the stack {stack.name}",
            f"==> Removed the stack {stack.name}",
        ],
    )
    assert stack.status() is None


def test_rollback_failed(stack):
    stack.create({**stack.images(), **WAIT, "Wait": {**WAIT["Wait"], "DependsOn": "Images"}})
    stack.put_image()
    stack.reaches("ROLLBACK_FAILED")

    assert stack.prepare() == (
        0,
        [
            f"==> The stack {stack.name} is in ROLLBACK_FAILED, left by an earlier failure",
            f"==> Removing the stack {stack.name}",
            f"==> Removed the stack {stack.name}",
        ],
    )


def test_delete_failed(stack):
    stack.create(stack.images())
    stack.put_image()
    stack.reaches("CREATE_COMPLETE")
    stack.cloudformation.delete_stack(StackName=stack.name)
    stack.reaches("DELETE_FAILED")
    tries = [
        f"==> The stack {stack.name} is in DELETE_FAILED, left by an earlier failure",
        f"==> Removing the stack {stack.name}",
    ]

    code, said = stack.prepare()

    assert (code, said[:2]) == (1, tries)
    assert said[2].startswith(f"deploy.sh: the stack {stack.name} could not be removed: Images: ")

    stack.delete_image()

    assert stack.prepare() == (0, [*tries, f"==> Removed the stack {stack.name}"])


def test_update_rollback_failed(stack):
    s3 = stack.emulator.client("s3")
    s3.create_bucket(Bucket=stack.name)
    for key in ("old", "new"):
        s3.put_object(Bucket=stack.name, Key=key, Body=EMPTY_ZIP)
    stack.create(stack.function("old"))
    stack.reaches("CREATE_COMPLETE")
    stack.update({**stack.function("new"), **WAIT, "Wait": {**WAIT["Wait"], "DependsOn": "Function"}})
    # Without the old code there is no way back.
    s3.delete_object(Bucket=stack.name, Key="old")
    stack.reaches("UPDATE_ROLLBACK_FAILED")

    code, said = stack.prepare()

    assert (code, len(said)) == (1, 1)
    assert said[0] == (
        f"deploy.sh: the stack {stack.name} is in UPDATE_ROLLBACK_FAILED: an update failed, and so did its rollback; "
        "fix what the events name, then run: .venv/bin/aws cloudformation continue-update-rollback "
        f"--stack-name {stack.name} --region us-east-1"
    )


def test_update_rollback_complete(stack):
    stack.create(TOPIC)
    stack.reaches("CREATE_COMPLETE")
    stack.update({**TOPIC, **WAIT})
    stack.reaches("UPDATE_ROLLBACK_COMPLETE")

    assert stack.prepare() == (0, [])


def test_in_progress(stack, deploy):
    waits_long = {**WAIT["Wait"], "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "60"}}
    stack.create({**WAIT, "Wait": waits_long})
    stack.reaches("CREATE_IN_PROGRESS")

    stopped = deploy(STACK_NAME=stack.name)

    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert stopped.stderr.splitlines()[-1] == (
        f"deploy.sh: the stack {stack.name} is in CREATE_IN_PROGRESS: another deployment is running, or an interrupted "
        "one still is; wait for it to end: .venv/bin/aws cloudformation wait stack-create-complete "
        f"--stack-name {stack.name} --region us-east-1"
    )


@pytest.mark.parametrize(
    ("status", "waiter"),
    [
        ("CREATE_IN_PROGRESS", "stack-create-complete"),
        ("IMPORT_IN_PROGRESS", "stack-import-complete"),
        ("UPDATE_IN_PROGRESS", "stack-update-complete"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "stack-update-complete"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "stack-rollback-complete"),
        ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "stack-rollback-complete"),
        ("DELETE_IN_PROGRESS", "stack-delete-complete"),
    ],
)
def test_every_phase_has_its_waiter(status, waiter):
    assert obstacle("my-app", status, "us-east-1").endswith(
        f".venv/bin/aws cloudformation wait {waiter} --stack-name my-app --region us-east-1"
    )


@pytest.mark.parametrize("status", ["ROLLBACK_IN_PROGRESS", "IMPORT_ROLLBACK_IN_PROGRESS"])
def test_phase_without_a_waiter_that_ends_well_has_none(status):
    # botocore's waiters for stacks: none has ROLLBACK_COMPLETE or IMPORT_ROLLBACK_COMPLETE for a success.
    advice = obstacle("my-app", status, "us-east-1")

    assert " wait " not in advice
    assert advice.endswith(
        "a failure is being rolled back; run ./deploy.sh again after that; see its status: .venv/bin/aws "
        "cloudformation describe-stacks --stack-name my-app --region us-east-1 --query Stacks[0].StackStatus"
    )


@pytest.mark.parametrize(
    "status",
    [
        "CREATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
        "REVIEW_IN_PROGRESS",
    ],
)
def test_stack_that_takes_a_deployment_is_let_be(status):
    assert obstacle("my-app", status, "us-east-1") is None


def test_import_that_could_not_be_undone_is_explained():
    assert obstacle("my-app", "IMPORT_ROLLBACK_FAILED", "us-east-1").endswith(
        "see why: .venv/bin/aws cloudformation describe-stack-events --stack-name my-app --region us-east-1"
    )


def test_review_in_progress_is_left_alone(stack):
    stack.cloudformation.create_change_set(
        StackName=stack.name,
        ChangeSetName="of-somebody-else",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": TOPIC}),
    )
    stack.reaches("REVIEW_IN_PROGRESS")

    assert stack.prepare() == (0, [])
    assert stack.status() == "REVIEW_IN_PROGRESS"


def test_cause_is_what_failed_first_and_not_what_was_cancelled():
    # Newest first, as AWS lists them; only AWS runs resources side by side, and so cancels some.
    events = [
        {"EventId": "5", "ResourceStatus": "ROLLBACK_IN_PROGRESS", "ResourceStatusReason": "[A, B] failed to create"},
        {"EventId": "4", "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": "Resource creation cancelled"},
        {"EventId": "3", "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": "It exists already"},
        {"EventId": "2", "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": "Resource creation cancelled"},
        {"EventId": "1", "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": "Of an earlier deployment"},
    ]

    assert first_failure(events, "1")["EventId"] == "3"
