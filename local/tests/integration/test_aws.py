"""Which AWS a function calls: ./run.sh with an emulated AWS, with every engine."""

import json

import pytest
from server import Server, answering, run

RESOURCES = """
  Notes:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
  Work:
    Type: AWS::SQS::Queue

Outputs:"""
VARIABLES = """MESSAGE: Hello from Lambda
          TABLE: !Ref Notes
          TABLE_ARN: !GetAtt Notes.Arn
          QUEUE: !Ref Work
          QUEUE_ARN: !GetAtt Work.Arn
          SENTENCE: !Sub "${Notes} in ${AWS::StackName}, ${AWS::Region}"
"""
NAMES = ("TABLE", "TABLE_ARN", "QUEUE", "QUEUE_ARN", "SENTENCE")
ALL = f"{{name: os.environ[name] for name in {NAMES}}}"
TABLES = "boto3.client('dynamodb').list_tables()['TableNames']"


@pytest.fixture
def with_resources(project):
    template = project / "template.yaml"
    text = template.read_text().replace("\nOutputs:", RESOURCES).replace("MESSAGE: Hello from Lambda\n", VARIABLES)
    template.write_text(text)
    return project


@pytest.fixture(scope="module")
def stack(emulator):
    """The resources, deployed; {logical id: physical id}."""
    template = f"Resources:{RESOURCES.removesuffix('Outputs:')}"
    emulator.client("cloudformation").create_stack(StackName="notes", TemplateBody=template)
    return emulator.resources("notes")


def test_emulated_aws_reaches_the_function_with_placeholder_credentials(serve, emulator, stack):
    server = serve(environment={"AWS_ENDPOINT_URL": emulator.url})
    server.save("src/lambda.py", answering(f"[{TABLES}, os.environ['AWS_ACCESS_KEY_ID']]", "import boto3"))

    status, (tables, key) = server.get()

    assert (status, key) == (200, "defaultkey")
    assert stack["Notes"] in tables
    assert f"Functions call the AWS at {emulator.url} (region us-east-1)\n" in server.terminal
    assert "placeholder" not in server.terminal


def test_endpoint_of_one_service_reaches_the_function(serve, emulator):
    server = serve(environment={"AWS_ENDPOINT_URL_DYNAMODB": emulator.url})
    server.save("src/lambda.py", answering(TABLES, "import boto3"))

    assert server.get()[0] == 200
    assert f"Functions call DYNAMODB at {emulator.url} (region us-east-1)\n" in server.terminal
    assert "Functions have placeholder credentials; --profile NAME gives yours\n" in server.terminal


def test_endpoint_elsewhere_stays_out_and_is_named(serve, engine):
    elsewhere = {"AWS_ENDPOINT_URL": "http://aws.example.com:4566", "AWS_ENDPOINT_URL_S3": "http://192.0.2.1"}
    server = serve(environment=elsewhere)
    server.save("src/lambda.py", answering("[name for name in os.environ if 'ENDPOINT' in name]"))

    assert server.get() == (200, [])
    assert "AWS_ENDPOINT_URL is not passed to functions, since aws.example.com is not this machine; " in server.terminal
    assert "AWS_ENDPOINT_URL_S3 is not passed to functions, since 192.0.2.1 is not this machine; " in server.terminal
    assert "Functions have placeholder credentials; --profile NAME gives yours\n" in server.terminal


def test_stack_gives_its_physical_names(serve, with_resources, emulator, stack):
    server = serve("--stack", "notes", environment={"AWS_ENDPOINT_URL": emulator.url})
    server.save("src/lambda.py", answering(ALL))

    assert server.get() == (
        200,
        {
            "TABLE": stack["Notes"],
            "TABLE_ARN": f"arn:aws:dynamodb:us-east-1:000000000000:table/{stack['Notes']}",
            "QUEUE": stack["Work"],
            "QUEUE_ARN": f"arn:aws:sqs:us-east-1:000000000000:{stack['Work'].rpartition('/')[2]}",
            "SENTENCE": f"{stack['Notes']} in notes, us-east-1",
        },
    )
    assert stack["Notes"] != "Notes"


def test_same_handler_works_against_the_table_of_the_stack(serve, with_resources, emulator, stack):
    server = serve("--stack", "notes", environment={"AWS_ENDPOINT_URL": emulator.url})
    put = "boto3.resource('dynamodb').Table(os.environ['TABLE']).put_item(Item={'id': 'local'}) and 'put'"
    server.save("src/lambda.py", answering(put, "import boto3"))

    assert server.get() == (200, "put")
    found = emulator.client("dynamodb").get_item(TableName=stack["Notes"], Key={"id": {"S": "local"}})
    assert found["Item"] == {"id": {"S": "local"}}


def test_resource_that_the_stack_lacks_is_said(serve, with_resources, emulator, stack):
    template = with_resources / "template.yaml"
    template.write_text(template.read_text().replace("Work", "NewWork"))
    server = serve("--stack", "notes", environment={"AWS_ENDPOINT_URL": emulator.url})

    assert "NewWork is not in the stack notes: a placeholder stands in for it in QUEUE of " in server.terminal


def test_without_a_stack_the_names_are_the_logical_ids(serve, with_resources):
    server = serve()
    server.save("src/lambda.py", answering(ALL))

    status, names = server.get()

    assert (status, names["TABLE"], names["SENTENCE"]) == (200, "Notes", "Notes in local, us-east-1")


@pytest.mark.parametrize(
    "url, reason",
    [
        (None, "--stack absent needs an AWS to ask: --profile NAME, or for an emulated one: "),
        (
            "emulator",
            "there is no stack absent at {url}, region us-east-1; deploy it first: STACK_NAME=absent ./deploy",
        ),
        ("http://127.0.0.1:9", "the stack absent cannot be read at {url}, region us-east-1: Could not connect"),
    ],
)
def test_stack_that_cannot_be_read_is_one_line(project, developer, emulator, url, reason):
    url = emulator.url if url == "emulator" else url
    environment = {**developer, **({"AWS_ENDPOINT_URL": url} if url else {})}

    done = run(project, "processes", environment, "--stack", "absent")

    (line,) = done.stderr.decode().splitlines()
    assert (done.returncode, line.startswith(f"run.sh: {reason.format(url=url)}")) == (1, True), line


@pytest.mark.parametrize(
    "settings, options, region",
    [
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-3"}, [], "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-3", "AWS_PROFILE": "mine"}, [], "eu-west-3"),
        ({"AWS_PROFILE": "mine"}, [], "eu-north-1"),
        ({"AWS_PROFILE": "absent"}, [], "us-east-1"),
        ({"AWS_REGION": "eu-west-1"}, ["--region", "eu-west-2"], "eu-west-2"),
    ],
)
def test_region_is_the_shells_then_the_profiles_then_us_east_1(project, developer, tmp_path, settings, options, region):
    (tmp_path / "config").write_text("[profile mine]\nregion = eu-north-1\n")
    own = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_CONFIG_FILE": str(tmp_path / "config"), **settings}
    server = Server(project, "processes", {**developer, **own}, *options)
    try:
        server.save("src/lambda.py", answering("[os.environ['AWS_REGION'], os.environ['AWS_DEFAULT_REGION']]"))

        assert server.get() == (200, [region, region])
        assert f"Functions call the AWS at http://127.0.0.1:4566 (region {region})\n" in server.terminal
    finally:
        server.kill()


def test_endpoint_of_env_json_counts(project, developer):
    values = {"MyFunction": {"AWS_ENDPOINT_URL": "http://192.0.2.7"}, "Parameters": {"AWS_ENDPOINT_URL_S3": "x"}}
    (project / "env.json").write_text(json.dumps(values))
    server = Server(project, "processes", {**developer, "AWS_ENDPOINT_URL": "http://127.0.0.1:4566"})
    try:
        server.save("src/lambda.py", answering("{k: v for k, v in os.environ.items() if 'ENDPOINT' in k}"))

        assert server.get() == (200, {"AWS_ENDPOINT_URL": "http://192.0.2.7", "AWS_ENDPOINT_URL_S3": "x"})
    finally:
        server.kill()


def test_invoke_with_several_functions_lists_the_commands(project, developer):
    template = project / "template.yaml"
    second = template.read_text().partition("  MyFunction:")[2].partition("      Events:")[0]
    template.write_text(template.read_text().replace("Resources:\n", f"Resources:\n  Second:{second}"))

    done = run(project, "processes", developer, "invoke")

    assert (done.returncode, done.stdout) == (1, b"")
    told = "Error: the template has 2 functions; name the one to invoke:\n  ./run.sh invoke Second\n"
    assert done.stderr.decode() == told + "  ./run.sh invoke MyFunction\n"


def test_requests_are_recorded_without_secrets(serve, project):
    server = serve("--record", "tests/events")
    headers = {"Authorization": "Bearer secret", "Cookie": "id=secret", "X-Kept": "kept"}

    for _ in range(2):
        assert server.ask("/my-endpoint?a=1", headers=headers).status == 200

    assert server.says(", recorded in tests/events/get-my-endpoint-2.json")
    files = sorted((project / "tests" / "events").iterdir())
    assert [file.name for file in files] == ["get-my-endpoint-1.json", "get-my-endpoint-2.json"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    text = files[0].read_text()
    recorded = json.loads(text)
    assert "secret" not in text
    assert text.count("\n") > 20  # one thing a line
    assert recorded["event"]["headers"]["X-Kept"] == "kept"
    assert recorded["event"]["multiValueHeaders"]["Authorization"] == ["REPLACED"]
    assert (recorded["handler"], recorded["event"]["queryStringParameters"]) == ("lambda.handler", {"a": "1"})
    assert json.loads(recorded["answer"]["body"]) == {"message": "Hello from Lambda"}


def test_invoke_takes_a_recorded_event(project, developer):
    recorded = {"handler": "lambda.handler", "event": {"recorded": True}, "answer": None}
    (project / "recorded.json").write_text(json.dumps(recorded))
    (project / "src" / "lambda.py").write_text("def handler(event, context):\n    return event\n")

    done = run(project, "processes", developer, "invoke", "--event", "recorded.json", cwd=project)

    assert json.loads(done.stdout) == {"recorded": True}, done.stderr


def test_failure_is_recorded_and_nothing_is_overwritten(project, developer):
    events = project / "events"
    events.mkdir()
    (events / "get-my-endpoint-1.json").write_text("mine")
    server = Server(project, "processes", developer, "--record", "events")
    try:
        server.save("src/lambda.py", "def handler(event, context):\n    raise ValueError('wrong')\n")
        server.ask()

        assert (events / "get-my-endpoint-1.json").read_text() == "mine"
        recorded = json.loads((events / "get-my-endpoint-2.json").read_text())
        assert (recorded["error"]["errorType"], "answer" in recorded) == ("ValueError", False)
    finally:
        server.kill()


def test_directory_that_cannot_be_written_ends_the_start(project, developer):
    (project / "events").touch()

    done = run(project, "processes", developer, "--record", "events")

    assert (done.returncode, done.stderr) == (1, b"run.sh: cannot record to events: File exists; name a directory\n")
