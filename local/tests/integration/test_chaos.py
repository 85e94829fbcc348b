"""Many things at once, for long: nothing wrong, nothing mute, nothing left."""

import contextlib
import json
import os
import random
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest
from docker.constants import DEFAULT_NUM_POOLS
from server import containers, processes

CLIENTS = 8
LASTING_S = {"processes": 60, "containers": 30}

# Answers with the number of the edit that it comes from, and with what was asked.
GOOD = """
import json, time
def handler(event, context):
    asked = event["queryStringParameters"]["asked"]
    time.sleep({sleep})
    return {{"statusCode": 200, "body": json.dumps([{number}, asked])}}
"""
BROKEN = [
    "def handler(event, context)\n",
    "import no_such_module\n",
    "1 / 0\n",
    "def handler(event, context):\n    raise ValueError\n",
    "def handler(event, context):\n    return {'statusCode': 1000}\n",
    "import os\ndef handler(event, context):\n    os._exit(3)\n",
]
EXPLAINED = re.compile(r"\[ERROR\]|Task timed out|Runtime exited|cannot run: |malformed answer")


class Chaos:
    """Clients that ask, an editor, and somebody who kills; `wrong` are the answers that cannot be."""

    def __init__(self, server):
        self.server = server
        self.number, self.good = 0, True
        self.wrong, self.failed, self.answered = [], 0, 0
        self.done = threading.Event()

    def edit(self, good=True):
        """Saves the next version; while that goes on, the one before counts as well."""
        number = self.number + 1
        source = GOOD.format(number=number, sleep=random.choice((0, 0, 0.01, 0.05))) if good else random.choice(BROKEN)
        self.server.save("src/lambda.py", source)
        self.number, self.good = number, good

    def client(self, own):
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        for count in range(10**9):
            if self.done.is_set():
                return
            oldest, asked = self.number, f"{own}-{count}"
            try:
                connection.request("GET", f"/my-endpoint?asked={asked}")
                response = connection.getresponse()
                status, body = response.status, json.loads(response.read())
            except Exception as error:
                self.wrong.append(error)
                return
            self.answered += 1
            if status == 502 and body == {"message": "Internal server error"}:
                self.failed += 1
            elif status != 200 or body[1] != asked or not oldest <= body[0] <= self.number + 1:
                self.wrong.append((oldest, self.number, asked, status, body))
            if random.random() < 0.3:
                connection.close()  # the next request opens another one

    def editor(self):
        while not self.done.wait(random.uniform(0.05, 1)):
            self.edit(good=random.random() < 0.8)
            if random.random() < 0.1:
                source, away = self.server.project / "src", self.server.project / "away"
                source.rename(away)
                self.done.wait(0.02)
                away.rename(source)

    def killer(self):
        """Kills or stops for a moment whatever the server has started."""
        while not self.done.wait(random.uniform(0.05, 0.5)):
            started = [pid for pid in processes(self.server.project) if pid != self.server.pid]
            with contextlib.suppress(ProcessLookupError):
                if started and random.random() < 0.8:
                    os.kill(random.choice(started), signal.SIGKILL)
                elif started:
                    stopped = random.choice(started)
                    os.kill(stopped, signal.SIGSTOP)
                    self.done.wait(0.1)
                    os.kill(stopped, signal.SIGCONT)
            if self.server.engine == "containers" and random.random() < 0.3:
                with contextlib.suppress(Exception):  # it has ended by itself
                    containers(self.server.project)[0].kill()

    def last(self, seconds):
        with ThreadPoolExecutor(CLIENTS + 2) as threads:
            going = [threads.submit(self.client, own) for own in range(CLIENTS)]
            going += [threads.submit(self.editor), threads.submit(self.killer)]
            self.done.wait(seconds)
            self.done.set()
        for one in going:
            one.result()


def test_chaos_gives_no_wrong_answer_explains_every_failure_and_leaves_nothing(serve, engine, tmp_path):
    (tmp_path / "temporary").mkdir()
    server = serve(environment={"TMPDIR": str(tmp_path / "temporary")})
    chaos = Chaos(server)
    chaos.edit()
    server.ask("/my-endpoint?asked=first")
    files = descriptors(server)
    if engine == "containers":
        files += 2 * DEFAULT_NUM_POOLS  # connections that each of two clients of the engine keeps

    chaos.last(LASTING_S[engine])

    assert chaos.wrong == []
    assert chaos.answered > 2 * CLIENTS
    lines = server.terminal.splitlines()
    explanations = sum(bool(EXPLAINED.search(line)) for line in lines)
    assert chaos.failed <= explanations
    assert "fault of the local server itself" not in server.terminal
    chaos.edit()
    assert server.get("/my-endpoint?asked=last") == (200, [chaos.number, "last"])
    settled(lambda: descriptors(server) <= files)
    assert server.end() == 0
    assert os.listdir(tmp_path / "temporary") == []


def settled(true):
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def descriptors(server):
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def measured(server):
    """What the server has, when one environment is idle: memory in KB, threads, descriptors, processes."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    memory, threads = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("VmRSS", "Threads"))
    return memory, threads, descriptors(server), len(processes(server.project))


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="only /proc tells")
def test_soak_leaves_everything_as_it_was_after_the_first_thousand(serve, engine):
    """20,000 requests and 100 edits: memory, threads, descriptors and processes stay."""
    if engine == "containers":
        pytest.skip("the clients alone would take an hour")
    server = serve()
    number = 0

    def client(count):
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        for _ in range(count):
            oldest = number
            connection.request("GET", "/my-endpoint?asked=1")
            response = connection.getresponse()
            body = json.loads(response.read())
            assert (response.status, body[1]) == (200, "1") and oldest <= body[0] <= number + 1, body
        connection.close()

    def soak(requests, edits):
        nonlocal number
        with ThreadPoolExecutor(CLIENTS) as threads:
            going = [threads.submit(client, requests // CLIENTS) for _ in range(CLIENTS)]
            for _ in range(edits):
                server.save("src/lambda.py", GOOD.format(number=number + 1, sleep=0))
                number += 1
                assert server.get("/my-endpoint?asked=1") == (200, [number, "1"])
            for one in going:
                one.result()
        # One environment is left, of the newest code.
        server.save("src/lambda.py", GOOD.format(number=number + 1, sleep=0))
        number += 1
        server.get("/my-endpoint?asked=1")
        settled(lambda: len(processes(server.project)) == 2)
        time.sleep(0.2)
        return measured(server)

    server.save("src/lambda.py", GOOD.format(number=0, sleep=0))
    memory, threads, files, started = soak(1_000, 5)
    after = soak(19_000, 95)

    assert after[0] < memory + 4_096
    # A ThreadPoolExecutor starts its threads when it first needs them.
    assert after[1] <= max(threads, 1 + min(32, os.cpu_count() + 4))
    assert after[2:] == (files, started)
