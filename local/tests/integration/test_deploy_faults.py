"""Any call to AWS may fail: another ./deploy.sh succeeds, with the same result as without the fault."""

import io
import os
import subprocess

import pytest
from faults import FAULTS, Proxy

STACK, REGION = "faulty", "eu-west-2"
BUCKET = f"{STACK}-000000000000-{REGION}"


@pytest.fixture(scope="module")
def proxy(emulator):
    between = Proxy(emulator.url)
    yield between
    between.stop()


@pytest.fixture(scope="module")
def run(new_project, proxy, emulator, new_machine):
    """Runs ./deploy.sh through the proxy; with one attempt, boto3 repeats no call."""
    project = new_project()

    def deploy(*arguments, attempts=None, **variables):
        environment = {**new_machine, **emulator.environment(REGION), "AWS_ENDPOINT_URL": proxy.url, **variables}
        environment |= {"STACK_NAME": STACK, "SAM_CLI_POLL_DELAY": "0.05"}
        if attempts:
            environment["AWS_MAX_ATTEMPTS"] = str(attempts)
        return subprocess.run(
            [project / "deploy.sh", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return deploy


def state(emulator):
    """What a deployment creates, without the names that AWS makes up, and how often each object exists."""
    try:
        stack = emulator.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    except emulator.client("cloudformation").exceptions.ClientError:
        stack = None
    s3 = emulator.client("s3")
    buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    objects = s3.list_objects_v2(Bucket=BUCKET).get("Contents", []) if BUCKET in buckets else []
    return {
        "status": stack and stack["StackStatus"].replace("UPDATE", "CREATE"),
        "resources": stack and sorted(emulator.resources(STACK)),
        "bucket": BUCKET in buckets,
        "artifacts": sorted(entry["Key"] for entry in objects),
    }


NOTHING = {"status": None, "resources": None, "bucket": False, "artifacts": []}


@pytest.fixture(scope="module")
def whole(run, proxy, emulator):
    """A deployment without a fault: how many calls it makes, and what is there afterwards."""
    proxy.begin()
    assert run().returncode == 0
    calls, made = list(proxy.calls), state(emulator)
    assert run("--delete").returncode == 0
    assert state(emulator) == NOTHING
    return calls, made


# All of them take minutes: FAULTS=all. Without that each call fails in one way, and the ways take turns; of the
# deployments that are mended after a way to fail, the last is deleted.
ALL = os.environ.get("FAULTS") == "all"


@pytest.mark.parametrize("fault", FAULTS)
def test_deployment_is_mended_by_the_next_one(fault, run, proxy, emulator, whole):
    calls, made = whole
    numbers = range(1, len(calls) + 1) if ALL else range(1 + list(FAULTS).index(fault), len(calls) + 1, len(FAULTS))
    problems = io.StringIO()
    for number in numbers:
        proxy.begin(number, fault)
        # boto3 does not retry half of the calls, so that the deployment itself has to cope.
        failed = run("--no-build", attempts=1 if ALL or number % 2 else None)
        last = (failed.stderr.splitlines() or [""])[-1]
        if "Traceback" in failed.stderr or (failed.returncode and not last.startswith("deploy.sh: ")):
            print(f"{number} ({calls[number - 1]}): said {failed.stderr}", file=problems)
        proxy.begin()
        again = run("--no-build")
        if again.returncode or state(emulator) != made:
            print(f"{number} ({calls[number - 1]}): then {again.stderr}\n{state(emulator)}", file=problems)
        if not ALL and number != numbers[-1]:
            emulator.reset()
            continue
        gone = run("--delete")
        if gone.returncode or state(emulator) != NOTHING:
            print(f"{number} ({calls[number - 1]}): left {gone.stderr}\n{state(emulator)}", file=problems)

    assert problems.getvalue() == ""


@pytest.mark.parametrize("action", ["s3:CreateBucket", "s3:PutObject"])
def test_call_that_is_repeated_because_its_answer_was_lost_is_no_error(run, proxy, emulator, whole, action):
    calls, made = whole
    proxy.begin(calls.index(action) + 1, "answer lost")

    done = run("--no-build")

    assert (done.returncode, state(emulator)) == (0, made), done.stderr
    assert len(proxy.calls) == len(calls) + 1
    assert run("--delete").returncode == 0


@pytest.mark.parametrize("code", ["InvalidClientTokenId", "ExpiredToken"])
def test_credentials_that_aws_refuses_are_one_line(run, proxy, code):
    proxy.begin(every={"sts:GetCallerIdentity": code})

    refused = run("--no-build")

    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (1, "", 1)
    assert (f"in {REGION}" if code == "InvalidClientTokenId" else "have expired") in refused.stderr
