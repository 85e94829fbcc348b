"""The sample project of the machinery's tests is what a new user gets, and only that may hold the user's names."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "local" / "tests" / "project"
NAMES = re.compile(r"my-app|MyFunction|MyEndpoint|my-endpoint|lambda\.handler|MESSAGE")


class Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms, such as !Ref, as nothing."""


Template.add_multi_constructor("!", lambda *_: None)


def listed(*patterns):
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    return subprocess.check_output(command, cwd=ROOT, text=True).splitlines()


def test_sample_is_the_top_level():
    files = listed("src", "template.yaml", "env.json.example", ".pytest.ini")

    assert listed("local/tests/project") == sorted(f"local/tests/project/{name}" for name in files)
    assert [name for name in files if (SAMPLE / name).read_bytes() != (ROOT / name).read_bytes()] == []


def test_env_example_names_variables_that_template_declares():
    functions = yaml.load((ROOT / "template.yaml").read_text(), Template)["Resources"]
    example = json.loads((ROOT / "env.json.example").read_text())

    declared = {name: functions[name]["Properties"]["Environment"]["Variables"].keys() for name in example}

    assert declared == {name: variables.keys() for name, variables in example.items()}


@pytest.mark.parametrize("patterns", [("local", ":!local/tests"), ("run.sh", "install.sh", "requirements.txt")])
def test_machinery_holds_none_of_the_users_names(patterns):
    found = [(name, NAMES.findall((ROOT / name).read_text())) for name in listed(*patterns)]

    assert [(name, names) for name, names in found if names] == []
