"""Many things at once, for a long time: nothing is wrong, unanswered or left over."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from docker.constants import DEFAULT_NUM_POOLS
from server import containers, processes

CLIENTS = 8
# Seconds, requests and edits, each at least; and the requests after which nothing grows any more. FAULTS=all is longer.
ALL = os.environ.get("FAULTS") == "all"
SOAK = (20_000, 100) if ALL else (2_000, 10)
LASTING = {"processes": (60, *SOAK), "containers": (10, 3 * CLIENTS, 3)}
FIRST = {"processes": 1_000, "containers": CLIENTS}
# Requests between two edits and between two kills, on average.
EVERY = {"processes": (150, 150), "containers": (4, 8)}
# Seconds that a client rests between two requests, so that a minute leaves the processors to the tests beside it.
RESTS = (0,) if ALL else (0, 0, 0, 0.5)

# Answers with the number of its edit, and with what was asked.
GOOD = """
import json, time
def handler(event, context):
    asked = event["queryStringParameters"]["asked"]
    time.sleep({sleep})
    return {{"statusCode": 200, "body": json.dumps([{number}, asked])}}
"""
# The reason for a 502 in the line of the request.
BROKEN = {
    "def handler(event, context)\n": "Runtime.UserCodeSyntaxError: Syntax error in module 'lambda': expected ':'.*",
    "import no_such_module\n": "Runtime.ImportModuleError: .* No module named 'no_such_module'",
    "1 / 0\n": "ZeroDivisionError: division by zero",
    "def handler(event, context):\n    raise ValueError(7)\n": "ValueError: 7",
    "def handler(event, context):\n    return {'statusCode': 1000}\n": "malformed answer: statusCode is 1000; .*",
    "import os\ndef handler(event, context):\n    os._exit(3)\n": "Runtime.ExitError: .*exit status 3",
}
KILLED = "Runtime.ExitError: Runtime exited .*"
# A container that is killed, or whose folder goes away, while the engine starts it.
NOT_STARTED = "MyFunction cannot run: the container engine failed: .*/start: .*"
AWAY = ".*(src, which does not exist|No such file or directory.*|No module named 'lambda'|src' does not exist.*)"
LINE = re.compile(r"^\d\d:\d\d:\d\d GET /my-endpoint\?asked=(\S+) (\d+) \d+ ms(?:, init \d+ ms)?(?:: (.*))?$", re.M)


class Chaos:
    """Clients that send requests, somebody who edits, and somebody who kills."""

    def __init__(self, server):
        self.server = server
        self.number = 0
        self.reasons = {}  # by number of an edit, the reason why a request fails with it
        self.answers = {}  # by what was asked: the oldest and the newest edit, and what came back

    def edit(self, good=True):
        """Saves the next version; while that goes on, the one before counts as well."""
        number = self.number + 1
        source = GOOD.format(number=number, sleep=random.choice((0, 0, 0, 0.01))) if good else random.choice([*BROKEN])
        self.reasons[number] = BROKEN.get(source)
        self.server.save("src/lambda.py", source)
        self.number = number

    def client(self, own, done):
        connection = None
        while not done.is_set():
            oldest, asked = self.number, f"{own}-{len(self.answers)}-{time.monotonic_ns()}"
            connection = connection or socket.create_connection(("127.0.0.1", self.server.port), timeout=60)
            status, body = ask(connection, f"/my-endpoint?asked={asked}")
            self.answers[asked] = (oldest, self.number + 1, status, body)
            if random.random() < 0.1:
                connection = connection.close()  # the next request opens another one
            done.wait(random.choice(RESTS))

    def asked(self, done, about):
        """Waits for about so many answers, on a slow machine as on a fast one; false when it is over."""
        until = len(self.answers) + random.uniform(0, 2 * about)
        while not done.wait(0.01) and len(self.answers) < until:
            pass
        return not done.is_set()

    def editor(self, done):
        while self.asked(done, EVERY[self.server.engine][0]):
            self.edit(good=random.random() < 0.8)
            if random.random() < 0.1:
                source, away = self.server.project / "src", self.server.project / "away"
                source.rename(away)
                done.wait(0.02)
                away.rename(source)

    def killer(self, done):
        """Kills something that the server has started, or stops it for a moment."""
        while self.asked(done, EVERY[self.server.engine][1]):
            started = [pid for pid in processes(self.server.project) if pid != self.server.pid]
            with contextlib.suppress(ProcessLookupError):
                if started and random.random() < 0.8:
                    os.kill(random.choice(started), signal.SIGKILL)
                elif started:
                    stopped = random.choice(started)
                    os.kill(stopped, signal.SIGSTOP)
                    done.wait(0.1)
                    os.kill(stopped, signal.SIGCONT)
            if self.server.engine == "containers" and random.random() < 0.3:
                with contextlib.suppress(Exception):  # it has ended already
                    containers(self.server.project)[0].kill()

    def last(self, seconds=0, requests=0, edits=0):
        """Goes on until all of this has passed, and then until nothing but one environment of good code is left."""
        done, deadline = threading.Event(), time.monotonic() + seconds
        with ThreadPoolExecutor(CLIENTS + 2) as threads:
            going = [threads.submit(self.client, own, done) for own in range(CLIENTS)]
            going += [threads.submit(self.editor, done), threads.submit(self.killer, done)]
            while time.monotonic() < deadline or len(self.answers) < requests or self.number < edits:
                if any(one.done() for one in going):
                    break
                time.sleep(0.05)
            done.set()
        for one in going:
            one.result()
        settled(self.rested)

    def rested(self):
        """Whether one environment is left after another edit, which ends what was still about to start before."""
        self.edit()
        assert self.server.get("/my-endpoint?asked=last") == (200, [self.number, "last"])
        time.sleep(0.3)
        return self.server.engine == "containers" or len(processes(self.server.project)) == 2

    def unexplained(self):
        """The requests whose answer cannot be, or whose own line in the terminal does not say the same, and why."""
        lines = {asked: (int(status), reason) for asked, status, reason in LINE.findall(self.server.terminal)}
        return {
            asked: (answer, lines.get(asked))
            for asked, answer in self.answers.items()
            if not self.explained(asked, *answer, *lines.get(asked, (0, "")))
        }

    def explained(self, asked, oldest, newest, status, body, said, reason):
        if said != status:
            return False
        if status == 200:
            return body[1] == asked and oldest <= body[0] <= newest and not reason
        broken = [self.reasons.get(number) for number in range(oldest, newest + 1)]
        wrong = filter(None, [KILLED, NOT_STARTED, AWAY, *broken])
        expected = (502, {"message": "Internal server error"})
        return (status, body) == expected and any(re.fullmatch(one, reason) for one in wrong)


def ask(connection, path):
    """(status, body); http.client would take most of the time."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    with connection.makefile("rb") as answer:
        status = int(answer.readline().split()[1])
        lengths = [int(line[15:]) for line in iter(answer.readline, b"\r\n") if line.startswith(b"Content-Length:")]
        return status, json.loads(answer.read(*lengths))


def test_chaos_gives_no_wrong_answer_explains_every_failure_and_leaves_nothing(serve, engine, tmp_path):
    """A soak as well: memory, threads, descriptors and processes stay as they were after the first thousand."""
    (tmp_path / "temporary").mkdir()
    server = serve(environment={"TMPDIR": str(tmp_path / "temporary")})
    chaos = Chaos(server)
    chaos.edit()
    server.ask("/my-endpoint?asked=first")
    files = paths(server.project)

    begun = time.monotonic()
    chaos.last(requests=FIRST[engine])
    before = measured(server)
    seconds, requests, edits = LASTING[engine]
    chaos.last(begun + seconds - time.monotonic(), requests, edits)

    assert chaos.unexplained() == {}
    assert "error in the local server itself" not in server.terminal
    memory, threads, descriptors, started = measured(server)
    if engine == "processes":
        assert (descriptors, started) == (before[2], before[3])
        assert memory < before[0] + 4_096
        # A ThreadPoolExecutor starts its threads when it first needs them.
        assert threads <= max(before[1], 1 + min(32, os.cpu_count() + 4))
    else:  # which keeps connections of each of two clients of the engine
        settled(lambda: measured(server)[2] <= before[2] + 2 * DEFAULT_NUM_POOLS)
    assert server.end() == 0
    assert os.listdir(tmp_path / "temporary") == []
    assert paths(server.project) == files


def settled(true):
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def paths(project):
    """What there is in the project; without .tools, which is a link."""
    return sorted(os.path.join(place, name) for place, *names in os.walk(project) for name in sum(names, []))


def measured(server):
    """What the server has: memory in KB, threads, descriptors, processes."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    memory, threads = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("VmRSS", "Threads"))
    return memory, threads, len(os.listdir(f"/proc/{server.pid}/fd")), len(processes(server.project))
