"""The real ./run.sh in a copy of the project, and real HTTP requests to what it serves."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import docker
import pytest
import warm

ROOT = Path(__file__).parents[3]
_READY = "(Press CTRL+C to quit)"
_START_S = 60
_END_S = 10


@dataclass(frozen=True)
class Answer:
    """The response to a request."""

    status: int
    headers: Message
    content: bytes

    @property
    def body(self):
        """The parsed JSON, or the text if it is not JSON."""
        try:
            return json.loads(self.content)
        except ValueError:
            return self.content.decode(errors="replace")


class Server:
    """./run.sh [options] in `project`, started with the `environment` and ready when the constructor returns."""

    def __init__(self, project, engine, environment, *options, cwd=None, files=None):
        """`files` is the most that may be open at once."""
        self.project, self.engine = Path(project), engine
        self._originals = {}
        self._begin = 0
        self._log = self.project.parent / f"terminal-{time.monotonic_ns()}"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                limited(files, command(project, engine, *options, "--port", "0")),
                cwd=cwd or project,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.says(_READY, _START_S)
        except BaseException:
            self.kill()
            raise
        self.port = int(re.search(r"Running on https?://\S+:(\d+)", self.terminal)[1])
        self.pid = warm.pid(self.project, self._process.pid)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/my-endpoint"

    @property
    def terminal(self):
        """What the terminal has shown since the test began."""
        return self._log.read_bytes()[self._begin :].decode(errors="replace")

    def says(self, text, within=5):
        """Waits until the terminal shows the text."""
        deadline = time.monotonic() + within
        while text not in self.terminal:
            ended = self._process.poll()
            assert ended is None or text in self.terminal, f"./run.sh ended with {ended}:\n{self.terminal}"
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.terminal}"
            time.sleep(0.02)
        return True

    def ask(self, path="/my-endpoint", method="GET", body=None, headers=None, timeout=40):
        """The Answer to a request on its own connection."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it answered before reading everything
                connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.msg, response.read())
        finally:
            connection.close()

    def ask_and_forget(self, path="/my-endpoint"):
        """A request that nobody waits for."""

        def ask():
            with contextlib.suppress(OSError, HTTPException):
                self.ask(path)

        threading.Thread(target=ask, daemon=True).start()

    def get(self, path="/my-endpoint", **options):
        """(status, body) of a GET."""
        answer = self.ask(path, **options)
        return answer.status, answer.body

    def save(self, name, text):
        """Saves a file of the project like an editor that writes in place; `restore` undoes it."""
        file = self.project / name
        self._originals.setdefault(file, file.read_text() if file.exists() else None)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def replace(self, name, old, new):
        text = (self.project / name).read_text()
        assert old in text
        self.save(name, text.replace(old, new))

    def begin(self):
        """Begins a test, which ignores what the terminal has shown so far."""
        self._begin = self._log.stat().st_size

    def restore(self):
        """Restores the files, and waits until the server has noticed."""
        for file, text in self._originals.items():
            file.unlink(missing_ok=True) if text is None else file.write_text(text)
        self._originals.clear()
        self.ask("/")

    def end(self, number=signal.SIGINT):
        """Ends the server as a terminal does, and checks that nothing is left. Returns the exit code."""
        os.killpg(self.pid, number)
        code = self._process.wait(_END_S)
        assert_nothing_left(self.project)
        return code

    def kill(self):
        kill(self.project)
        self._process.wait(_END_S)


@pytest.fixture(scope="module")
def only_processes():
    """For a module about this engine: engine = only_processes"""
    return "processes"


def cold(project):
    """Makes the scripts of the project start as everybody's do, instead of in forks (warm.py); returns the project."""
    (project / ".tools").unlink()
    (project / ".tools").symlink_to(ROOT / ".tools")
    return project


def command(project, engine, *options):
    if engine == "processes" and sys.platform != "linux":
        pytest.skip("Lambda's emulator, and so a function without a container, runs on Linux only")
    return [str(project / "run.sh"), *(["--no-docker"] if engine == "processes" else []), *options]


def limited(files, arguments):
    """The command, limited to this many open files."""
    return ["bash", "-c", f'ulimit -n {files}; exec "$@"', "bash", *arguments] if files else arguments


def run(project, engine, environment, *options, **more):
    """./run.sh with options that let it end by itself."""
    return subprocess.run(
        command(project, engine, *options), env=environment, check=False, capture_output=True, timeout=60, **more
    )


def processes(project):
    """{pid: command line} of the processes in the project's folder: the server and everything that it has started."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "cwd").startswith(str(project)):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
    return {pid: line for pid, line in found.items() if line}  # a zombie has none


def containers(project):
    """The containers that have src/ of the project as their code."""
    if not engine_answers():
        return []
    return docker.from_env().containers.list(all=True, filters={"volume": str(project / "src")}, ignore_removed=True)


def engine_answers():
    try:
        return docker.from_env().ping()
    except docker.errors.DockerException:
        return False


def kill(project):
    """Ends whatever is left."""
    for pid in processes(project):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(docker.errors.APIError):  # others may remove them at the same time
        for container in containers(project):
            container.remove(force=True)


def assert_nothing_left(project):
    deadline = time.monotonic() + 15
    while (left := (processes(project), containers(project))) != ({}, []):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.05)


def answering(expression, before=""):
    """The source of a handler that answers 200 with the JSON of a Python expression."""
    return (
        f"import json, os\n{before}\n\ndef handler(event, context):\n"
        f'    return {{"statusCode": 200, "body": json.dumps({expression})}}\n'
    )


def stale_or_failed(server, edits, clients):
    """The answers that failed or are older than the last save before their request, under constant load."""
    saved, answers, done = [100], [], threading.Event()
    server.save("src/lambda.py", answering(saved[0]))

    def client():
        while not done.is_set():
            oldest = saved[0]
            answers.append((oldest, *server.get()))

    asking = [threading.Thread(target=client) for _ in range(clients)]
    for thread in asking:
        thread.start()
    for number in range(101, 101 + edits):
        server.save("src/lambda.py", answering(number))
        saved[0] = number
        answers.append((number, *server.get()))
    done.set()
    for thread in asking:
        thread.join()
    assert len(answers) >= edits + clients
    return [(oldest, status, body) for oldest, status, body in answers if status != 200 or body < oldest]
