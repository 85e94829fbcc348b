"""A project that has become somebody's own: all that a user changes in the first weeks, at once."""

import shutil
from pathlib import Path

HANDLER = '''"""Notes, in a table."""

import os

import boto3
from pydantic import BaseModel

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


class Note(BaseModel):
    text: str
    table: str


def handler(event, context):
    return {"statusCode": 201, "body": Note(text=os.environ["GREETING"], table=table.name).model_dump_json()}
'''

NIGHTLY = '''"""Runs every night."""


def handler(event, context):
    print("Good night")
'''

RESOURCES = """
  Notes:
    Type: AWS::DynamoDB::Table
    DeletionPolicy: Retain
    UpdateReplacePolicy: Retain
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]

  Nightly:
    Type: AWS::Serverless::Function
    Metadata:
      BuildMethod: python-uv
    Properties:
      CodeUri: src/
      Handler: nightly.handler

Outputs:"""

CONFTEST = """import os

import pytest

from local import endpoint

os.environ.pop("AWS_PROFILE", None)
os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "TABLE": "for-tests", "GREETING": "Hi"}


@pytest.fixture(scope="session")
def api():
    with endpoint.of_stack_or_run() as url:
        yield url
"""

TESTS = """import importlib
import json
from urllib.request import urlopen

from pydantic import TypeAdapter

handler = importlib.import_module("lambda")


def test_note():
    assert TypeAdapter(handler.Note).validate_json(handler.handler({}, None)["body"]).text == "Hi"


def test_note_over_http(api):
    with urlopen(f"{api}/notes", timeout=30) as answer:
        assert answer.status == 201
        assert json.load(answer) == {"text": "Written down", "table": "Notes"}
"""


def customise(project: Path) -> None:
    """Changes the files that are the user's, and no other."""
    template = project / "template.yaml"
    text = template.read_text()
    for old, new in [
        ("/my-endpoint", "/notes"),
        ("MyEndpointUrl", "NotesUrl"),
        ("MESSAGE: Hello from Lambda", "TABLE: !Ref Notes\n          GREETING: Written down"),
        ("Policies: []", "Policies:\n        - DynamoDBCrudPolicy:\n            TableName: !Ref Notes"),
        ("\nOutputs:", RESOURCES),
    ]:
        assert old in text
        text = text.replace(old, new)
    template.write_text(text)
    (project / "src" / "lambda.py").write_text(HANDLER)
    (project / "src" / "nightly.py").write_text(NIGHTLY)
    (project / "src" / "requirements.txt").write_text("pydantic==2.12.5\n")
    (project / "env.json.example").write_text('{"MyFunction": {"GREETING": "Hello from env.json"}}\n')
    (project / "README.md").write_text("# Notes\nWritten down, in a table.\n")
    shutil.rmtree(project / "tests", ignore_errors=True)
    (project / "tests").mkdir()
    (project / "tests" / "conftest.py").write_text(CONFTEST)
    (project / "tests" / "test_notes.py").write_text(TESTS)
    settings = project / "deploy.sh"
    settings.write_text(settings.read_text().replace("my-app", "notes").replace("MyEndpointUrl", "NotesUrl"))
