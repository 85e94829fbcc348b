"""The README's two commands of an upgrade, in clones that have become somebody's own."""

import re
import subprocess

import pytest
import readme
import repository
from customised import customise

# The last commit before the files of a user and the machinery were told apart.
FIRST = "1449a37b"
GIT = ["git", "-c", "user.name=A user", "-c", "user.email=user@example.com", "-c", "commit.gpgsign=false"]


def git(directory, *arguments):
    return subprocess.check_output([*GIT, *arguments], cwd=directory, text=True)


def commit(directory, message):
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", message)


def sh(directory, command, environment):
    done = subprocess.run(
        ["bash", "-c", command], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def upgrade(project, origin, environment):
    commands = [command.text for command in readme.commands() if re.match("git (fetch|checkout) ", command.text)]
    assert len(commands) == 2
    for command in commands:
        sh(project, re.sub(r"https://\S+", str(origin), command), environment)


@pytest.fixture
def origin(tmp_path):
    """The starter's own repository, on its branch main."""
    directory = tmp_path / "origin"
    directory.mkdir()
    git(directory, "init", "--quiet", "--initial-branch=main")
    (directory / "local").mkdir()
    return directory


@pytest.mark.parametrize("history", ["shared", "own"])
def test_upgrade_changes_the_machinery_alone(origin, tmp_path, new_machine, history):
    repository.copy(origin)
    (origin / "local" / "old.py").touch()
    commit(origin, "Today")
    project = tmp_path / "project"
    git(tmp_path, "clone", "--quiet", origin, project)
    if history == "own":
        sh(project, "rm -rf .git && git init --quiet", new_machine)
    customise(project)
    commit(project, "Mine")
    # The next version has one module more, one less, and other pins, which are few and so installed in a moment.
    (origin / "local" / "old.py").unlink()
    (origin / "local" / "new.py").touch()
    (origin / "README.md").write_text("Another README")
    pins = (origin / "requirements.txt").read_text()
    (origin / "requirements.txt").write_text(re.sub("(?m)^aws.*==.*$", "chevron==0.14.0", pins))
    commit(origin, "Tomorrow")

    upgrade(project, origin, new_machine)

    changed = git(project, "status", "--short", "--no-renames").splitlines()
    assert changed == ["A  local/new.py", "D  local/old.py", "M  requirements.txt"]
    if history == "own":  # once is enough
        (project / ".tools" / "bin").mkdir(parents=True)
        (project / ".tools" / "bin" / "uv").symlink_to(repository.ROOT / ".tools" / "bin" / "uv")
        sh(project, "./install.sh && .venv/bin/pytest -k 'not http' && .tools/bin/chevron --version", new_machine)


def test_first_version_is_upgraded(origin, tmp_path, new_machine):
    """With the step that the changelog asks for."""
    if subprocess.run(["git", "cat-file", "-e", FIRST], cwd=repository.ROOT, check=False).returncode:
        pytest.skip("this clone has no history")
    project = tmp_path / "project"
    git(tmp_path, "clone", "--quiet", repository.ROOT, project)
    git(project, "checkout", "--quiet", "-b", "mine", FIRST)
    for name, old, new in [
        ("src/lambda.py", '{"message": os.environ["MESSAGE"]}', '{"greeting": os.environ["MESSAGE"]}'),
        ("template.yaml", "/my-endpoint", "/hello"),
    ]:
        text = (project / name).read_text()
        assert old in text
        (project / name).write_text(text.replace(old, new))
    commit(project, "Mine")
    repository.copy(origin)
    commit(origin, "Today")

    upgrade(project, origin, new_machine)
    (project / ".tools").symlink_to(repository.ROOT / ".tools")
    (step,) = re.findall(r"^\$ (.*)$", (project / "local" / "CHANGELOG.md").read_text(), re.MULTILINE)
    sh(project, step, new_machine)

    assert git(project, "diff", "--cached", "--stat", "HEAD", "--", "src", "template.yaml", "README.md") == ""
    # Tests of a handler that greets nobody by name.
    sh(project, "rm -r tests/events", new_machine)
    for name in ("tests/unit/test_handler.py", "tests/integration/test_api.py"):
        text = (project / name).read_text().partition("\n\n\ndef test_handler_greets_by_name")[0]
        for old, new in [('"message"', '"greeting"'), ("/my-endpoint?name=Ada", "/hello"), (", Ada!", "")]:
            text = text.replace(old, new)
        (project / name).write_text(text)
    assert "2 passed" in sh(project, "./install.sh && .venv/bin/pytest", new_machine)
