"""Where the user's tests find the API: the stack that AWS_SAM_STACK_NAME names, or a ./run.sh that is started."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_START_S = 300  # the first start installs the tools
_END_S = 10
_READY = re.compile(r"Running on (https?://[^/\s]+)")


class NotServed(Exception):
    """There is no API to test; the text says why."""


@contextlib.contextmanager
def of_stack_or_run(*options: str) -> Iterator[str]:
    """The base URL of the API, without a slash at its end; `options` are those of ./run.sh. Raises NotServed."""
    if name := os.environ.get("AWS_SAM_STACK_NAME"):
        yield of_stack(name)
    else:
        with run(*options) as url:
            yield url


@contextlib.contextmanager
def run(*options: str) -> Iterator[str]:
    """Starts ./run.sh on a free port, and ends it. What it prints becomes the test's output. Raises NotServed.

    env.json is used only if the options name it, since it differs from machine to machine.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as nothing:
        nothing.write("{}")
        nothing.flush()
        variables = [] if "--env-vars" in options else ["--env-vars", nothing.name]
        process = subprocess.Popen(
            [_ROOT / "run.sh", "--port", "0", *variables, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=_relay, args=(process, said), daemon=True).start()
        try:
            yield _ready(said)
        finally:
            _end(process)


def of_stack(name: str) -> str:
    """The base URL of the stack's first API. Raises NotServed.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-call-api.html
    """
    import boto3

    # boto3 itself reads only AWS_DEFAULT_REGION.
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    cloudformation = session.client("cloudformation")
    found = {
        resource["ResourceType"]: resource["PhysicalResourceId"]
        for resource in reversed(cloudformation.describe_stack_resources(StackName=name)["StackResources"])
    }
    if api := found.get("AWS::ApiGateway::RestApi"):
        path = f"/{found['AWS::ApiGateway::Stage']}"
    elif api := found.get("AWS::ApiGatewayV2::Api"):
        stage = found.get("AWS::ApiGatewayV2::Stage", "$default")
        path = "" if stage == "$default" else f"/{stage}"
    else:
        raise NotServed(f"the stack {name} has no API; it has {', '.join(sorted(found))}")
    if emulator := os.environ.get("AWS_ENDPOINT_URL"):
        return f"{emulator}/_aws/execute-api/{api}{path or '/$default'}"
    region = session.region_name
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://{api}.execute-api.{region}.{suffix}{path}"


def _relay(process: subprocess.Popen[str], said: "queue.SimpleQueue[str | None]") -> None:
    assert process.stdout
    for line in process.stdout:
        sys.stderr.write(line)
        said.put(line)
    said.put(None)


def _ready(said: "queue.SimpleQueue[str | None]") -> str:
    lines: list[str] = []
    while True:
        try:
            line = said.get(timeout=_START_S)
        except queue.Empty:
            raise NotServed(f"./run.sh is not ready after {_START_S} s:\n{''.join(lines)}") from None
        if line is None:
            raise NotServed(f"./run.sh ended:\n{''.join(lines)}")
        if found := _READY.search(line):
            return found[1]
        lines.append(line)


def _end(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
            return
