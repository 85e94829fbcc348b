"""Checks what `sam build` made: nothing unneeded in it, and nothing that Lambda would refuse.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from local.deploying import Failure

# Bytes, unzipped, of a function and its layers together: what AWS calls 250 MB.
LIMIT = 250 * 1024 * 1024


def tidy(directory: Path) -> None:
    """Removes bytecode, and the lock that uv leaves behind."""
    for needless in [*directory.rglob("__pycache__"), *directory.rglob(".lock")]:
        shutil.rmtree(needless) if needless.is_dir() else needless.unlink()


def foreign(directory: Path) -> Iterator[str]:
    """Yields the packages, by the names of their folders, that were compiled here and not for Lambda.

    uv compiles a package that has no wheel for Lambda's platform; only wheels tagged so run on any Linux.
    https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/
    """
    for wheel in sorted(directory.rglob("*.dist-info/WHEEL")):
        tags = re.findall(r"^Tag: \S+-(\S+)$", wheel.read_text(), re.MULTILINE)
        if not any(tag == "any" or tag.startswith("manylinux") for tag in tags):
            yield wheel.parent.name.removesuffix(".dist-info")


def sizes(template: Path) -> Iterator[tuple[str, int]]:
    """Yields (function, bytes of its code and its layers, unzipped) for each function of the built template."""
    resources = dict(_unrolled(yaml.safe_load(template.read_text())["Resources"]))
    built: dict[Any, int] = {}
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        code = properties.get("CodeUri") or properties.get("ContentUri")
        if isinstance(code, str):
            built[name] = sum(file.stat().st_size for file in (template.parent / code).rglob("*") if file.is_file())
    for name, resource in resources.items():
        if name in built and resource["Type"] == "AWS::Serverless::Function":
            # A layer from elsewhere is an ARN, whose size is not known here.
            layers = [layer.get("Ref") for layer in resource["Properties"].get("Layers", []) if isinstance(layer, dict)]
            yield name, built[name] + sum(built.get(layer, 0) for layer in layers)


def _unrolled(resources: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the resources, including those in an Fn::ForEach, which is sent to CloudFormation as it is."""
    for name, resource in resources.items():
        if isinstance(resource, list):
            yield from _unrolled(resource[2])
        else:
            yield name, resource


def check(template: Path) -> None:
    """Tidies the build beside the template. Raises Failure for what Lambda would not run or accept."""
    if not template.is_file():
        raise Failure(f"there is no {template}; build first: ./deploy.sh --build")
    tidy(template.parent)
    for package in foreign(template.parent):
        raise Failure(f"{package} has no wheel for Lambda's platform; name another version in src/requirements.txt")
    for name, size in sizes(template):
        if size > LIMIT:
            raise Failure(
                f"{name} is {size / 1024**2:.0f} MB unzipped, more than the {LIMIT // 1024**2} MB that "
                f"Lambda allows; see what is large: du -m .aws-sam/build/{name} | sort -n | tail"
            )
