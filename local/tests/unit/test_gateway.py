"""What API Gateway makes of a function's answer; all forms that it refuses are in tests/integration/test_api.py."""

import json

import pytest

from local import gateway


def checked(answer, rest=True):
    text, remark = gateway.checked(json.dumps(answer), rest)
    return json.loads(text), remark


def test_well_formed_answer_is_as_it_was():
    answer = {"statusCode": 200, "headers": {"A": "b"}, "multiValueHeaders": {"C": ["d"]}, "body": "e"}

    assert checked(answer) == (answer, None)


def test_scalars_in_headers_become_text():
    headers = {"A": True, "B": None, "C": 1.5, "D": ""}

    answer, _ = checked({"statusCode": 200, "headers": headers})

    assert answer["headers"] == {"A": "true", "B": "null", "C": "1.5", "D": ""}


def test_missing_status_code_is_remarked():
    assert checked({"body": "x"}) == (
        {"body": "x", "headers": {}},
        "the function returned no statusCode; API Gateway takes that for 200",
    )


def test_dict_as_body_is_malformed_and_mended_by_json_dumps():
    with pytest.raises(gateway.Malformed, match="^body is a dict; API Gateway needs a string: json.dumps it$"):
        checked({"statusCode": 200, "body": {"a": 1}})


def test_text_that_is_no_json_is_malformed():
    with pytest.raises(gateway.Malformed, match="no JSON: 'x'$"):
        gateway.checked("x", rest=True)


@pytest.mark.parametrize("answer", ["text", 7, ["a"], {"no": "statusCode"}, {"statusCode": 200, "unknown": 1}])
def test_http_api_takes_what_a_rest_api_refuses(answer):
    given, remark = checked(answer, rest=False)

    assert (given | {"headers": None} if isinstance(given, dict) else given, remark) == (
        answer | {"headers": None} if isinstance(answer, dict) else answer,
        None,
    )


def test_http_api_refuses_a_dict_as_body_too():
    with pytest.raises(gateway.Malformed):
        checked({"statusCode": 200, "body": {}}, rest=False)
