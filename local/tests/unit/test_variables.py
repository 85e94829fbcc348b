"""env.json against the template."""

import pytest

from local import variables

FUNCTIONS = [(["First", "my-name"], {"MESSAGE": ""}), (["Other"], {"LIMIT": 1})]


def check(values):
    variables.check("env.json", values, FUNCTIONS)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"First": {"MESSAGE": "x"}, "Other": {"LIMIT": 2}},
        {"my-name": {"MESSAGE": True}},
        {"Parameters": {"MESSAGE": "x", "LIMIT": "y"}},
    ],
)
def test_values_that_the_template_declares_pass(values):
    check(values)


@pytest.mark.parametrize(
    "values, reason",
    [
        ({"Mine": {}}, 'the template has no function "Mine"; it has First, Other'),
        ({"First": {"LIMIT": 1}}, '"LIMIT" is not declared for First; declare it in template.yaml'),
        ({"Parameters": {"NEW": 1}}, '"NEW" is not declared for a function; declare it in template.yaml'),
        (
            {"First": {"AWS_REGION": ""}},
            '"AWS_REGION" of First is reserved: Lambda sets it; for another region: AWS',
        ),
        ({"Parameters": {"AWS_SESSION_TOKEN": ""}}, '"AWS_SESSION_TOKEN" of Parameters is reserved: Lambda sets it; '),
        ({"First": {"_HANDLER": "x"}}, '"_HANDLER" of First is reserved: Lambda sets it; remove it'),
        ({"First": "x"}, '"First" must be a JSON object of variables, as in env.json.example'),
        ({"First": {"MESSAGE": ["x"]}}, '"MESSAGE" of First must be a string, a number or a boolean'),
    ],
)
def test_values_unlike_the_template_are_unfit(values, reason):
    with pytest.raises(variables.Unfit) as error:
        check(values)

    assert str(error.value).startswith(f"env.json: {reason}")


@pytest.mark.parametrize("text, reason", [("{", "env.json is not valid JSON"), ("[]", "must be a JSON object")])
def test_file_that_is_no_object_is_unfit(tmp_path, monkeypatch, text, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "env.json").write_text(text)

    with pytest.raises(variables.Unfit, match=reason):
        variables.read("env.json")


def test_byte_order_mark_is_no_fault(tmp_path):
    """As editors on Windows write it."""
    (tmp_path / "env.json").write_bytes(b'\xef\xbb\xbf{"First": {}}')

    assert variables.read(str(tmp_path / "env.json")) == {"First": {}}
