"""The examples of the README, taken from its text: together, here and in emulated AWS."""

import base64
import json
import re
import subprocess
import urllib.request

import pytest
import readme
from server import Server

GIF = base64.b64decode("R0lGODlhAQABAAAAACw=")
HELLO = {"message": "Hello from a layer"}
ITEM = b'{"name": "tea"}'
# As curl sends them.
HEADERS = {"Content-Type": "application/json", "Accept": "*/*"}
SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}

# What shows that an example works: method, path, body, and the status and content of the answer. The schedule has none.
ANSWERS = {
    "A path parameter": ("GET", "/items/7", None, 200, {"id": "7"}),
    "POST with a body": ("POST", "/items", ITEM, 201, {"created": {"name": "tea"}}),
    "CORS": ("GET", "/my-endpoint", None, 200, HELLO),
    "A layer": ("GET", "/my-endpoint", None, 200, HELLO),
    "A binary response": ("GET", "/dot.gif", None, 200, GIF),
    "An OpenAPI document": ("GET", "/greeting", None, 200, HELLO),
}


def content(body, expected):
    return json.loads(body) if isinstance(expected, dict) else body


@pytest.fixture(scope="module")
def engine():
    return "processes"


@pytest.fixture(scope="module")
def with_examples(new_project):
    project = new_project()
    for example in readme.examples().values():
        readme.apply(project, example)
    return project


@pytest.fixture
def project(with_examples):
    """For the fixture deploy."""
    return with_examples


@pytest.fixture(scope="module")
def shared(with_examples, engine, developer):
    running = Server(with_examples, engine, developer)
    yield running
    running.kill()


def test_every_example_is_short_and_tried():
    examples = readme.examples()

    assert set(examples) == {*ANSWERS, "A schedule"}
    # With its title.
    sizes = {title: 1 + sum(len(lines) for _, lines in example.parts) for title, example in examples.items()}
    assert {title: size for title, size in sizes.items() if size > 15} == {}


def test_template_with_all_examples_is_valid(validate):
    validate()


@pytest.mark.parametrize("title", ANSWERS)
def test_example_answers_locally(server, title):
    method, path, body, status, expected = ANSWERS[title]

    answer = server.ask(path, method, body, HEADERS)

    assert (answer.status, content(answer.content, expected)) == (status, expected), server.terminal
    if title == "CORS":
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_preflight_of_cors_is_answered_locally(server):
    asking = {"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}

    answer = server.ask("/items", "OPTIONS", headers=asking)

    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
    assert "POST" in answer.headers["Access-Control-Allow-Methods"].split(",")


def test_schedule_runs_locally(project, developer):
    (command,) = re.findall(r"A schedule: .* Locally: (.*)", readme.README.read_text())

    done = subprocess.run(
        ["bash", "-c", command.replace("./run.sh invoke", "./run.sh invoke --no-docker")],
        cwd=project,
        env=developer,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "null")
    assert "Good night" in done.stderr


@pytest.fixture
def stack(project, deploy, emulator):
    """{logical id: physical id} of the deployed examples."""
    template = project / "template.yaml"
    text = template.read_text()
    # CloudFormation reads ~1 as a slash; ministack 1.5.33 does not.
    template.write_text(text.replace('"*~1*"', '"*/*"'))
    done = deploy(STACK_NAME="examples")
    template.write_text(text)
    assert done.returncode == 0, done.stderr
    return emulator.resources("examples")


def test_examples_answer_deployed(stack, emulator):
    for title, (method, path, body, status, expected) in ANSWERS.items():
        api = stack["DocumentedApi" if title == "An OpenAPI document" else "ServerlessRestApi"]
        request = urllib.request.Request(
            emulator.reachable(f"https://{api}.execute-api.us-east-1.amazonaws.com/Prod{path}"),
            method=method,
            data=body,
            headers=HEADERS,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert (title, answer.status, content(answer.read(), expected)) == (title, status, expected)
            if title == "CORS":
                assert answer.headers["Access-Control-Allow-Origin"] == "*"

    rule = emulator.client("events").list_rules()["Rules"][0]
    assert (rule["ScheduleExpression"], rule["State"]) == ("cron(0 3 * * ? *)", "ENABLED")
    invoked = emulator.client("lambda").invoke(
        FunctionName=stack["MyFunction"], Payload=json.dumps(SCHEDULED), LogType="Tail"
    )
    assert ("FunctionError" in invoked, invoked["Payload"].read()) == (False, b"null")
    assert b"Good night" in base64.b64decode(invoked["LogResult"])
