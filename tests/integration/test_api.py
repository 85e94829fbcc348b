"""The API over HTTP: served by ./run.sh or, with AWS_SAM_STACK_NAME=my-app, deployed."""

import json
from urllib.request import urlopen


def test_answers_with_message(api):
    with urlopen(f"{api}/my-endpoint?name=Ada", timeout=30) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert json.load(answer) == {"message": "Hello from Lambda, Ada!"}
