"""Templates are read as CloudFormation and SAM read them; the cases, with their sources, are in templates/."""

import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml
from samcli.commands.exceptions import UserException

from local.cloudformation.apis import Reader
from local.cloudformation.template import FUNCTIONS, NO_VALUE, Template
from local.sam.context import Context, Once

TEMPLATES = Path(__file__).parent / "templates"
VALUES = yaml.load((TEMPLATES / "values.yaml").read_text(), yaml.CSafeLoader)
APIS = yaml.load((TEMPLATES / "apis.yaml").read_text(), yaml.CSafeLoader)
KEYS = {"source", "value", "is", "matches", "absent", "with", "given", "guess", "linked"}
API_KEYS = {"source", "resources", "routes", "api", "route", "remarks"}
WHOLE_KEYS = {"source", "files", "options", "routes", "variables", "layers", "remarks"}


def name(case):
    return str(case.get("value", case["source"]))[:60]


@pytest.mark.parametrize("case", VALUES["cases"], ids=name)
def test_value_is_what_cloudformation_would_see(case):
    assert case["source"] and not case.keys() - KEYS
    sections = case.get("with", {})
    function = {"Type": "AWS::Serverless::Function", "Properties": {"Environment": {"Variables": {"V": case["value"]}}}}
    document = {**sections, "Resources": {**sections.get("Resources", {}), "F": function}}
    template = Template(document, case.get("given", {}), VALUES["pseudo"])

    found = template.linked("F", "Layers", case["value"]) if case.get("linked") else template.value(case["value"])

    if "matches" in case:
        assert re.fullmatch(case["matches"], found)
    else:
        assert found == (NO_VALUE if case.get("absent") else case["is"])
    if not case.get("linked"):
        variables = template.resolved()["Resources"]["F"]["Properties"]["Environment"]["Variables"]
        reasons = "; ".join(guess.reason for guess in template.guesses)
        assert ("V" in variables) != case.get("absent", False)
        assert case["guess"] in reasons if "guess" in case else not reasons or not isinstance(found, str)


@pytest.mark.parametrize("case", APIS["cases"], ids=name)
def test_apis_are_those_of_the_template(case):
    assert case["source"] and not case.keys() - API_KEYS
    resources = case["resources"]

    def function(stack, name):
        return name if resources.get(name, {}).get("Type") in FUNCTIONS else None

    found = Reader("", resources, function, "us-east-2", "123456789012").read()

    assert [line(route) for api in found.apis for route in api.routes] == case["routes"]
    for field, expected in case.get("api", {}).items():
        assert plain(getattr(found.apis[0], field)) == expected, field
    for field, expected in case.get("route", {}).items():
        assert plain(getattr(found.apis[0].routes[0], field)) == expected, field
    assert all(any(part in remark for remark in found.remarks) for part in case.get("remarks", ())), found.remarks
    assert len(found.remarks) == len(case.get("remarks", ())), found.remarks


@pytest.mark.parametrize("path", sorted((TEMPLATES / "whole").glob("*.yaml")), ids=lambda path: path.stem)
def test_project_is_read_through_sam_cli(path, tmp_path, monkeypatch):
    case = yaml.safe_load(path.read_text())
    assert case["source"] and not case.keys() - WHOLE_KEYS
    for file, content in case["files"].items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(content)
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)

    with Context(Once(containers=False, serves=True), template_file="template.yaml", **case.get("options", {})) as read:
        functions = read.project.by_name

    assert [line(route) for api in read.project.apis for route in api.routes] == case["routes"]
    for function, expected in case.get("variables", {}).items():
        own = dict(functions[function].variables)
        assert {name: own.get(name, "<absent>") for name in expected} == expected
    for function, expected in case.get("layers", {}).items():
        assert [str(Path(layer).relative_to(tmp_path)) for layer in functions[function].layers] == expected
    remarks = list(read.remarks)
    assert [part for part in case.get("remarks", ()) if not any(part in remark for remark in remarks)] == [], remarks
    assert len(remarks) == len(case.get("remarks", ())), remarks


def test_apis_are_no_concern_of_one_event(tmp_path, monkeypatch):
    """`./run.sh invoke` says nothing about them, and runs a function although two have one path."""
    event = "{Type: Api, Properties: {Path: /a, Method: get, Auth: {ApiKeyRequired: true}}}"
    function = f"{{Type: AWS::Serverless::Function, Properties: {{CodeUri: ., Events: {{A: {event}}}}}}}"
    shared = "Globals: {Function: {Runtime: python3.13, Handler: app.handler}}"
    (tmp_path / "template.yaml").write_text(f"{shared}\nResources:\n  One: {function}\n  Two: {function}\n")
    monkeypatch.chdir(tmp_path)

    with Context(Once(containers=False, serves=False), template_file="template.yaml") as read:
        assert list(read.project.functions) == ["One", "Two"] and read.remarks == ()
    with pytest.raises(UserException, match="GET /a belongs to two functions, One and Two"):
        Context(Once(containers=False, serves=True), template_file="template.yaml").__enter__()


def line(route):
    return f"{route.method} {route.path} {route.function}".strip()


def plain(value):
    """Data classes and tuples as tables and lists."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value
