"""The gateway answers and makes events as AWS does; the cases, with their sources, are in cases/ (see its README)."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from local.gateway import answer, authorizer, validation
from local.gateway.event import event
from local.gateway.model import Api, Authorizer, Cors, Request, Response, Route
from local.gateway.routes import Match, Routes

CASES = Path(__file__).parent / "cases"
KEYS = {"source", "api", "with", "request", "headers", "body", "answer", "text", "authorizer", "authorizer_error"}
KEYS |= {"event", "authorizer_event", "client", "remark", "function", "keys", "received"}
DONE = {"statusCode": 200, "body": "done"}


def cases():
    for path in sorted(CASES.glob("*.yaml")):
        document = yaml.load(path.read_text(), yaml.CSafeLoader)  # every worker reads them all
        for number, case in enumerate(document["cases"]):
            yield pytest.param(document["apis"], case, id=f"{path.stem}-{number}-{case['request'][:50]}")


def tuples(value):
    return tuple(tuples(item) for item in value) if isinstance(value, list) else value


def made(kind, settings):
    assert not settings.keys() - {field.name for field in fields(kind)}, settings
    return kind(**{name: tuples(value) for name, value in settings.items()})


def api(name, settings):
    """The Api of an entry of `apis`."""
    settings = dict(settings)
    shared = settings.pop("route", {}) | {"payload": settings.pop("payload", "1.0")}
    if found := settings.pop("authorizer", None):
        shared["authorizer"] = made(Authorizer, {"name": "authorizer", "function": "Authorizer", **found})
    routes = [route(line.split(" "), shared) for line in settings.pop("routes")]
    for line, mock in settings.pop("mocks", {}).items():
        response = Response(mock["status"], tuples(mock["headers"]), mock["body"].encode())
        routes.append(route(line.split(" "), shared | {"mock": response}))
    if found := settings.pop("cors", None):
        settings["cors"] = made(Cors, found)
    return made(Api, {"id": name, "routes": routes, **settings})


def route(words, shared):
    if words[0] == "$default":
        words = ["ANY", *words]
    return made(Route, {"method": words[0], "path": words[1], "function": (words[2:] or ["Function"])[0], **shared})


def request(case):
    method, _, target = case["request"].partition(" ")
    lines = case.get("headers", ())
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    if not any(name.lower() == "host" for name, _ in headers):
        headers.insert(0, ("Host", "host.example"))
    body = case.get("body", "")
    return Request(
        method=method,
        target=target,
        headers=tuple(headers),
        body=bytes(body) if isinstance(body, list) else body.encode(),
        id="2e7cf7b5-4a07-4b5c-9d1b-5a1f7e0a0a01",
        extended_id="ZhDrKF5dDoEEHfA=",
        trace="Root=1-67891233-abcdef012345678912345678",
        received=case.get("received", 1718635693.506),
    )


def served(apis, case):
    """The outcome of a request, computed in the server's order: events, function, answer and remarks."""
    names = case.get("api", next(iter(apis)))
    known = [api(name, apis[name] | case.get("with", {})) for name in (names if isinstance(names, list) else [names])]
    sent, result = request(case), {"remarks": ()}
    match = Routes(known).find(sent)
    if isinstance(match, Response):
        return result | {"client": match}
    result["arn"] = match.arn
    context = None
    if match.route.authorizer:
        asked = authorizer.event(sent, match)
        if isinstance(asked, Response):
            return result | {"client": asked}
        result["authorizer_event"] = asked
        failed = "authorizer_error" in case
        payload = json.dumps(case["authorizer_error"] if failed else case["authorizer"]).encode()
        context = authorizer.outcome(payload, failed, sent, match)
        if isinstance(context, Response):
            return result | {"client": context}
    if refusal := validation.refusal(sent, match, case.get("keys", ())):
        return result | {"client": refusal}
    if match.route.mock:
        return result | {"client": answer.mock(sent, match)}
    result |= {"event": json.loads(json.dumps(event(sent, match, context))), "function": match.route.function}
    payload = case["text"] if "text" in case else json.dumps(case.get("answer", DONE))
    found = answer.response(payload.encode(), sent, match)
    return result | {"client": found.response, "remarks": [*found.remarks, found.refused]}


def value(document, path):
    """The value at a path such as requestContext.http.path; `<absent>` where there is none."""
    while path:
        if not isinstance(document, dict):
            return "<absent>"
        name = next(
            (name for name in sorted(document, key=len, reverse=True) if (path + ".").startswith(name + ".")), None
        )
        if name is None:
            return "<absent>"
        document, path = document[name], path[len(name) + 1 :]
    return document


def in_case(arn, expected):
    """ARNs of cases name the API "API"."""
    return expected.replace(":API/", f":{arn.split(':')[5].split('/')[0]}/") if isinstance(expected, str) else expected


@pytest.mark.parametrize(("apis", "case"), list(cases()))
def test_gateway_does_as_aws(apis, case):
    assert case["source"] and not case.keys() - KEYS
    if "authorizer" in case:
        case = case | {"authorizer": json.loads(in_case_all(apis, case))}

    found = served(apis, case)

    for name in ("event", "authorizer_event"):
        for path, expected in case.get(name, {}).items():
            assert value(found[name], path) == in_case(found.get("arn", ""), expected), path
    if "function" in case:
        assert found["function"] == case["function"]
    check_client(found["client"], case.get("client", {}))
    if "answer" in case or "text" in case:
        remarks = "\n".join(found["remarks"])
        assert case["remark"] in remarks if "remark" in case else not remarks


def in_case_all(apis, case):
    names = case.get("api", next(iter(apis)))
    match = Routes([api(names, apis[names] | case.get("with", {}))]).find(request(case))
    text = json.dumps(case["authorizer"])
    return in_case(match.arn, text) if isinstance(match, Match) else text


def check_client(response, expected):
    if "status" in expected:
        assert response.status == expected["status"]
    if "body" in expected:
        assert response.body.decode() == expected["body"]
    if "bytes" in expected:
        assert list(response.body) == expected["bytes"]
    if "json" in expected:
        assert json.loads(response.body) == expected["json"]
    for name, wanted in expected.get("headers", {}).items():
        values = [value for sent, value in response.headers if sent == name]
        assert values == ([] if wanted == "<absent>" else wanted if isinstance(wanted, list) else [wanted]), name
