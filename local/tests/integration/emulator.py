"""AWS on a loopback port: ministack, in its own environment because it pins another botocore."""

import functools
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import boto3
from ports import free_port

MINISTACK = "ministack==1.5.33"
# It runs functions on its own Python, so it gets that of .venv, which is the function's.
PYTHON = Path(__file__).parents[3] / ".venv" / "bin" / "python"
# Expands the SAM transform, as CloudFormation does.
TRANSLATOR = "aws-sam-translator==1.115.0"


@dataclass(frozen=True)
class Emulator:
    """An emulated AWS that listens at `url`."""

    url: str

    def environment(self, region="us-east-1", account="test"):
        """The variables that point `aws`, `sam` and boto3 here. An access key of 12 digits is that account's."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": region,
        }

    # There is one emulator, and making a client takes longer than its request.
    @functools.cache  # noqa: B019
    def client(self, service, region="us-east-1", account="test"):
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=account,
            aws_secret_access_key="test",
        )

    def reset(self):
        """Empties it."""
        urllib.request.urlopen(f"{self.url}/_ministack/reset", data=b"", timeout=30).close()

    def resources(self, stack):
        """{logical id: physical id} of a stack."""
        found = self.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in found}

    def reachable(self, endpoint):
        """Where the emulator answers an endpoint https://API.execute-api.REGION.amazonaws.com/STAGE/PATH."""
        parts = urlsplit(endpoint)
        return f"{self.url}/_aws/execute-api/{parts.netloc.split('.')[0]}{parts.path}"


def start(directory: Path):
    """Starts ministack, which logs and unpacks functions in `directory`. Returns (Emulator, process)."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # A developer's AWS variables stay out: ministack passes its environment on to the functions.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    log = directory / "ministack.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                Path(sys.executable).with_name("uv"),
                *("tool", "run", "--quiet", "--python", PYTHON if PYTHON.exists() else sys.executable),
                *("--from", MINISTACK, "--with", TRANSLATOR, "ministack"),
            ],
            env={**environment, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "TMPDIR": str(directory)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # The first start on a machine downloads ministack.
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/_ministack/ready", timeout=5).close()
            return Emulator(url), process
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    stop(process)
    raise RuntimeError(f"ministack did not start:\n{log.read_text()}")


def stop(process):
    """Ends ministack and the functions that it runs."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            continue
