"""The README's renaming, done in a clone: everything has its new name, and works."""

import os
import re
import subprocess
import urllib.request

import pytest
import readme
from server import Server

OLD = re.compile(r"my-app|MyFunction|MyEndpoint|my-endpoint|lambda\.handler|lambda\.py")
MACHINERY = ("local/", ".ci/", "README.md")


@pytest.fixture
def rename(project):
    """Renames the project to a name in place of the README's, and lints it."""

    def to(name):
        pascal = "".join(part.capitalize() for part in name.split("-"))
        commands = [
            command.text.replace("Shop", pascal).replace("shop", name)
            for command in readme.commands()
            if command.text.startswith(("git mv ", "perl "))
        ]
        # local/ is as it was, and mypy need not read it again.
        environment = {**os.environ, "MYPY_CACHE_DIR": str(readme.README.parent / ".mypy_cache")}
        start = "git init --quiet && git add --all -- ':!.venv' ':!.tools'"
        for command in [start, *commands, ".ci/lint", ".venv/bin/pytest tests/unit"]:
            done = subprocess.run(
                ["bash", "-euc", command], cwd=project, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
        listed = subprocess.check_output(["git", "ls-files"], cwd=project, text=True).splitlines()
        users = [name for name in listed if not name.startswith(MACHINERY)]
        assert [name for name in users if OLD.search((project / name).read_text())] == []

    return to


def test_long_name_is_linted_and_tested(rename):
    rename("customer-notification-preferences")


def test_renamed_project_works(rename, project, developer, deploy, emulator):
    rename("shop")

    server = Server(project, "processes", developer)
    try:
        assert server.get("/shop") == (200, {"message": "Hello from Lambda"})
        assert server.end() == 0
    finally:
        server.kill()

    deployed = deploy(STACK_NAME=None, OUTPUT=None)
    assert deployed.returncode == 0, deployed.stderr
    assert ", stack shop, bucket shop-" in deployed.stderr
    assert deployed.stdout.endswith("/Prod/shop\n")
    with urllib.request.urlopen(emulator.reachable(deployed.stdout.strip()), timeout=30) as answer:
        assert answer.read() == b'{"message": "Hello from Lambda"}'
