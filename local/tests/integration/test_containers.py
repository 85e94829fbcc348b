"""Containers, which `sam local start-api` keeps with stale code, breaks when an edit meets a request, or leaves."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from server import answering, assert_nothing_left, containers, engine_answers, processes, stale_or_failed

HELLO = (200, {"message": "Hello from Lambda"})
FAILED = (502, {"message": "Internal server error"})


@pytest.fixture(scope="module")
def engine():
    if not engine_answers():
        pytest.skip("no container engine answers on this machine")
    return "containers"


@pytest.mark.parametrize("when", ["EAGER", "LAZY"])
def test_warm_container_keeps_its_state_and_serves_every_edit(serve, when):
    server = serve("--warm-containers", when)
    server.save("src/lambda.py", answering("count.append(1) or len(count)", "count = []"))

    assert [server.get() for _ in range(3)] == [(200, 1), (200, 2), (200, 3)]
    assert stale_or_failed(server, edits=5, clients=2) == []
    server.end()


def test_first_save_after_first_request_of_warm_container_counts(serve):
    server = serve("--warm-containers", "LAZY")
    assert server.get() == (200, {"message": "Hello from Lambda"})

    server.save("src/lambda.py", answering("1"))

    assert server.get() == (200, 1)
    assert "Failed to get next invocation" not in server.terminal


def test_request_in_a_warm_container_finishes_on_the_code_before_a_save(serve):
    server = serve("--warm-containers", "EAGER")
    server.save("src/lambda.py", answering("print('begun') or time.sleep(2) or 'old'", "import time"))
    answers = []
    asking = threading.Thread(target=lambda: answers.append(server.get()))
    asking.start()
    server.says("begun")

    server.save("src/lambda.py", answering("'new'"))

    assert server.get() == (200, "new")
    asking.join()
    assert answers == [(200, "old")]


def reapers(server):
    return [pid for pid, line in processes(server.project).items() if "local.reaper" in line]


def test_process_that_cleans_up_is_started_again_when_it_is_killed(serve):
    server = serve("--warm-containers", "LAZY")
    server.save("src/lambda.py", answering("print('begun', flush=True) or 1"))
    assert server.get() == (200, 1)
    for _ in range(2):
        (before,) = reapers(server)
        os.kill(before, signal.SIGKILL)
        assert server.says("has been killed; it is started again")
        wait_until(lambda gone=before: reapers(server) not in ([], [gone]))
    server.save("src/lambda.py", answering("2"))
    assert server.get() == (200, 2)

    os.kill(server.pid, signal.SIGKILL)

    assert_nothing_left(server.project)


def test_container_that_is_killed_costs_nothing_while_idle_and_one_told_request_while_busy(serve):
    server = serve("--warm-containers", "LAZY")
    assert server.get() == HELLO
    containers(server.project)[0].kill()
    assert server.get() == HELLO

    server.save("src/lambda.py", answering("print('begun', flush=True) or time.sleep(60)", "import time"))
    with ThreadPoolExecutor(1) as client:
        pending = client.submit(server.get)
        server.says("begun", within=20)
        for container in containers(server.project):
            if container.status == "running":
                container.kill()
        assert pending.result() == FAILED
    assert server.says("Error: Runtime exited without providing a reason")
    server.end()


RELAY = """
import os, socket, sys, threading

def pump(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)

listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen(50)
print("ready", flush=True)
while True:
    client, _ = listening.accept()
    engine = socket.socket(socket.AF_UNIX)
    engine.connect(sys.argv[2])
    for pair in ((client, engine), (engine, client)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


def test_engine_that_goes_is_said_and_used_again_when_it_is_back(serve, tmp_path):
    """As if Docker Desktop were closed; here a relay to the engine ends."""
    engine = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not engine.startswith("unix://"):
        pytest.skip("the engine answers at no local socket")

    def relay():
        (tmp_path / "engine").unlink(missing_ok=True)
        arguments = [sys.executable, "-c", RELAY, str(tmp_path / "engine"), engine.removeprefix("unix://")]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        process.stdout.readline()
        return process

    relaying = relay()
    try:
        server = serve("--warm-containers", "LAZY", environment={"DOCKER_HOST": f"unix://{tmp_path}/engine"})
        assert server.get() == HELLO
        relaying.kill()
        relaying.wait()

        assert server.get() == FAILED
        assert server.says("MyFunction cannot run: the container engine failed: ")
        assert server.says("restart it, or run without it: ./run.sh --no-docker")
        relaying = relay()
        assert server.get() == HELLO
        relaying.kill()
        relaying.wait()
        os.killpg(server.pid, signal.SIGINT)
        wait_until(lambda: not processes(server.project))
        assert "Traceback" not in server.terminal
    finally:
        relaying.kill()
        relaying.wait()


def wait_until(true):
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_start_alone_says_what_does_not_run(serve, project):
    template = project / "template.yaml"
    text = template.read_text().replace(
        "    Properties:\n", "    Properties:\n      FunctionUrlConfig: {AuthType: NONE}\n", 1
    )
    template.write_text(text)
    server = serve()

    assert [server.get(), server.get()] == [HELLO, HELLO]
    assert server.terminal.count("the function URL of MyFunction is not served here") == 1


def test_context_is_that_of_the_template(serve, project):
    """AWS's emulator alone has a fixed ARN, and SAM CLI passes no client context."""
    template = project / "template.yaml"
    text = template.read_text().replace("    Properties:\n", "    Properties:\n      FunctionName: orders\n", 1)
    template.write_text(text.replace("        Variables:\n", "        Variables:\n          PYTHONPATH: /mine\n", 1))
    (project / "src" / "lambda.py").write_text(
        "import os, sys\n\n\ndef handler(event, context):\n"
        "    names = [context.function_name, os.environ['AWS_LAMBDA_FUNCTION_NAME'], context.invoked_function_arn]\n"
        "    return [*names, context.client_context.custom, '/mine' in sys.path, os.environ.get('FUNCTION_ARN')]\n"
    )
    server = serve("start-lambda", "--region", "eu-west-1")
    url, unsigned = f"http://127.0.0.1:{server.port}", Config(signature_version=UNSIGNED)
    client = boto3.client("lambda", endpoint_url=url, region_name="eu-west-1", config=unsigned)

    context = base64.b64encode(b'{"custom": {"a": 1}}').decode()
    answer = json.load(client.invoke(FunctionName="orders", ClientContext=context)["Payload"])

    arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
    assert answer == ["orders", "orders", arn, {"a": 1}, True, None]
