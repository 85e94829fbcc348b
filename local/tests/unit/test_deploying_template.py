"""Mistakes in a template, each of them one line: where it is, what it is, and what was probably meant."""

import shutil
from pathlib import Path

import pytest

from local.deploying import Failure, template

SAMPLE = Path(__file__).parents[1] / "project" / "template.yaml"

MISTAKES = {
    "      Handler: ": ("      Handlr: ", "'Handlr' was unexpected. Did you mean 'Handler'? [E3002]"),
    "    MemorySize: ": ("    MemorySise: ", "'MemorySise' was unexpected. Did you mean 'MemorySize'? [E3724]"),
    "\nResources:": ("\nResource:", "'Resource' was unexpected. Did you mean 'Resources'? [E1001]"),
    "Type: Api": ("Type: Appi", "'Appi' is not allowed here. Did you mean 'Api'? [E3030]"),
    "            Path: ": ("            Pth: ", "'Pth' was unexpected. Did you mean 'Path'? [E3002]"),
    "AWS::Logs::LogGroup": (
        "AWS::Logs::LogGrup",
        "Resource type 'AWS::Logs::LogGrup' does not exist in 'us-east-1'. Did you mean 'AWS::Logs::LogGroup'? [E3006]",
    ),
    "${ServerlessRestApi}": (
        "${ServerlessRestAp}",
        "'ServerlessRestAp' is not allowed here. Did you mean 'ServerlessRestApi'? [E6001]",
    ),
    "    Metadata:": ("   Metadata:", "did not find expected key [E0000]"),
}


@pytest.mark.parametrize("right", MISTAKES)
def test_mistake_is_named_with_what_was_meant(tmp_path, right):
    wrong, sentence = MISTAKES[right]
    text = SAMPLE.read_text()
    assert right in text
    before, _, after = text.partition(right)
    mistaken = tmp_path / "template.yaml"
    mistaken.write_text(before + wrong + after)

    number = before.count("\n") + 1 + wrong.count("\n")

    assert template.errors(mistaken)[0] == f"line {number}: {sentence}"


@pytest.mark.parametrize(
    "second, on_path, refused",
    [
        ("CodeUri: src/", False, True),
        ("{CodeUri: src/, Runtime: python3.12}", True, False),
        ("{InlineCode: pass, Handler: index.handler}", False, False),
        ("{CodeUri: s3://bucket/key}", False, False),
        ("{CodeUri: src/, Runtime: nodejs22.x}", False, False),
        ("CodeUri: src/\n    Metadata:\n      BuildMethod: python-uv", False, False),
    ],
)
def test_function_that_needs_a_python_for_its_build_is_named(tmp_path, monkeypatch, second, on_path, refused):
    """Before the build: `sam build` reports it after minutes, and not what to write."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(template, "errors", lambda path: [])
    monkeypatch.setattr(template.sys, "version_info", (3, 10, 0))
    monkeypatch.setattr(template.shutil, "which", lambda name: name if on_path else None)
    function = f"  Second:\n    Type: AWS::Serverless::Function\n    Properties:\n      {second}\n"
    Path("template.yaml").write_text(SAMPLE.read_text().replace("\nOutputs:", f"{function}\nOutputs:"))

    found = list(template.unbuildable(Path("template.yaml")))

    assert found == ([("Second", "python3.13")] if refused else [])
    if refused:
        with pytest.raises(template.Failure, match="Second has no BuildMethod, so its build needs python3.13"):
            template.check(Path("template.yaml"))


def test_template_that_is_right_is_checked_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("template.yaml").write_text(SAMPLE.read_text())
    template.check(Path("template.yaml"))

    monkeypatch.setattr(template, "errors", lambda path: ["line 1: checked again"])
    template.check(Path("template.yaml"))
    Path("template.yaml").write_text(SAMPLE.read_text() + "\n")

    with pytest.raises(template.Failure, match="^template.yaml, line 1: checked again$"):
        template.check(Path("template.yaml"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of the sample as the current folder, whose template has passed."""
    monkeypatch.chdir(shutil.copytree(SAMPLE.parent, tmp_path / "project"))
    monkeypatch.setattr(template, "errors", lambda _: [])
    return Path("template.yaml")


@pytest.mark.parametrize("code", [".", "./", "src/.."])
def test_function_that_is_the_whole_project_is_refused(project, code):
    project.write_text(project.read_text().replace("CodeUri: src/", f"CodeUri: {code}"))

    with pytest.raises(Failure, match="template.yaml: MyFunction has the whole project as its code"):
        template.check(project)


def test_code_of_all_functions_is_looked_at_each_time(project):
    text = project.read_text().replace("      CodeUri: src/\n", "")
    text = text.replace("  Function:\n", "  Function:\n    CodeUri: src/\n", 1)
    project.write_text(text.replace("Resources:\n", "Resources:\n  Fn::ForEach::Name: []\n"))
    template.check(project)
    Path("src/requirements.txt").write_bytes("requests".encode("utf-16"))

    with pytest.raises(Failure, match="src/requirements.txt is not UTF-8"):
        template.check(project)
