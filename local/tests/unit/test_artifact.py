"""The check of what `sam build` made, on artifacts that need no build."""

import pytest

from local.deploying import Failure, artifact

TEMPLATE = """
Resources:
  Large:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: Large
      Layers: [{Ref: Shared}, "arn:aws:lambda:us-east-1:111111111111:layer:elsewhere:1"]
  Small:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: Small
  Shared:
    Type: AWS::Serverless::LayerVersion
    Properties:
      ContentUri: Shared
"""


@pytest.fixture
def built(tmp_path):
    """The folder .aws-sam/build of a function with a layer and one without."""
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    for name, size in {
        "Large/lambda.py": 5,
        "Large/package/data": 7,
        "Small/lambda.py": 3,
        "Shared/python/a": 11,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    return tmp_path


def wheel(built, *tags):
    info = built / "Small" / "fast-1.0.dist-info"
    info.mkdir()
    (info / "WHEEL").write_text("Wheel-Version: 1.0\n" + "".join(f"Tag: {tag}\n" for tag in tags))


def test_size_of_function_is_that_of_code_and_layers(built):
    assert dict(artifact.sizes(built / "template.yaml")) == {"Large": 23, "Small": 3}


def test_function_over_limit_is_refused(built, monkeypatch):
    monkeypatch.setattr(artifact, "LIMIT", 22)

    with pytest.raises(Failure, match="Large is 0 MB unzipped"):
        artifact.check(built / "template.yaml")


def test_bytecode_and_lock_of_uv_are_removed(built):
    (built / "Small" / "__pycache__").mkdir()
    (built / "Small" / "__pycache__" / "lambda.cpython-313.pyc").touch()
    (built / "Small" / ".lock").touch()

    artifact.check(built / "template.yaml")

    assert [path.name for path in (built / "Small").iterdir()] == ["lambda.py"]


@pytest.mark.parametrize(
    "tag", ["py3-none-any", "cp313-cp313-manylinux_2_17_x86_64", "cp39-abi3-manylinux2014_aarch64"]
)
def test_wheel_for_lambda_passes(built, tag):
    wheel(built, tag)

    assert list(artifact.foreign(built)) == []


@pytest.mark.parametrize("tag", ["cp311-cp311-linux_x86_64", "cp313-cp313-macosx_11_0_arm64"])
def test_package_compiled_on_this_machine_is_refused(built, tag):
    wheel(built, tag)

    with pytest.raises(Failure, match="fast-1.0 has no wheel for Lambda's platform"):
        artifact.check(built / "template.yaml")
