"""What the gateway does besides events and answers (see test_gateway_cases.py): the front's errors, and faults."""

import json
import random

import pytest

from local.gateway import answer, authorizer, cors, errors, limits
from local.gateway.event import event
from local.gateway.model import Api, Authorizer, Cors, Request, Response, Route
from local.gateway.routes import Ambiguous, Match, Routes

REST = Api("Rest", "rest", "Prod", (Route("ANY", "/{proxy+}", "Function"),))
HTTP = Api("Http", "http", "$default", (Route("ANY", "/{proxy+}", "Function", "2.0"),))


def request(target="/x", headers=(("Host", "localhost"),), method="GET", body=b""):
    return Request(method, target, tuple(headers), body, "an-id", "an-extended-id", "Root=1-2-3", 0.0)


def match(api, sent):
    found = Routes([api]).find(sent)
    assert isinstance(found, Match)
    return found


def body(response):
    return response.status, json.loads(response.body)


def test_two_functions_on_one_method_and_path_are_an_error_that_names_both():
    api = Api(
        "Api", "rest", "Prod", (Route("GET", "/a", "One"), Route("POST", "/a", "Two"), Route("GET", "/a", "Three"))
    )

    with pytest.raises(Ambiguous, match="^GET /a belongs to two functions, One and Three; "):
        Routes([api])


def test_parameters_of_different_names_are_one_path():
    api = Api("Api", "http", "Prod", (Route("GET", "/a/{b}", "One"), Route("GET", "/a/{c}", "Two")))

    with pytest.raises(Ambiguous, match="One and Two"):
        Routes([api])


def test_braces_in_a_part_of_a_segment_are_no_parameter():
    """DOC api-gateway-known-issues: "resource{path_parameter_name}" is not valid."""
    api = Api("Api", "rest", "Prod", (Route("GET", "/v{a}/{b}", "F"),))

    assert match(api, request("/v{a}/1")).parameters == {"b": "1"}


def test_one_function_may_take_a_path_twice_and_two_apis_one_path():
    again = Api("Other", "rest", "dev", REST.routes * 2)

    assert Routes([again, REST]).find(request()).api is again


@pytest.mark.parametrize("order", [1, -1])
def test_routes_do_not_depend_on_their_order(order):
    routes = [Route("GET", path, path) for path in ("/{a}/b", "/a/{b}", "/{a+}", "/a/b")]
    table = Routes([Api("Api", "rest", "Prod", tuple(routes[::order]))])

    found = [table.find(request(path)).route.path for path in ("/a/b", "/a/x", "/x/b", "/x/y")]

    assert found == ["/a/b", "/a/{b}", "/{a}/b", "/{a+}"]


@pytest.mark.parametrize(
    ("make", "rest", "http"),
    [
        (answer.failed, (502, "Internal server error"), (500, "Internal Server Error")),
        (answer.too_slow, (504, "Endpoint request timed out"), (503, "Service Unavailable")),
        (answer.too_large, (413, "Request Too Long"), (413, "Request Entity Too Large")),
    ],
)
def test_errors_of_each_kind(make, rest, http):
    sent = request()

    for api, (status, message) in ((REST, rest), (HTTP, http)):
        assert body(make(sent, match(api, sent))) == (status, {"message": message})


@pytest.mark.parametrize("status", [400, 403, 404, 408, 413, 414, 431, 418, 500, 503, 599])
def test_refusals_of_the_front_are_json_with_ids(status):
    rest, http = (errors.refused(status, kind, request()) for kind in ("rest", "http"))

    assert {"x-amzn-RequestId", "x-amz-apigw-id", "x-amzn-ErrorType", "Content-Type"} == dict(rest.headers).keys()
    assert {"Apigw-Requestid", "Content-Type"} == dict(http.headers).keys()
    assert (body(rest)[0], body(rest)[1].keys()) == (body(http)[0], body(http)[1].keys()) == (status, {"message"})


def test_refusal_says_what_it_is_told():
    assert body(errors.refused(400, "rest", request(), "a\x1bb")) == (400, {"message": "a\x1bb"})


def test_ids_have_the_form_of_aws_and_stay():
    first, second = (match(Api("Stack/Api", "rest", "Prod", REST.routes), request()) for _ in range(2))

    assert (first.api_id, first.resource_id, first.arn) == (second.api_id, second.resource_id, second.arn)
    assert first.api_id.isalnum() and len(first.api_id) == 10 and len(first.resource_id) == 6
    assert first.arn == f"arn:aws:execute-api:us-east-1:123456789012:{first.api_id}/Prod"


def test_mock_with_an_authorizer_is_a_match_and_answered_behind_it():
    asked = Authorizer("A", "Authorizer", "token", sources=(("header", "Authorization"),))
    api = Api("Api", "rest", "Prod", (Route("GET", "/a", "F"),), cors=Cors(("*",), authorizer=asked))
    sent = request("/a", method="OPTIONS")

    found = match(api, sent)

    assert authorizer.event(sent, found).status == 401
    assert answer.mock(sent, found).status == 200
    assert ("x-amzn-RequestId", "an-id") in answer.mock(sent, found).headers


def test_what_the_terminal_shows_has_no_control_characters():
    sent = request()
    payload = json.dumps({"statusCode": 200, "headers": {"\x1b[2J\n": "a"}}).encode()

    refused = answer.response(payload, sent, match(REST, sent)).refused

    assert refused and refused.isprintable()


def test_limits_are_those_of_the_documents():
    assert (limits.BODY, limits.WAIT) == (10485760, {"rest": 29, "http": 30})


TEXTS = [
    "",
    "/",
    "//",
    "%",
    "%ff",
    "%2F",
    "é",
    "\udcff",
    "\x00",
    "\r\n",
    "a=b",
    "&",
    ";",
    "?",
    "#",
    "[",
    "://",
    ",",
    "*",
    "a" * 300,
]
NAMES = [
    "Host",
    "host",
    "Accept",
    "Content-Type",
    "Cookie",
    "Authorization",
    "Origin",
    "x-api-key",
    "",
    "\udcff",
    "A\nB",
]
VALUES = [*TEXTS, "image/png", "*/*", "text/html,*/*", "a=1; b=2;;", "application/json"]
ANSWERS = [
    None,
    True,
    1,
    -1,
    1e308,
    204,
    "200",
    "²",
    "\ud800",
    [],
    [[]],
    {},
    {"": None},
    {"a\r\n": "b"},
    {"A": ["\x00", 1]},
]
FIELDS = ["statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded", "cookies", "context", "principalId"]
FIELDS += ["isAuthorized", "policyDocument", "errorMessage", "base64Encoded"]
POLICY = {"Statement": [{"Effect": "Allow", "Action": "*" * 60 + "x", "Resource": "*?" * 60 + "x"}]}


@pytest.mark.parametrize("seed", range(400))
def test_hostile_input_never_raises(seed):
    chance = random.Random(seed)
    pick = chance.choice
    kind = pick(["rest", "http"])
    asked = Authorizer(
        "A", "Authorizer", pick(["token", "request"]), pick(["1.0", "2.0"]),
        (("header", "Authorization"), ("query", "a"), ("context", "identity.sourceIp"))[: chance.randrange(4)],
        pick([True, False]), pick([None, "(", "^a"]),
    )  # fmt: skip
    paths = ["/{proxy+}", "/a/{b}", "/", "$default"]
    payload = "1.0" if kind == "rest" else pick(["1.0", "2.0"])
    routes = tuple(Route("ANY", path, "F", payload, pick([None, asked]), None, pick([True, False])) for path in paths)
    types = tuple(chance.sample(VALUES, 2))
    api = Api("Api", kind, pick(["Prod", "$default"]), routes, types, cors=pick([None, Cors(tuple(pick(VALUES)))]))
    target = "/" * chance.randrange(2) + "".join(chance.choices(TEXTS, k=4))
    headers = [(pick(NAMES), "".join(chance.choices(VALUES, k=2))) for _ in range(6)]
    sent = request(target, headers, pick(["GET", "OPTIONS", "HEAD", "FOO", ""]), pick([b"", b"\xff", b"a=1"]))
    returned = {name: pick([*ANSWERS, POLICY]) for name in chance.sample(FIELDS, 4)}
    payloads = [json.dumps(pick([returned, *ANSWERS])).encode(), b"", b"\xff", b"[" * 100_000, b'{"statusCode": NaN}']

    found = Routes([api]).find(sent)

    if isinstance(found, Response):
        return
    if found.route.authorizer:
        authorizer.event(sent, found)
        for payload in payloads:
            authorizer.outcome(payload, pick([True, False]), sent, found)
    json.dumps(event(sent, found)).encode()
    for payload in payloads:
        given = answer.response(payload, sent, found)
        assert all("\n" not in part and "\r" not in part for header in given.response.headers for part in header)
        assert 200 <= given.response.status < 600
    assert cors.preflight(sent, api).status == 204
