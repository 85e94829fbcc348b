"""How fast ./run.sh is, beside what else serves such a function: .tools/bin/python local/tests/benchmark.py [--quick]

Starts all that it compares, each in a copy of the project: the engine "processes", the floor (AWS's emulator and
runtime client, asked directly), Flask's development server with the same answer and, where a container engine answers,
`sam local start-api` as AWS ships it. Rounds of requests go to all in turn, so that a noisy machine is noisy for all;
the figures are medians, and the ratios medians of the rounds' ratios.
"""

import contextlib
import http.client
import json
import os
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
TOOLS = ROOT / ".tools" / "bin"
EMULATOR = next((ROOT / ".tools").glob(f"lib/*/site-packages/samcli/local/rapid/aws-lambda-rie-{os.uname().machine}*"))
INVOKE = "/2015-03-31/functions/function/invocations"
QUICK = "--quick" in sys.argv
OFFLINE = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")

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
    """One way to serve the function: `command` starts it in its directory, and a round takes `requests` requests."""

    def __init__(
        self, name, command, requests, source=HANDLER, file="src/lambda.py", method="GET", path="/my-endpoint"
    ):
        self.name, self.command, self.requests = name, command, requests
        self.source, self.file, self.method, self.path = source, file, method, path
        self.directory = Path(tempfile.mkdtemp()) / "my-app"
        shutil.copytree(ROOT / "local" / "tests" / "project", self.directory)
        shutil.copytree(ROOT / "local", self.directory / "local", ignore=shutil.ignore_patterns("tests", "__pycache__"))
        for name in ("install.sh", "run.sh", "requirements.txt"):
            shutil.copy2(ROOT / name, self.directory)
        (self.directory / ".tools").symlink_to(ROOT / ".tools")
        subprocess.run([self.directory / "install.sh"], stderr=subprocess.DEVNULL, check=True)
        self.save(0)
        self.process = None

    def save(self, version):
        (self.directory / self.file).write_text(self.source.format(version=version))

    def start(self, **environment):
        """Seconds from the start to the first answer."""
        self.port = free_port()
        # A new machine, without AWS credentials, on which nothing waits for those of an EC2 instance.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        clean |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "HOME": tempfile.gettempdir()}
        started = time.perf_counter()
        self.process = subprocess.Popen(
            [str(part).format(port=self.port) for part in self.command],
            cwd=self.directory / "src" if self.name == "floor" else self.directory,
            env={**clean, "SAM_CLI_TELEMETRY": "0", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while self.ask() != (200, 0):
            time.sleep(0.01)
        return time.perf_counter() - started

    def starts(self, rounds, **environment):
        """The median of the seconds that `rounds` starts take; the last one goes on."""
        taken = []
        for _ in range(rounds):
            if self.process:
                self.stop()
            taken.append(self.start(**environment))
        return statistics.median(taken)

    def close(self):
        """Ends it, and removes its copy of the project, and containers that SAM CLI leaves when it ends among edits."""
        if self.process:
            self.stop()
        if shutil.which("docker"):
            mine = ["docker", "ps", "--all", "--quiet", "--filter", f"volume={self.directory / 'src'}"]
            for left in subprocess.run(mine, capture_output=True, text=True, check=False).stdout.split():
                subprocess.run(["docker", "rm", "--force", left], capture_output=True, check=False)
        shutil.rmtree(self.directory.parent)

    def stop(self):
        os.killpg(self.process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process = None

    def ask(self, query=""):
        """(status, version) of one request on a connection of its own; (0, None) when there is no answer."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            connection.request(self.method, self.path + query, b"{}" if self.method == "POST" else None)
            response = connection.getresponse()
            answer = json.loads(response.read())
            connection.close()
            if "body" in answer:  # the floor answers with what the function returns
                answer = json.loads(answer["body"])
            return response.status, answer.get("v")
        except (OSError, ValueError, http.client.HTTPException):
            return 0, None

    def times(self, count):
        """Sorted seconds of `count` requests, one after the other."""
        taken = []
        for _ in range(count):
            started = time.perf_counter()
            self.ask()
            taken.append(time.perf_counter() - started)
        return sorted(taken)

    def at_once(self, clients, each, query=""):
        """(seconds, failed) of `clients` clients with `each` requests each."""
        statuses = []
        threads = [
            threading.Thread(target=lambda: statuses.extend(self.ask(query)[0] for _ in range(each)))
            for _ in range(clients)
        ]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - started, sum(status != 200 for status in statuses)

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


def contestants():
    python = next((ROOT / ".tools" / "lambda").glob("python3.*/bin/python"))
    runtime_api = f"127.0.0.1:{free_port()}"
    floor = [EMULATOR, "--log-level", "error", "--runtime-interface-emulator-address", "127.0.0.1:{port}"]
    floor += ["--runtime-api-address", runtime_api, python, "-m", "awslambdaric", "lambda.handler"]
    sam = [TOOLS / "sam", "local", "start-api", "--port", "{port}", "--skip-pull-image", "--template", "template.yaml"]
    yield Served("./run.sh --no-docker", ["./run.sh", "--no-docker", "--port", "{port}"], 50)
    yield Served("floor", floor, 50, method="POST", path=INVOKE)
    yield Served("Flask, reloading", [TOOLS / "python", "app.py", "{port}"], 50, FLASK, "app.py")
    if (
        subprocess.run(["docker", "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
        == 0
    ):
        yield Served("sam local start-api", sam, 4)
        yield Served("… --warm-containers EAGER", [*sam, "--warm-containers", "EAGER"], 50)


def variants():
    """The engine with 1,000 files in src/, and with 50 functions in the template."""
    command = ["./run.sh", "--no-docker", "--port", "{port}"]
    files, functions = Served("1,000 files", command, 50), Served("50 functions", command, 50)
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


def ratio(rounds, one, other):
    return statistics.median(a / b for a, b in zip(rounds[one], rounds[other], strict=True))


def milliseconds(seconds):
    return f"{seconds * 1000:.{0 if seconds > 0.02 else 2}f} ms"


def main():
    served = list(contestants())
    engine, floor = served[0], served[1]
    warm = served[4] if len(served) > 4 else None
    others = variants()
    offline = Served("offline", engine.command, 0)
    rows = {}
    try:
        for one in [*served, *others]:
            rows[one.name] = [f"{one.starts(1 if QUICK else 3):.2f} s"]
        start_offline = offline.starts(2, **OFFLINE)
        offline.stop()

        p50, p95 = ({one.name: [] for one in [*served, *others]} for _ in range(2))
        for one in [*served, *others]:
            one.times(min(one.requests, 20))
        for _ in range(3 if QUICK else 9):
            for one in [*served, *others]:
                taken = one.times(one.requests)
                p50[one.name].append(statistics.median(taken))
                p95[one.name].append(taken[int(len(taken) * 0.95)])
        throughput, failures, eight = {one.name: [] for one in served}, 0, None
        for one in served:
            if one is floor:  # it serves one request at a time, and panics when a second overlaps
                continue
            one.at_once(16, 1, "?sleep=1")  # so that there are as many environments as clients
            for _ in range(1 if QUICK else 3):
                each = 40 if one.requests > 10 else 2
                seconds, failed = one.at_once(16, each)
                throughput[one.name].append(16 * each / seconds)
                failures += failed if one is engine else 0
        for one in served:
            rows[one.name] += [milliseconds(statistics.median(p[one.name])) for p in (p50, p95)]
            if one is floor:
                rows[one.name] += ["-", "-", "-", f"{one.memory():.0f} MB"]
                continue
            one.at_once(8, 1, "?sleep=1")
            sleeps, _ = one.at_once(8, 1, "?sleep=1")
            seconds, failed, stale = one.edits(50 if one is engine and not QUICK else 10)
            if one is engine:
                eight, edited = sleeps, (failed, stale)
            rows[one.name] += [
                f"{statistics.median(throughput[one.name]):.0f}/s",
                f"{milliseconds(seconds)}, {failed} failed, {stale} stale",
                f"{sleeps:.2f} s",
                f"{one.memory():.0f} MB",
            ]
    finally:
        for one in [*served, *others, offline]:
            one.close()

    print("| | start to first answer | p50 | p95 | 16 clients | edit to new answer | eight 1 s at once | memory |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for one in served:
        print(f"| {one.name} | {' | '.join(rows[one.name])} |")
    print()
    start = float(rows[engine.name][0].split()[0])
    checks = [
        ("p50, times the floor", ratio(p50, engine.name, floor.name), "<=", 2.5),
        ("failed of the requests of 16 clients", failures, "<=", 0),
        ("failed and stale answers to edits", sum(edited), "<=", 0),
        ("eight 1 s requests at once, s", eight, "<=", 1.5),
        ("start to first answer, s", start, "<=", 1.5),
        ("start to first answer without a network, s", start_offline, "<=", 1.5),
        ("p50 with 1,000 files in src/, times p50", ratio(p50, others[0].name, engine.name), "<=", 1.2),
        ("p50 with 50 functions, times p50", ratio(p50, others[1].name, engine.name), "<=", 1.2),
    ]
    if warm:
        rates = statistics.median(throughput[engine.name]) / statistics.median(throughput[warm.name])
        checks.insert(1, ("p50, times warm containers", ratio(p50, engine.name, warm.name), "<=", 0.2))
        checks.insert(2, ("throughput, times warm containers", rates, ">=", 6))
    for name, value, sign, bound in checks:
        met = value <= bound if sign == "<=" else value >= bound
        print(f"{'met    ' if met else 'NOT met'}  {name}: {value:.2f} ({sign} {bound})")


if __name__ == "__main__":
    main()
