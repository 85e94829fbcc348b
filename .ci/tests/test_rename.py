"""What the README says on renaming, done to a clone: everything has its new name, and works under it."""

import re
import subprocess
import urllib.request

import pytest
import readme
from server import Server

OLD = re.compile(r"my-app|MyFunction|MyEndpoint|my-endpoint|\blambda\.(handler|py)\b")


@pytest.fixture
def renamed(project):
    (rename,) = [command.text for command in readme.commands() if command.text.startswith("git mv ")]
    for command in ["git init --quiet && git add --all -- ':!.venv' ':!.tools'", rename]:
        subprocess.run(["bash", "-euc", command], cwd=project, check=True)
    return project


def test_renamed_project_works(renamed, developer, deploy, emulator):
    listed = subprocess.run(["git", "ls-files"], cwd=renamed, capture_output=True, text=True, check=True)
    assert [name for name in listed.stdout.splitlines() if OLD.search((renamed / name).read_text())] == []

    tested = subprocess.run(
        [renamed / ".venv" / "bin" / "pytest", "tests/unit"], cwd=renamed, capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout

    server = Server(renamed, "processes", developer)
    try:
        assert server.get("/shop") == (200, {"message": "Hello from Lambda"})
        assert server.end() == 0
    finally:
        server.kill()

    deployed = deploy()
    assert deployed.returncode == 0, deployed.stderr
    assert ", stack shop, bucket shop-" in deployed.stderr
    assert deployed.stdout.endswith("/Prod/shop\n")
    with urllib.request.urlopen(emulator.reachable(deployed.stdout.strip()), timeout=30) as answer:
        assert answer.read() == b'{"message": "Hello from Lambda"}'
