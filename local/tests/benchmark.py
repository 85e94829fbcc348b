"""How fast ./run.sh is, compared with other ways to serve such a function.

Usage: .tools/bin/python local/tests/benchmark.py [--quick] [--against DIRECTORY]

Starts all that it compares, each in its own copy of the project: the engine "processes", the floor (AWS's emulator and
runtime client, asked directly), Flask's development server with the same answer and, where a container engine answers,
`sam local start-api` as AWS ships it; with --against, ./run.sh of another checkout, in which ./install.sh has run.
Rounds of requests go to all, in another order each time, so that noise on the machine and what ran just before affect
all; the figures are medians, and the ratios are medians of the rounds' ratios.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".tools"
EMULATOR = next(TOOLS.glob(f"lib/*/site-packages/samcli/local/rapid/aws-lambda-rie-{os.uname().machine}*"))
INVOKE = "/2015-03-31/functions/function/invocations"
OFFLINE = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
OURS = ["./run.sh", "--no-docker", "--port", "{port}"]

HANDLER = """import json, time
VERSION = {version}
def handler(event, context):
    if (event.get("queryStringParameters") or {{}}).get("sleep"):
        time.sleep(1)
    body = json.dumps({{"v": VERSION}})
    return {{"statusCode": 200, "headers": {{"Content-Type": "application/json"}}, "body": body}}
"""
FLASK = """import flask, sys, time
VERSION = {version}
app = flask.Flask(__name__)
@app.get("/my-endpoint")
def answer():
    if flask.request.args.get("sleep"):
        time.sleep(1)
    return {{"v": VERSION}}
if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True, use_reloader=True)
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Served:
    """One way to serve the function: `command` starts it in a copy of the project, made from the checkout `root`.

    A round has `requests` requests; `at_once` says whether it serves more than one at a time, `environment` has its
    variables besides a new machine's.
    """

    source, file, method, path = HANDLER, "src/lambda.py", "GET", "/my-endpoint"
    at_once = True

    def __init__(self, name, command, requests, root=ROOT, **environment):
        self.name, self.command, self.requests, self.environment = name, command, requests, environment
        self.directory = Path(tempfile.mkdtemp()) / "my-app"
        shutil.copytree(ROOT / "local" / "tests" / "project", self.directory)
        shutil.copytree(root / "local", self.directory / "local", ignore=shutil.ignore_patterns("tests", "__pycache__"))
        shutil.copytree(root / "tests", self.directory / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        for script in ("install.sh", "run.sh", "requirements.txt"):
            shutil.copy2(root / script, self.directory)
        for tools in (".tools", ".venv"):
            if (root / tools).exists():
                (self.directory / tools).symlink_to(root / tools)
        self.process = None
        self.save(0)

    def save(self, version):
        (self.directory / self.file).write_text(self.source.format(version=version))

    def start(self, **environment):
        """Seconds from the start to the first answer."""
        self.port = free_port()
        # A new machine, without AWS credentials, on which nothing waits for those of an EC2 instance.
        unset = ("AWS_", "PYTHONDONTWRITEBYTECODE")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
        clean |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "HOME": tempfile.gettempdir()}
        started = time.perf_counter()
        self.process = subprocess.Popen(
            [str(part).format(port=self.port) for part in self.command],
            cwd=self.directory,
            env={**clean, "SAM_CLI_TELEMETRY": "0", **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while self.ask() != (200, 0):
            time.sleep(0.01)
        return time.perf_counter() - started

    def starts(self, rounds, **environment):
        """The median of the seconds that `rounds` starts take; the last one keeps running."""
        taken = []
        for _ in range(rounds):
            self.stop()
            taken.append(self.start(**environment))
        return statistics.median(taken)

    def close(self):
        """Ends it, and removes its copy of the project, and containers that SAM CLI leaves if it ends during edits."""
        self.stop()
        if shutil.which("docker"):
            mine = ["docker", "ps", "--all", "--quiet", "--filter", f"volume={self.directory / 'src'}"]
            for left in subprocess.run(mine, capture_output=True, text=True, check=False).stdout.split():
                subprocess.run(["docker", "rm", "--force", left], capture_output=True, check=False)
        shutil.rmtree(self.directory.parent)

    def stop(self):
        if not self.process:
            return
        os.killpg(self.process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process = None

    def ask(self, query="", connection=None):
        """(status, version) of one request, on its own connection unless one is given; (0, None) without an answer."""
        try:
            used = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            used.request(self.method, self.path + query, b"{}" if self.method == "POST" else None)
            response = used.getresponse()
            answer = json.loads(response.read())
            if not connection:
                used.close()
            if "body" in answer:  # the floor answers with what the function returns
                answer = json.loads(answer["body"])
            return response.status, answer.get("v")
        except (OSError, ValueError, http.client.HTTPException):
            return 0, None

    def times(self, count, kept=False):
        """Sorted seconds of `count` requests, one after the other, on one connection if `kept`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60) if kept else None
        taken = []
        for _ in range(count):
            started = time.perf_counter()
            self.ask(connection=connection)
            taken.append(time.perf_counter() - started)
        if connection:
            connection.close()
        return sorted(taken)

    def load(self, clients, each, query=""):
        """(requests a second, p99 in seconds, failed) of `clients` clients with `each` requests each."""
        taken, failed = [], []

        def client():
            for _ in range(each):
                started = time.perf_counter()
                if self.ask(query)[0] != 200:
                    failed.append(started)
                taken.append(time.perf_counter() - started)

        threads = [threading.Thread(target=client) for _ in range(clients)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rate = len(taken) / (time.perf_counter() - started)
        return rate, sorted(taken)[int(len(taken) * 0.99)], len(failed)

    def edits(self, count):
        """(median seconds from a save to the new answer, failed, stale): the second half of the saves is under load."""
        self.saved, failed, stale, taken, leaving = 0, [], [], [], threading.Event()

        def judge(before, answer):
            (failed if answer[0] != 200 else stale if answer[1] < before else []).append(answer)

        def load():
            while not leaving.is_set():
                judge(self.saved, self.ask())

        clients = [threading.Thread(target=load) for _ in range(4)]
        for version in range(1, count + 1):
            if version == count // 2 + 1:
                for client in clients:
                    client.start()
            self.save(version)
            self.saved = version
            started = time.perf_counter()
            judge(version, answer := self.ask())
            while answer[1] != version and time.perf_counter() < started + 10:
                answer = self.ask()
            taken.append(time.perf_counter() - started)
        leaving.set()
        for client in clients:
            client.join()
        return statistics.median(taken), len(failed), len(stale)

    def memory(self):
        """Megabytes (proportional set size) of the process and all below it; containers are not below it."""
        parents = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        family = {self.process.pid}
        while more := {child for child, parent in parents.items() if parent in family} - family:
            family |= more
        total = 0
        for member in family:
            with contextlib.suppress(OSError):
                rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
                total += int(rollup.split("\nPss:")[1].split()[0])
        return total / 1024


class Floor(Served):
    """AWS's emulator and runtime client alone: one request at a time, and it panics when a second one overlaps."""

    method, path, at_once = "POST", INVOKE, False

    def start(self, **environment):
        python = next((TOOLS / "lambda").glob("python3.*/bin/python"))
        addresses = ["--runtime-interface-emulator-address", "127.0.0.1:{port}"]
        addresses += ["--runtime-api-address", f"127.0.0.1:{free_port()}"]
        runtime = [python, "-m", "awslambdaric", "lambda.handler"]
        self.command = ["sh", "-c", 'cd src && exec "$@"', "sh", EMULATOR, "--log-level", "error", *addresses, *runtime]
        return super().start(**environment)


class Flask(Served):
    source, file = FLASK, "app.py"


def contestants(against):
    sam = [TOOLS / "bin" / "sam", "local", "start-api", "--port", "{port}", "--skip-pull-image"]
    sam += ["--template", "template.yaml"]
    yield Served("./run.sh --no-docker", OURS, 50)
    yield Floor("floor", [], 50)
    yield Flask("Flask, reloading", [TOOLS / "bin" / "python", "app.py", "{port}"], 50)
    if against:
        yield Served("./run.sh before", OURS, 50, against.resolve())
    if not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        warm = [*sam, "--warm-containers", "EAGER"]
        yield Served("sam local start-api", sam, 4)
        yield Served("… --warm-containers EAGER", warm, 50)
        yield Served("… with AWS credentials", warm, 50, **CREDENTIALS)


def variants():
    """The engine with 1,000 files in src/, and with 50 functions in the template."""
    files, functions = Served("1,000 files", OURS, 50), Served("50 functions", OURS, 50)
    for number in range(1000):
        file = files.directory / "src" / f"package{number // 50}" / f"module{number}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text("VALUE = 1\n")
    template = functions.directory / "template.yaml"
    more = "".join(
        f"  More{number}: {{Type: AWS::Serverless::Function, Properties: {{CodeUri: src/, Handler: lambda.handler, "
        f"Events: {{Get: {{Type: Api, Properties: {{Path: /more{number}, Method: GET}}}}}}}}}}\n"
        for number in range(49)
    )
    template.write_text(template.read_text().replace("Resources:\n", "Resources:\n" + more))
    return files, functions


class Figures:
    """What was measured of one contestant."""

    def __init__(self):
        self.start = self.p99 = self.idle = self.busy = self.edit = self.eight = 0.0
        self.new, self.kept, self.rates = [], [], []
        self.failed, self.edited = 0, ""


def crowd(one, figures):
    """16 clients at once."""
    rate, p99, failed = one.load(16, 60 if one.requests > 10 else 2)
    figures.p99 = figures.p99 or p99  # of the first seconds
    figures.rates.append(rate)
    figures.failed += failed


def measure(one, figures, quick, thorough):
    """What is measured of one after the other."""
    figures.busy = one.memory()
    one.load(8, 1, "?sleep=1")
    started = time.perf_counter()
    one.load(8, 1, "?sleep=1")
    figures.eight = time.perf_counter() - started
    figures.edit, failed, stale = one.edits(50 if thorough and not quick else 10)
    figures.edited = f"{failed} failed, {stale} stale"


def shuffled(contestants):
    return random.sample(contestants, len(contestants))


def ratio(one, other):
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def milliseconds(seconds):
    return f"{seconds * 1000:.{0 if seconds > 0.02 else 2}f} ms"


def table(served, found):
    names = ["start to first answer", "p50", "p50 kept alive", "16 clients", "their p99", "edit to new answer"]
    names += ["eight 1 s at once", "memory idle", "with 16 clients"]
    yield f"| | {' | '.join(names)} |"
    yield "| --- " * (len(names) + 1) + "|"
    for one in served:
        of = found[one.name]
        row = [f"{of.start:.2f} s", milliseconds(statistics.median(of.new)), milliseconds(statistics.median(of.kept))]
        if one.at_once:
            rate = f"{statistics.median(of.rates):.0f}/s"
            row += [rate, milliseconds(of.p99), f"{milliseconds(of.edit)}, {of.edited}"]
            row += [f"{of.eight:.2f} s", f"{of.idle:.0f} MB", f"{of.busy:.0f} MB"]
        else:
            row += ["-", "-", "-", "-", f"{of.idle:.0f} MB", "-"]
        yield f"| {one.name} | {' | '.join(row)} |"


def checks(found, others, starts):
    ours, floor, flask = found["./run.sh --no-docker"], found["floor"], found["Flask, reloading"]
    yield "p50, times the floor", ratio(ours.new, floor.new), "<=", 1.1
    yield "16 clients, times Flask", ratio(ours.rates, flask.rates), ">=", 1.5
    yield "failed of the requests of 16 clients", ours.failed, "<=", 0
    yield "p99 of the first requests of 16 clients, ms", ours.p99 * 1000, "<=", 60
    yield "failed and stale answers to edits", sum(int(word) for word in ours.edited.split() if word.isdigit()), "<=", 0
    yield "eight 1 s requests at once, s", ours.eight, "<=", 1.1
    for name, seconds in starts.items():
        yield f"start to first answer, {name}, s", seconds, "<=", 0.8
    for name, figures in others.items():
        yield f"p50 with {name}, times p50", ratio(figures.new, ours.new), "<=", 1.2
    if before := found.get("./run.sh before"):
        yield "start to first answer, times that before", ours.start / before.start, "<=", 1
        yield "p50 kept alive, times that before", ratio(ours.kept, before.kept), "<=", 0.5
        yield "p50, times that before", ratio(ours.new, before.new), "<=", 1
        yield "16 clients, times those before", ratio(ours.rates, before.rates), ">=", 1
        yield "memory idle, times that before", ours.idle / before.idle, "<=", 1
        yield "memory with 16 clients, times that before", ours.busy / before.busy, "<=", 1
    for name in ("… --warm-containers EAGER", "… with AWS credentials"):
        if warm := found.get(name):
            yield f"p50, times {name}", ratio(ours.new, warm.new), "<=", 0.1
            yield f"16 clients, times {name}", ratio(ours.rates, warm.rates), ">=", 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds and edits")
    parser.add_argument("--against", type=Path, metavar="DIRECTORY", help="another checkout, with its tools")
    options = parser.parse_args()
    served = list(contestants(options.against))
    others = variants()
    bare = Served("bare", OURS, 0)
    found = {one.name: Figures() for one in [*served, *others]}
    rounds = 1 if options.quick else 3
    try:
        for one in [*served, *others]:
            one.start()  # whatever is installed or compiled at a first start
            found[one.name].start = one.starts(rounds)
        bare.start()
        starts = {
            "online": found[served[0].name].start,
            "offline": bare.starts(rounds, **OFFLINE),
            "PYTHONDONTWRITEBYTECODE": bare.starts(rounds, PYTHONDONTWRITEBYTECODE="1"),
        }
        bare.stop()
        for one in [*served, *others]:
            one.times(min(one.requests, 20))
        for _ in range(5 if options.quick else 9):
            for one in shuffled([*served, *others]):
                found[one.name].new.append(statistics.median(one.times(one.requests)))
                found[one.name].kept.append(statistics.median(one.times(one.requests, kept=True)))
        for one in served:
            found[one.name].idle = one.memory()
        at_once = [one for one in served if one.at_once]
        for number in range(5 if options.quick else 9):
            for one in shuffled(at_once):
                if not number or one.requests > 10:  # a start for each request takes long enough once
                    crowd(one, found[one.name])
        for one in at_once:
            measure(one, found[one.name], options.quick, thorough=one is served[0])
    finally:
        for one in [*served, *others, bare]:
            one.close()
    print(*table(served, found), "", sep="\n")
    for name, value, sign, bound in checks(found, {one.name: found[one.name] for one in others}, starts):
        met = value <= bound if sign == "<=" else value >= bound
        print(f"{'met    ' if met else 'NOT met'}  {name}: {value:.2f} ({sign} {bound})")


if __name__ == "__main__":
    sys.exit(main())
