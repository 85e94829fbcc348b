"""The real ./deploy.sh, with the real aws and sam, against an emulated AWS."""

import io
import json
import os
import signal
import subprocess
import threading
import urllib.error
import urllib.request
import zipfile

import pytest

ACCOUNT = "000000000000"
FAILING = """
  Broken:
    Type: AWS::SSM::Parameter
    Properties:
      Name: /taken
      Type: String
      Value: anything

Outputs:"""


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def hello(message):
    return 200, "application/json", json.dumps({"message": message})


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def last_line(text):
    return text.splitlines()[-1]


class Visitor(threading.Thread):
    """Asks the endpoint again and again, and keeps every answer that differs from the one before."""

    def __init__(self, url):
        super().__init__()
        self.url, self.answers, self.leaving = url, [], threading.Event()

    def run(self):
        while not self.leaving.wait(0.02):
            try:
                answer = get(self.url)
            except urllib.error.HTTPError as error:
                if error.code == 502:  # the emulator, when busy, ends a function before what it is at; Lambda does not
                    continue
                answer = error
            except OSError as error:
                answer = error
            if answer not in self.answers[-1:]:
                self.answers.append(answer)

    def leave(self):
        self.leaving.set()
        self.join()
        return self.answers


def test_deploys_serves_and_updates(project, emulator, deploy):
    here = {"STACK_NAME": "Lifecycle", "region": "eu-west-2"}
    bucket = f"lifecycle-{ACCOUNT}-eu-west-2"
    (project / "src" / "__pycache__").mkdir()
    (project / "src" / "__pycache__" / "lambda.cpython-313.pyc").write_text("bytecode")

    first = deploy(**here)

    assert first.returncode == 0, first.stderr
    lines = first.stderr.splitlines()
    assert lines[0] == f"==> Account {ACCOUNT}, region eu-west-2, stack Lifecycle, bucket {bucket}"
    assert lines[1] == f"==> Creating the bucket {bucket}"
    url = first.stdout.removesuffix("\n")
    assert url.startswith("https://") and url.endswith(".execute-api.eu-west-2.amazonaws.com/Prod/my-endpoint")
    assert get(emulator.reachable(url)) == hello("Hello from Lambda")

    s3 = emulator.client("s3", "eu-west-2")
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert all(key.startswith("Lifecycle/") for key in keys)
    assert names_in_artifact(s3, bucket, keys) == ["lambda.py", "requirements.txt"]
    check_settings(s3, bucket, "eu-west-2")

    again = deploy(**here)

    assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr
    assert "No changes to deploy" in again.stderr
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == keys
    check_settings(s3, bucket, "eu-west-2")

    edit(project / "src" / "lambda.py", 'os.environ["MESSAGE"]', '"Edited"')
    visitor = Visitor(emulator.reachable(url))
    visitor.start()

    edited = deploy(**here)

    answers = visitor.leave()
    assert (edited.returncode, edited.stdout) == (0, first.stdout), edited.stderr
    assert get(emulator.reachable(url)) == hello("Edited")
    assert answers == [hello("Hello from Lambda"), hello("Edited")]


def check_settings(s3, bucket, region):
    """Private, encrypted, TLS only; unfinished uploads go, finished ones stay."""
    arn = f"arn:aws:s3:::{bucket}"
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == region
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert [rule["ApplyServerSideEncryptionByDefault"] for rule in encryption] == [{"SSEAlgorithm": "AES256"}]
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"] == [
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == [
        {
            "ID": "AbortIncompleteUploads",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        }
    ]


def artifact(s3, bucket, keys):
    """The zip among the uploaded files; the other is the template."""
    key = next(key for key in keys if not key.endswith(".template"))
    return zipfile.ZipFile(io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))


def names_in_artifact(s3, bucket, keys):
    return sorted(artifact(s3, bucket, keys).namelist())


def test_dependencies_are_wheels_for_lambda_whatever_the_host(project, emulator, deploy):
    (project / "src" / "requirements.txt").write_text("markupsafe==3.0.2\n")
    never_executed(emulator, "wheels")

    done = deploy("--tags", "team=blue", STACK_NAME="wheels")

    assert done.returncode == 0, done.stderr
    assert "==> The stack wheels is in REVIEW_IN_PROGRESS, left by an earlier failure" in done.stderr.splitlines()
    assert get(emulator.reachable(done.stdout.strip())) == hello("Hello from Lambda")
    s3, bucket = emulator.client("s3"), f"wheels-{ACCOUNT}-us-east-1"
    # This is how S3 spells us-east-1.
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert [name for name in names_in_artifact(s3, bucket, keys) if "dist-info" not in name] == [
        "lambda.py",
        "markupsafe/__init__.py",
        "markupsafe/_native.py",
        "markupsafe/_speedups.c",
        "markupsafe/_speedups.cpython-313-x86_64-linux-gnu.so",
        "markupsafe/_speedups.pyi",
        "markupsafe/py.typed",
        "requirements.txt",
    ]
    stack = emulator.client("cloudformation").describe_stacks(StackName="wheels")["Stacks"][0]
    assert stack["Tags"] == [{"Key": "team", "Value": "blue"}]


def never_executed(emulator, stack):
    """A stack with a change set that was made and not executed: REVIEW_IN_PROGRESS."""
    template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    cloudformation = emulator.client("cloudformation")
    cloudformation.create_change_set(
        StackName=stack, ChangeSetName="interrupted", ChangeSetType="CREATE", TemplateBody=json.dumps(template)
    )
    assert cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"


def test_interrupted_then_failed_then_mended_deploys(project, emulator, new_machine, deploy):
    interrupt(project, {**new_machine, **emulator.environment(), "STACK_NAME": "failing"})
    emulator.client("ssm").put_parameter(Name="/taken", Value="elsewhere", Type="String")
    edit(project / "template.yaml", "\nOutputs:", FAILING)

    failed = deploy(STACK_NAME="failing")

    assert (failed.returncode, failed.stdout) == (1, "")
    assert last_line(failed.stderr).startswith("deploy.sh: Broken (AWS::SSM::Parameter), CREATE_FAILED: ")
    assert "already exists" in last_line(failed.stderr)

    edit(project / "template.yaml", "/taken", "/free")
    mended = deploy(STACK_NAME="failing")

    assert mended.returncode == 0, mended.stderr
    assert "==> The stack failing is in ROLLBACK_COMPLETE, left by an earlier failure" in mended.stderr.splitlines()
    assert get(emulator.reachable(mended.stdout.strip())) == hello("Hello from Lambda")


def interrupt(project, environment):
    """Ctrl-C during the build."""
    process = subprocess.Popen(
        [project / "deploy.sh"], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with process.stderr:
        assert "==> Building\n" in iter(process.stderr.readline, "")
        os.killpg(process.pid, signal.SIGINT)
    assert process.wait(10) != 0


def test_delete_removes_everything_and_can_be_repeated(emulator, deploy):
    bucket, s3, cloudformation = f"gone-{ACCOUNT}-us-east-1", emulator.client("s3"), emulator.client("cloudformation")
    cloudformation.create_stack(StackName="gone", TemplateBody='{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}')
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("gone/code", "gone/code", "gone/old", "gone-but-another/code"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"zip")
    s3.delete_object(Bucket=bucket, Key="gone/old")

    first = deploy("--delete", STACK_NAME="gone")

    assert (first.returncode, first.stdout) == (0, "")
    touched = f"==> Account {ACCOUNT}, region us-east-1, stack gone, bucket {bucket}"
    assert first.stderr.splitlines() == [
        touched,
        "==> Removing the stack gone",
        "==> Removed the stack gone",
        f"==> Removed 4 files under s3://{bucket}/gone/",
        f"==> Kept the bucket {bucket}: it holds other files",
    ]
    assert [entry["Key"] for entry in s3.list_object_versions(Bucket=bucket)["Versions"]] == ["gone-but-another/code"]

    s3.delete_objects(Bucket=bucket, Delete={"Objects": versions(s3, bucket)})
    second = deploy("--delete", STACK_NAME="gone")

    assert second.stderr.splitlines() == [
        touched,
        "==> There is no stack gone",
        f"==> Removed 0 files under s3://{bucket}/gone/",
        f"==> Removed the bucket {bucket}",
    ]
    assert bucket not in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]

    third = deploy("--delete", STACK_NAME="gone")

    assert third.returncode == 0
    assert third.stderr.splitlines() == [touched, "==> There is no stack gone", f"==> There is no bucket {bucket}"]


def versions(s3, bucket):
    found = s3.list_object_versions(Bucket=bucket)["Versions"]
    return [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in found]


def test_settings_of_a_bucket_with_other_uses_stay(project, emulator, deploy):
    s3, ours = emulator.client("s3"), {"Bucket": "shared-with-others"}
    other_statement = {"Sid": "Other", "Effect": "Deny", "Principal": "*", "Action": "s3:PutBucketAcl", "Resource": "*"}
    other_rule = {"ID": "Other", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 9}}
    s3.create_bucket(**ours)
    s3.put_bucket_policy(**ours, Policy=json.dumps({"Version": "2012-10-17", "Statement": [other_statement]}))
    s3.put_bucket_lifecycle_configuration(**ours, LifecycleConfiguration={"Rules": [other_rule]})
    # It stops after the bucket.
    (project / "template.yaml").write_text("")

    deploy(STACK_NAME="shared", BUCKET="shared-with-others")

    statements = json.loads(s3.get_bucket_policy(**ours)["Policy"])["Statement"]
    assert [statement["Sid"] for statement in statements] == ["Other", "TlsOnly"]
    rules = s3.get_bucket_lifecycle_configuration(**ours)["Rules"]
    assert [rule["ID"] for rule in rules] == ["Other", "AbortIncompleteUploads"]
    assert rules[0] == other_rule


NO_REGION = (
    "deploy.sh: no region is set; run: .venv/bin/aws configure set region us-east-1, "
    "or: AWS_REGION=us-east-1 ./deploy.sh"
)
EXPIRED = (
    "deploy.sh: the AWS credentials have expired; get new ones where these came from (aws sso login, say), "
    "or enter them with: .venv/bin/aws configure"
)
REFUSED = "deploy.sh: AWS refuses these credentials; enter them again with: .venv/bin/aws configure"
EXPIRED_SAYS = "An error occurred (ExpiredToken) when calling the GetCallerIdentity operation: The token is expired"
REFUSED_SAYS = "An error occurred (InvalidClientTokenId) when calling the GetCallerIdentity operation: It is invalid"


def test_no_region_says_how_to_set_it(deploy):
    stopped = deploy(region=None)

    assert (stopped.returncode, stopped.stdout, stopped.stderr.splitlines()) == (1, "", [NO_REGION])


def test_no_credentials_say_how_to_set_them(deploy):
    stopped = deploy(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)

    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert stopped.stderr == "deploy.sh: no AWS credentials were found; run: .venv/bin/aws configure\n"


@pytest.mark.parametrize(
    ("aws_says", "sentence"), [(EXPIRED_SAYS, EXPIRED), (REFUSED_SAYS, REFUSED)], ids=["expired", "invalid"]
)
def test_credentials_that_aws_refuses_say_how_to_renew_them(project, deploy, tmp_path, aws_says, sentence):
    # The emulator takes any credentials.
    stub_aws(project, tmp_path, f"echo '{aws_says}' >&2; exit 255")

    stopped = deploy()

    assert (stopped.returncode, stopped.stdout, stopped.stderr.splitlines()) == (1, "", [sentence])


def stub_aws(project, tmp_path, script):
    """Puts a script in the place of aws, which deploy.sh takes from .tools/bin."""
    tools, bin_ = (project / ".tools").resolve(), tmp_path / "tools" / "bin"
    bin_.mkdir(parents=True)
    for tool in (tools / "bin").iterdir():
        (bin_ / tool.name).symlink_to(tool)
    (bin_ / "aws").unlink()
    (bin_ / "aws").write_text(f"#!/bin/sh\n{script}\n")
    (bin_ / "aws").chmod(0o755)
    (tmp_path / "tools" / "installed").symlink_to(tools / "installed")
    (project / ".tools").unlink()
    (project / ".tools").symlink_to(tmp_path / "tools")


def test_bucket_of_another_account_is_refused(emulator, deploy):
    emulator.client("s3", account="111111111111").create_bucket(Bucket="somebody-elses")

    stopped = deploy(BUCKET="somebody-elses")

    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert last_line(stopped.stderr) == (
        "deploy.sh: the bucket somebody-elses belongs to another account, or these credentials may not use it; "
        "name another: BUCKET=... ./deploy.sh"
    )


def test_bucket_in_another_region_is_refused(emulator, deploy):
    emulator.client("s3").create_bucket(Bucket="far-away")

    stopped = deploy(region="eu-west-2", BUCKET="far-away")

    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert last_line(stopped.stderr) == (
        "deploy.sh: the bucket far-away lies in us-east-1, and Lambda takes code only from its own region, eu-west-2; "
        "name another: BUCKET=... ./deploy.sh"
    )


def test_artifact_too_large_for_lambda_is_refused_before_upload(project, emulator, deploy):
    with (project / "src" / "model.bin").open("wb") as file:
        file.truncate(251 * 1024 * 1024)

    stopped = deploy(STACK_NAME="large")

    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert last_line(stopped.stderr) == (
        "deploy.sh: MyFunction has 251 MB unzipped, more than the 250 MB that Lambda takes; "
        "see what is large: du -m .aws-sam/build/MyFunction | sort -n | tail"
    )
    assert emulator.client("s3").list_objects_v2(Bucket=f"large-{ACCOUNT}-us-east-1")["KeyCount"] == 0


def test_options_that_settings_decide_are_refused(deploy):
    stopped = deploy("--stack-name", "other")

    assert stopped.returncode == 1
    assert stopped.stderr == (
        "deploy.sh: set STACK_NAME, BUCKET, AWS_REGION or AWS_PROFILE instead; see ./deploy.sh --help\n"
    )
