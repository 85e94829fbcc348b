"""The handler alone."""

import json


def test_handler_answers_with_message_of_environment(handler, monkeypatch):
    monkeypatch.setenv("MESSAGE", "Hello from a test")

    assert handler({}, None) == {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps({"message": "Hello from a test"}),
    }


def test_handler_greets_by_name(handler, monkeypatch):
    monkeypatch.setenv("MESSAGE", "Hello from a test")

    answer = handler({"queryStringParameters": {"name": "Ada"}}, None)

    assert json.loads(answer["body"]) == {"message": "Hello from a test, Ada!"}
