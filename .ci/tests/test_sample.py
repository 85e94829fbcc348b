"""env.json.example names what template.yaml declares: what is copied from it must be taken, not refused."""

import json
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


class Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms, such as !Ref, as nothing."""


Template.add_multi_constructor("!", lambda *_: None)


def test_env_example_names_variables_that_template_declares():
    functions = yaml.load((ROOT / "template.yaml").read_text(), Template)["Resources"]
    example = json.loads((ROOT / "env.json.example").read_text())

    declared = {name: functions[name]["Properties"]["Environment"]["Variables"].keys() for name in example}

    assert declared == {name: variables.keys() for name, variables in example.items()}
