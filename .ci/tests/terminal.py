"""A shell in which the README's commands run; what they print is compared with what the README shows."""

import os
import re
import signal
import subprocess
import time

import pytest
from ports import free_port

# Commands that serve until they are interrupted.
SERVING = r"\./run\.sh( --\S+( \S+)?)*|.*\bministack@.*"

# What a command gets besides, and why.
ADDED = {
    # The other programs of this machine may hold the usual ports.
    r"\./run\.sh((?! --port| invoke).)*": "--port 3000",
    # The emulated CloudFormation has no such resource.
    r".*/deploy-role\.yaml.*": "CreateProvider=false",
}

# What AWS and the notes API make up, and later commands name.
NAMED = (r"https://(\w+)\.execute-api", r'"id": "(\w+)"')

# What differs from run to run, or from machine to machine.
VOLATILE = [
    (r"https://[a-z0-9]+\.execute-api", "https://API.execute-api"),
    (r"Engine: .*", "Engine"),
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r'"created": "[^"]*"', "created"),
    (r"=+ (.*) in \d+\.\d+s =+", r"\1"),
    (r"\[[-:+ \d]+\] \[\d+\] \[INFO\]", "INFO"),
]

# Lines that only some machines show: without the template's Python, without an engine, in containers.
ONLY_SOMETIMES = re.compile(
    r"==> Fetching Python .*|==> Installing (the packages of Lambda's|the Runtime|src/).*|"
    r"(python|==> Python )3\.\d+ is not on this machine .*|"
    r"Reading invoke payload .*|(START|END|REPORT) RequestId.*|Functions (call|have) .*|"
)


class Terminal:
    """A shell in `directory`: exported variables last, and ports are replaced by free ones, there and back."""

    def __init__(self, directory, environment, log):
        self.directory, self.environment, self.log = directory, environment, log
        self.ports = {port: str(free_port()) for port in ("3000", "3001", "3002", "4566")}
        self.serving = []
        self._real = {}  # by what the README shows

    def run(self, command):
        """Runs a Command of the README and compares what it prints."""
        text = command.text
        for pattern, more in ADDED.items():
            if re.fullmatch(pattern, text) and "|" not in text:
                text += f" {more}"
        for usual, free in self.ports.items():
            text = re.sub(f"(:|--port ){usual}", rf"\g<1>{free}", text)
        for shown, real in self._real.items():
            text = text.replace(shown, real)
        if re.fullmatch(SERVING, command.text):
            self._serve(text, command)
        else:
            printed = self._call(text)
            assert expected(command.shown).fullmatch(self._plain(printed)), (command.text, printed)
            for pattern in NAMED:
                names = re.findall(pattern, "\n".join(command.shown))
                self._real |= dict(zip(names, re.findall(pattern, printed), strict=True))

    def edit(self, file, old, new):
        path = self.directory / file
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    def _call(self, text):
        before = self.directory.parent / "environment"
        done = subprocess.run(
            ["bash", "-c", f"{text}\nstatus=$?; env -0 >'{before}'; exit $status"],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (text, done.stdout)
        self.environment = dict(item.split("=", 1) for item in before.read_text().split("\0") if item)
        return done.stdout

    def _serve(self, text, command):
        output = self.log.with_name(f"{len(self.serving)}.log")
        with output.open("wb") as stream:
            process = subprocess.Popen(
                ["bash", "-c", f"exec env {text}"],
                cwd=self.directory,
                env={**self.environment, "GATEWAY_PORT": self.ports["4566"]},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.serving.append(process)
        deadline = time.monotonic() + 120
        while not expected(command.shown).match(self._plain(output.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, (text, output.read_text())
            time.sleep(0.05)

    def _plain(self, printed):
        for usual, free in self.ports.items():
            printed = printed.replace(f":{free}", f":{usual}")
        return plain(printed.splitlines())

    def interrupt(self):
        """Ctrl-C in every terminal where something serves; returns the exit codes."""
        for process in self.serving:
            os.killpg(process.pid, signal.SIGINT)
        return [process.wait(10) for process in self.serving]

    def kill(self):
        for process in self.serving:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def plain(lines):
    """Lines as text in which nothing is volatile."""
    kept = []
    for line in lines:
        for pattern, name in VOLATILE:
            line = re.sub(pattern, name, line)
        if not ONLY_SOMETIMES.fullmatch(line):
            kept.append(f"{line.rstrip()}\n")
    return "".join(kept)


def expected(shown):
    """A pattern of what the README shows, in which a line with … stands for any lines."""
    return re.compile(re.escape(plain(shown)).replace("…\\\n", "(?:.*\n)*?"))


@pytest.fixture
def clone(new_project):
    """A clone without the tools."""
    project = new_project()
    for name in (".tools", ".venv"):
        (project / name).unlink()
    subprocess.run("git init --quiet && git add --all", shell=True, cwd=project, check=True)
    return project


@pytest.fixture
def terminal(clone, new_machine, tmp_path):
    environment = {**new_machine, "TMPDIR": str(tmp_path)}
    # On a terminal curl draws no progress bar.
    (tmp_path / ".curlrc").write_text("silent\nshow-error\n")
    environment["CURL_HOME"] = str(tmp_path)
    environment.update({name: value for name, value in os.environ.items() if name.startswith("DOCKER_")})
    opened = Terminal(clone, environment, tmp_path / "log")
    yield opened
    opened.kill()
