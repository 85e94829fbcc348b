"""The examples of the README, taken from its text: together, in emulated AWS, and here with what is deployed there."""

import base64
import json
import re
import subprocess
import time
import urllib.request
from unittest.mock import ANY

import pytest
import readme
from server import Server

GIF = base64.b64decode("R0lGODlhAQABAAAAACw=")
HELLO = {"message": "Hello from a layer"}
# As curl sends them.
HEADERS = {"Content-Type": "application/json", "Accept": "*/*"}
TOKEN = {**HEADERS, "Authorization": "Bearer for tests only"}
SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
SETTINGS = ("A value for each deployment", "A secret", "A permission", "A database in a VPC")  # test_settings.py
NOTES = "A notes API"  # test_notes.py

# What shows that an example works: requests, each with the status and content of its answer. The schedule has none.
ASKED = {
    "A path parameter": [("GET", "/items/7", None, 200, {"id": "7"})],
    "POST with a body": [("POST", "/items", b'{"name": "tea"}', 201, {"created": {"name": "tea"}})],
    "CORS": [("GET", "/my-endpoint", None, 200, HELLO)],
    "A second function in its own file": [("GET", "/goodbye", None, 200, {"message": "Goodbye"})],
    "A DynamoDB table": [("GET", "/visits", None, 200, {"visits": ANY})],
    "An S3 bucket": [("PUT", "/files/a.txt", b"tea", 204, b""), ("GET", "/files/a.txt", None, 200, b"tea")],
    "A queue": [("POST", "/jobs", b"tea", 202, b"")],
    "An HTTP API": [("GET", "/hello", None, 200, {"message": "Hello from an HTTP API"})],
    "An authorizer": [("GET", "/private", None, 200, {"for": "user"})],
    "A layer": [("GET", "/my-endpoint", None, 200, HELLO)],
    "An OpenAPI document": [("GET", "/greeting", None, 200, HELLO)],
    "A binary response": [("GET", "/dot.gif", None, 200, GIF)],
}
APIS = {"An OpenAPI document": "DocumentedApi", "An HTTP API": "ServerlessHttpApi"}


def content(body, expected):
    return json.loads(body) if isinstance(expected, dict) else body


def headers(title):
    return TOKEN if title == "An authorizer" else HEADERS


@pytest.fixture(scope="module")
def with_examples(new_project):
    project = new_project()
    for title, example in readme.examples().items():
        if title not in (*SETTINGS, NOTES):
            readme.apply(project, example)
    return project


@pytest.fixture
def project(with_examples):
    return with_examples


@pytest.fixture(scope="module")
def stack(with_examples, emulator, new_machine):
    """{logical id: physical id} of the deployed examples."""
    template = with_examples / "template.yaml"
    text = template.read_text()
    # CloudFormation reads ~1 as a slash; ministack 1.5.33 does not.
    template.write_text(text.replace('"*~1*"', '"*/*"'))
    environment = {**new_machine, **emulator.environment(), "STACK_NAME": "examples", "SAM_CLI_POLL_DELAY": "0.2"}
    done = subprocess.run(
        [with_examples / "deploy.sh"], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    template.write_text(text)
    assert done.returncode == 0, done.stderr
    found = emulator.resources("examples")
    route_http_api(emulator, found["ServerlessHttpApi"], found["MyFunction"])
    return found


def route_http_api(emulator, api, function):
    """Makes the route that CloudFormation makes of the API's document, and ministack 1.5.33 does not."""
    client, functions = emulator.client("apigatewayv2"), emulator.client("lambda")
    integration = client.create_integration(
        ApiId=api,
        IntegrationType="AWS_PROXY",
        IntegrationUri=functions.get_function(FunctionName=function)["Configuration"]["FunctionArn"],
        PayloadFormatVersion="2.0",
    )
    client.create_route(ApiId=api, RouteKey="GET /hello", Target=f"integrations/{integration['IntegrationId']}")


@pytest.fixture(scope="module")
def shared(with_examples, developer, emulator, stack):
    environment = {**developer, "AWS_ENDPOINT_URL": emulator.url}
    running = Server(with_examples, "processes", environment, "--stack", "examples")
    yield running
    running.kill()


def test_every_example_is_folded_and_tried():
    examples = readme.examples()

    assert set(examples) == {*ASKED, *SETTINGS, NOTES, "A schedule"}
    folded = re.compile(r"<details>\n<summary>.+</summary>\n\n(?s:.+)</details>\n+")
    assert [title for title, example in examples.items() if not folded.fullmatch(example.text)] == []
    assert all(example.parts for example in examples.values())


@pytest.mark.parametrize("title", ASKED)
def test_example_answers_locally(server, title):
    for method, path, body, status, expected in ASKED[title]:
        answer = server.ask(path, method, body, headers(title))

        assert (answer.status, content(answer.content, expected)) == (status, expected), server.terminal
        if title == "CORS":
            assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_preflight_of_cors_is_answered_locally(server):
    asking = {"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}

    answer = server.ask("/items", "OPTIONS", headers=asking)

    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
    assert "POST" in answer.headers["Access-Control-Allow-Methods"].split(",")


def test_authorizer_refuses_who_does_not_know_the_token(server):
    assert server.ask("/private").status == 401
    assert server.ask("/private", headers={"Authorization": "Bearer guessed"}).status == 403


@pytest.mark.parametrize(("title", "says"), [("A schedule", "Good night"), ("A queue", "Job: tea")])
def test_event_of_the_readme_runs_locally(project, developer, title, says):
    (command,) = re.findall(r"`(\./run\.sh generate-event .*?)`", readme.examples()[title].prose)
    command = command.replace("./run.sh invoke", "./run.sh invoke --no-docker MyFunction")  # there are several here

    done = subprocess.run(
        ["bash", "-c", command], cwd=project, env=developer, capture_output=True, text=True, timeout=30, check=False
    )

    assert (done.returncode, done.stdout.strip()) == (0, "null"), done.stderr
    assert says in done.stderr


@pytest.mark.parametrize("title", ASKED)
def test_example_answers_deployed(stack, emulator, title):
    api = stack[APIS.get(title, "ServerlessRestApi")]
    stage = "$default" if title == "An HTTP API" else "Prod"
    for method, path, body, status, expected in ASKED[title]:
        request = urllib.request.Request(
            f"{emulator.url}/_aws/execute-api/{api}/{stage}{path}", method=method, data=body, headers=headers(title)
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert (answer.status, content(answer.read(), expected)) == (status, expected)
            if title == "CORS":
                assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_queue_is_worked_off_deployed(stack, emulator):
    sqs, deadline = emulator.client("sqs"), time.monotonic() + 30
    queue, names = stack["JobsQueue"], ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    sqs.send_message(QueueUrl=queue, MessageBody="tea")
    while set(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"].values()) != {"0"}:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_schedule_is_deployed(stack, emulator):
    rule = emulator.client("events").list_rules()["Rules"][0]
    assert (rule["ScheduleExpression"], rule["State"]) == ("cron(0 3 * * ? *)", "ENABLED")

    invoked = emulator.client("lambda").invoke(
        FunctionName=stack["MyFunction"], Payload=json.dumps(SCHEDULED), LogType="Tail"
    )

    assert ("FunctionError" in invoked, invoked["Payload"].read()) == (False, b"null")
    assert b"Good night" in base64.b64decode(invoked["LogResult"])
