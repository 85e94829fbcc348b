"""The real ./deploy.sh, with the real aws and sam, against an emulated AWS."""

import io
import json
import os
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest
from packages import package, save

ROOT = Path(__file__).parents[3]
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
    """Calls the endpoint repeatedly, and keeps every answer that differs from the previous one."""

    def __init__(self, url):
        super().__init__()
        self.url, self.answers, self.leaving = url, [], threading.Event()

    def run(self):
        while not self.leaving.wait(0.02):
            try:
                answer = get(self.url)
            except urllib.error.HTTPError as error:
                if error.code == 502:  # a busy emulator ends a function during its work; Lambda does not
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
    assert f"==> Creating the bucket {bucket}" in lines
    # A line for every change and for every resource as it is made, none of it cut off.
    assert "    add MyFunctionMyEndpointPermissionProd (AWS::Lambda::Permission)" in lines
    assert "    created MyFunctionMyEndpointPermissionProd (AWS::Lambda::Permission), 0 s" in lines
    assert len(lines) <= 30
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
    # It may be somebody else's first deployment, and is not a stack yet.
    assert "REVIEW_IN_PROGRESS" not in done.stderr
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


def test_compiled_package_runs_deployed(project, emulator, deploy):
    # No Python but the wheel's can import it, other than markupsafe, which can do without its compiled part.
    (project / "src" / "requirements.txt").write_text("pydantic-core==2.33.2\n")
    edit(project / "src" / "lambda.py", "import json", "import json\nimport pydantic_core")

    done = deploy(STACK_NAME="compiled")

    assert done.returncode == 0, done.stderr
    assert get(emulator.reachable(done.stdout.strip())) == hello("Hello from Lambda")


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
    """Ctrl-C during the build, with the tools themselves."""
    tools = project / ".tools"
    warm = tools.readlink()
    tools.unlink()
    tools.symlink_to(ROOT / ".tools")
    process = subprocess.Popen(
        [project / "deploy.sh"], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with process.stderr:
        assert "==> Building\n" in iter(process.stderr.readline, "")
        os.killpg(process.pid, signal.SIGINT)
    assert process.wait(10) != 0
    tools.unlink()
    tools.symlink_to(warm)


def test_delete_removes_everything_and_can_be_repeated(emulator, deploy):
    bucket, s3, cloudformation = f"gone-{ACCOUNT}-us-east-1", emulator.client("s3"), emulator.client("cloudformation")
    cloudformation.create_stack(StackName="gone", TemplateBody='{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}')
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    topic = emulator.resources("gone")["Topic"]
    for key in ("gone/code", "gone/code", "gone/old", "gone-but-another/code"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"zip")
    s3.delete_object(Bucket=bucket, Key="gone/old")

    first = deploy("--delete", STACK_NAME="gone")

    assert (first.returncode, first.stdout) == (0, "")
    touched = f"==> Account {ACCOUNT}, region us-east-1, stack gone, bucket {bucket}"
    assert first.stderr.splitlines() == [
        touched,
        "==> Removing the stack gone",
        f"    removing Topic (AWS::SNS::Topic {topic})",
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

    done = deploy(STACK_NAME="shared", BUCKET="shared-with-others")

    assert done.returncode == 0, done.stderr
    statements = json.loads(s3.get_bucket_policy(**ours)["Policy"])["Statement"]
    assert [statement["Sid"] for statement in statements] == ["Other", "TlsOnly"]
    rules = s3.get_bucket_lifecycle_configuration(**ours)["Rules"]
    assert [rule["ID"] for rule in rules] == ["Other", "AbortIncompleteUploads"]
    assert rules[0] == other_rule


NO_REGION = (
    "deploy.sh: no region is set; run: .venv/bin/aws configure set region us-east-1, "
    "or: AWS_REGION=us-east-1 ./deploy.sh"
)


def test_no_region_says_how_to_set_it(deploy):
    stopped = deploy(region=None)

    assert (stopped.returncode, stopped.stdout, stopped.stderr.splitlines()) == (1, "", [NO_REGION])


def test_no_credentials_say_how_to_set_them(deploy):
    stopped = deploy(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)

    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert stopped.stderr == "deploy.sh: no AWS credentials were found; run: .venv/bin/aws configure\n"


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
        "deploy.sh: the bucket far-away is in us-east-1, and Lambda takes code only from its own region, eu-west-2; "
        "name another: BUCKET=... ./deploy.sh"
    )


def test_artifact_too_large_for_lambda_is_refused_before_upload(project, emulator, deploy):
    with (project / "src" / "model.bin").open("wb") as file:
        file.truncate(251 * 1024 * 1024)

    stopped = deploy(STACK_NAME="large")

    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert last_line(stopped.stderr) == (
        "deploy.sh: MyFunction is 251 MB unzipped, more than the 250 MB that Lambda allows; "
        "see what is large: du -m .aws-sam/build/MyFunction | sort -n | tail"
    )
    assert f"large-{ACCOUNT}-us-east-1" not in [b["Name"] for b in emulator.client("s3").list_buckets()["Buckets"]]


STRAY = (
    'deploy.sh: "prod" is not an option; for a stack with another name: STACK_NAME=shop-prod ./deploy.sh, '
    "to remove one: ./deploy.sh --delete\n"
)
SETTINGS = "deploy.sh: set STACK_NAME, BUCKET, AWS_REGION or AWS_PROFILE instead; see ./deploy.sh --help\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["prod"], STRAY),
        (["delete"], STRAY.replace('"prod"', '"delete"')),
        (["--disable-rollback", "prod"], STRAY),
        (["--disable-rolback"], "deploy.sh: no such option: --disable-rolback"),
        (["--on-failure", "STOP"], "deploy.sh: invalid value for '--on-failure': 'STOP' is not one of"),
        (["--stack-name", "other"], SETTINGS),
        (["--s3-prefix=other"], SETTINGS),
        (["--guided"], "deploy.sh: deploy.sh sets --guided itself"),
        (["--delete", "--tags"], "deploy.sh: --tags applies to a deployment only"),
        (["--build", "prod"], "deploy.sh: prod applies to a deployment only"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_no_option_is_refused_at_once(project, deploy, options, sentence):
    stopped = deploy(*options, STACK_NAME="shop")

    assert (stopped.returncode, stopped.stdout, len(stopped.stderr.splitlines())) == (1, "", 1), stopped.stderr
    assert stopped.stderr.startswith(sentence)
    assert not (project / ".aws-sam").exists()


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_shown_before_anything_is_installed(project, deploy, option):
    (project / ".tools").unlink()

    shown = deploy(option)

    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Usage: ./deploy.sh" in shown.stdout
    assert not (project / ".tools").exists()


@pytest.mark.parametrize("name", ["-x", "my_app", "a" * 129])
def test_name_that_no_stack_can_have_is_refused(deploy, name):
    stopped = deploy(STACK_NAME=name)

    assert (stopped.returncode, len(stopped.stderr.splitlines())) == (1, 1)
    assert stopped.stderr.startswith(f"deploy.sh: the STACK_NAME {name[:20]}")


def test_name_that_the_role_does_not_cover_is_named(deploy):
    done = deploy("--no-execute-changeset", STACK_NAME="a-name-of-more-than-25-letters")

    assert done.returncode == 0, done.stderr
    assert (
        "    The pipeline's role does not cover the name a-name-of-more-than-25-letters: it has 30 characters, "
        "and CloudFormation shortens names of more than 25"
    ) in done.stderr.splitlines()
    # Nothing was deployed, and no URL is printed.
    assert done.stdout == ""
    assert "    Not executed: arn:aws:cloudformation:" in done.stderr


def test_mistake_in_template_is_one_line_before_anything_is_made(project, emulator, deploy):
    edit(project / "template.yaml", "      Handler: ", "      Handlr: ")

    stopped = deploy(STACK_NAME="mistaken")

    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert re.fullmatch(
        r"deploy.sh: template.yaml, line \d+: 'Handlr' was unexpected. Did you mean 'Handler'\? \[E3002\]\n",
        stopped.stderr,
    )
    assert not (project / ".aws-sam" / "build").exists()
    assert f"mistaken-{ACCOUNT}-us-east-1" not in [b["Name"] for b in emulator.client("s3").list_buckets()["Buckets"]]


def test_dependency_that_cannot_be_resolved_is_one_line(project, deploy):
    (project / "src" / "requirements.txt").write_text("markupsafe==99.0\n")

    stopped = deploy(STACK_NAME="unresolved")

    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert last_line(stopped.stderr) == (
        "deploy.sh: sam build failed: No solution found when resolving dependencies: Because there is no version of "
        "markupsafe==99.0 and you require markupsafe==99.0, we can conclude that your requirements are unsatisfiable; "
        "its full output: .aws-sam/deploy.log"
    )


LOOP = """
  Fn::ForEach::Functions:
  - Name
  - [alpha, beta]
  - ${Name}Function:
      Type: AWS::Serverless::Function
      Metadata: {BuildMethod: python-uv}
      Properties: {CodeUri: src/, Handler: lambda.handler}
"""


def test_stack_without_endpoint_and_with_a_loop_is_a_success(project, emulator, deploy):
    """An Fn::ForEach needs no option where Transform names AWS::LanguageExtensions."""
    template = project / "template.yaml"
    text = template.read_text().replace("Type: Api", "Type: Schedule")
    text = text.replace(
        "            Path: /my-endpoint\n            Method: GET\n", "            Schedule: rate(1 day)\n"
    )
    text = text.replace("Transform: AWS::Serverless", "Transform: [AWS::LanguageExtensions, AWS::Serverless")
    template.write_text(text[: text.index("Outputs:")].replace("2016-10-31\n", "2016-10-31]\n") + LOOP)

    done = deploy(STACK_NAME="nightly")

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert last_line(done.stderr) == "==> Deployed; the stack has no output MyEndpointUrl, so there is no URL to show"
    assert {"alphaFunction", "betaFunction", "MyFunction"} < emulator.resources("nightly").keys()


def test_url_is_what_the_output_says(project, emulator, deploy):
    edit(project / "template.yaml", "            Path: /my-endpoint", "            Path: /renamed")
    edit(project / "template.yaml", "Type: Api\n", "Type: HttpApi\n")
    edit(project / "template.yaml", "ServerlessRestApi}.", "ServerlessHttpApi}.")
    edit(project / "template.yaml", "/Prod/my-endpoint", "/renamed")
    edit(project / "template.yaml", "  MyEndpointUrl:", "  Address:")

    done = deploy(STACK_NAME="renamed", OUTPUT="Address")

    api = emulator.resources("renamed")["ServerlessHttpApi"]
    assert (done.returncode, done.stdout) == (0, f"https://{api}.execute-api.us-east-1.amazonaws.com/renamed\n")


def test_build_needs_no_credentials_and_sees_none(project, emulator, deploy):
    # A package without a wheel is built by running its code: this one writes down what it sees.
    curious, seen = project / "src" / "curious", project / "seen"
    package(curious, 1, building=f"open({str(seen)!r}, 'a').write('\\n'.join(['', *os.environ]))")
    (project / "src" / "requirements.txt").write_text("./src/curious\n")
    secrets = {"AWS_SESSION_TOKEN": "token", "AWS_PROFILE": "mine", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "jwt"}

    built = deploy("--build", AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None, region=None)
    assert (built.returncode, last_line(built.stderr)) == (0, "==> Building"), built.stderr
    seen.unlink()

    # With them, and nothing is built by what deploys them.
    config = project / "config"
    config.write_text("[profile mine]\nregion = us-east-1\n")
    done = deploy("--no-build", STACK_NAME="built", AWS_CONFIG_FILE=str(config), **secrets)
    assert done.returncode == 0, done.stderr
    assert "==> Building" not in done.stderr
    assert not seen.exists()

    def building():
        again = deploy(STACK_NAME="built", AWS_CONFIG_FILE=str(config), **secrets)
        assert again.returncode == 0, again.stderr
        names = set(seen.read_text().split())
        seen.unlink()
        return names

    # An edited package is built for Lambda, and before that for the tests, by ./install.sh, if the list has changed.
    (curious / "pyproject.toml").touch()
    assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", *secrets} & building()
    (project / "src" / "requirements.txt").write_text("./src/curious  # again\n")
    save(curious, 2)
    assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", *secrets} & building()


def test_deployment_of_what_was_not_built_is_refused(deploy):
    stopped = deploy("--no-build", STACK_NAME="unbuilt")

    assert last_line(stopped.stderr) == (
        "deploy.sh: there is no .aws-sam/build/template.yaml; build first: ./deploy.sh --build"
    )


def test_verbose_shows_what_sam_says(deploy):
    done = deploy("--verbose", "--no-execute-changeset", STACK_NAME="verbose")

    assert done.returncode == 0, done.stderr
    assert "CloudFormation stack changeset" in done.stderr
    assert done.stdout == ""


def test_delete_says_what_goes_and_what_stays(project, emulator, deploy):
    edit(
        project / "template.yaml",
        "\nResources:",
        "\nResources:\n  Items: {Type: AWS::Serverless::SimpleTable}\n"
        "  Notes: {Type: AWS::Serverless::SimpleTable, DeletionPolicy: Retain, UpdateReplacePolicy: Retain}\n",
    )
    assert deploy(STACK_NAME="keeping").returncode == 0
    made = emulator.resources("keeping")

    gone = deploy("--delete", STACK_NAME="keeping")

    assert gone.returncode == 0, gone.stderr
    assert f"    removing Items (AWS::DynamoDB::Table {made['Items']}) and its items" in gone.stderr.splitlines()
    kept = f"    keeping Notes (AWS::DynamoDB::Table {made['Notes']}), as its DeletionPolicy says"
    assert kept in gone.stderr.splitlines()
    assert {made["Items"], made["Notes"]} & set(emulator.client("dynamodb").list_tables()["TableNames"]) == {
        made["Notes"]
    }
