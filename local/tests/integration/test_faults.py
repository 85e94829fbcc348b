"""Faults: each may cost a request, is reported in the terminal, and leaves nothing; the next request works."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import warm
from index import Index
from server import Server, answering, assert_nothing_left, cold, command, kill, limited, only_processes, processes
from test_front import GET, exchange

ROOT = Path(__file__).parents[3]
HELLO = (200, {"message": "Hello from Lambda"})
FAILED = (502, {"message": "Internal server error"})

engine = only_processes


def returning(answer):
    return f"def handler(event, context):\n    return {answer!r}\n"


def abcdef(status=200, **headers):
    return {"statusCode": status, "headers": headers, "body": "abcdef"}


WRONG = (502, {}, b'{"message": "Internal server error"}')
ALONE = (200, {}, b"abcdef")

# Name: (what the handler returns, what of it arrives, what the terminal says). Malformed answers:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html; the headers that
# are renamed: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html; statuses
# without a body: RFC 9110, sections 15.3.5 and 15.4.5.
ANSWERS = {
    "CR and LF in a value": (abcdef(X="a\r\nY: b"), WRONG, "the header X has a line feed"),
    "LF in a value": (abcdef(X="a\nb"), WRONG, "the header X has a line feed"),
    "NUL in a value": (abcdef(X="a\0b"), WRONG, "the header X has a line feed or another control character"),
    "LF in the type": (abcdef(**{"Content-Type": "a\nb"}), WRONG, "the header Content-Type has a line feed"),
    "LF in one of several": ({"multiValueHeaders": {"X": ["a", "b\nc"]}}, WRONG, "the header X has a line feed"),
    "CR and LF in a name": (abcdef(**{"X\r\nY": "b"}), WRONG, '"X\\r\\nY" is not a valid header name'),
    "a name that is no token": (abcdef(**{"X Y": "b"}), WRONG, '"X Y" is not a valid header name'),
    "an empty name": (abcdef(**{"": "b"}), WRONG, '"" is not a valid header name'),
    "a length that is too small": (
        abcdef(**{"Content-Length": "3"}),
        (200, {"x-amzn-remapped-content-length": "3"}, b"abcdef"),
        "Content-Length as x-amzn-Remapped-Content-Length",
    ),
    "a length that is too large": (
        abcdef(**{"content-length": "300"}),
        (200, {"x-amzn-remapped-content-length": "300"}, b"abcdef"),
        "content-length as x-amzn-Remapped-content-length",
    ),
    "chunks": (abcdef(**{"Transfer-Encoding": "chunked"}), ALONE, "does not send the function's header Transfer-Enc"),
    "an end of the connection": (
        abcdef(Connection="close"),
        (200, {"x-amzn-remapped-connection": "close"}, b"abcdef"),
        "Connection as x-amzn-Remapped-Connection",
    ),
    "beyond latin-1": (abcdef(X="a\u20acb"), (200, {"x": "a?b"}, b"abcdef"), "sent as question marks"),
    **{
        f"status {status}": (abcdef(status), WRONG, f"statusCode is {json.dumps(status)}")
        for status in (99, 100, 101, 199, 600, 1000, -200, 10**30, True, "abc", 200.5)
    },
    "no content": (abcdef(204), (204, {}, b""), "status 204 has no body"),
    "not modified": (abcdef(304), (304, {}, b""), "status 304 has no body"),
}


@pytest.fixture(scope="module")
def any_method(new_project, developer):
    project = new_project()
    template = project / "template.yaml"
    template.write_text(template.read_text().replace("Method: GET", "Method: ANY"))
    running = Server(project, "processes", developer)
    yield running
    running.kill()


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_of_the_handler_never_mixes_with_another(any_method, name):
    """The third and the fifth of five on one connection are answers to HEAD, with the length and without the bytes."""
    answer, (status, headers, body), told = ANSWERS[name]
    any_method.save("src/lambda.py", returning(answer))

    requests = [b"GET", b"GET", b"HEAD", b"POST", b"HEAD"]
    sent = b"".join(GET.replace(b"GET", method, 1) + b"\r\n" for method in requests)
    answers = exchange(any_method.port, sent, requests)

    assert [(answer[0], answer[2]) for answer in answers] == [
        (status, b"" if method == b"HEAD" else body) for method in requests
    ]
    assert answers.pop()[1]["connection"] == "close"
    for _, received, _ in answers:
        assert headers.items() <= received.items()
        assert not {"transfer-encoding", "connection"} & received.keys()
        assert received.get("content-length") == (None if status in (204, 304) else str(len(body)))
    assert any_method.says(told)
    if status == 502:  # each failure is explained, not only the first of its kind
        assert any_method.terminal.count(told) >= len(requests)
    any_method.save("src/lambda.py", returning(abcdef()))
    assert any_method.ask().content == b"abcdef"


def fifo(file):
    file.unlink(missing_ok=True)
    os.mkfifo(file)


def directory(file):
    file.unlink(missing_ok=True)
    file.mkdir()


def bound(file):
    os.mknod(file, stat.S_IFSOCK | 0o600)


def many(place):
    for number in range(200):
        below = place / str(number)
        below.mkdir(parents=True)
        for name in range(100):
            (below / f"{name}.py").touch()


def unreadable(file):
    file.parent.mkdir(exist_ok=True)
    file.touch()
    file.chmod(0)


def link(to):
    def make(file):
        file.unlink(missing_ok=True)
        file.symlink_to(to)

    return make


def text(content):
    return lambda file: file.write_bytes(content)


CANNOT = "MyFunction cannot run: "

# Name: (the file in src/, what it becomes, the answer, what the terminal says).
FILES = {
    "a symlink to itself": ("loop", link("loop"), HELLO, ""),
    "a symlink to its directory": ("loop", link("."), HELLO, ""),
    "a symlink to above": ("loop", link(".."), HELLO, ""),
    "a symlink to nothing": ("loop", link("/no/such/file"), HELLO, ""),
    "a FIFO": ("fifo", fifo, HELLO, ""),
    "a socket": ("socket", bound, HELLO, ""),
    "20,000 files": ("many", many, HELLO, ""),
    "an unreadable file": ("other.py", unreadable, HELLO, ""),
    "an unreadable directory": ("other", lambda place: place.mkdir(0), HELLO, ""),
    "a handler that is unreadable": ("lambda.py", unreadable, FAILED, "Permission denied: '.*/src/lambda.py'"),
    "a handler that is a FIFO": ("lambda.py", fifo, FAILED, "No module named 'lambda'"),
    "a handler that is a directory": ("lambda.py", directory, FAILED, "No module named 'lambda'"),
    "a handler that is no text": ("lambda.py", text(b"\xff\xfe\0"), FAILED, "Syntax error in module 'lambda'"),
    "requirements that are unreadable": (
        *("requirements.txt", unreadable, FAILED),
        f"{CANNOT}cannot read .*/src/requirements.txt: .*Permission denied",
    ),
    "requirements that are a FIFO": (
        *("requirements.txt", fifo, FAILED),
        CANNOT + "src/requirements.txt is not a file",
    ),
    "requirements that are a directory": (
        *("requirements.txt", directory, FAILED),
        CANNOT + "src/requirements.txt is not a file",
    ),
    "requirements that are no text": (
        *("requirements.txt", text(b"\xff\xfe\0"), FAILED),
        f"{CANNOT}src/requirements.txt is not UTF-8; convert it: iconv -f UTF-16 ",
    ),
    "requirements that name themselves": (
        *("requirements.txt", text(b"-r requirements.txt\n"), FAILED),
        f"{CANNOT}cannot read .*/src/requirements.txt: .*recursion",
    ),
    "src/ that is gone": (".", shutil.rmtree, FAILED, CANNOT + "the template names .*/src, which does not exist"),
    "src/ that is a file": (
        *(".", lambda place: (shutil.rmtree(place), place.touch()), FAILED),
        CANNOT + "the template names .*/src, which does not exist",
    ),
    "src/ that is unreadable": (".", lambda place: place.chmod(0), FAILED, CANNOT + ".*Permission denied: '.*/src[/']"),
}


@pytest.fixture(scope="module")
def unprivileged(new_project, developer):
    """A server that cannot read what the mode of a file denies, even if root runs it."""
    project = cold(new_project())
    if os.getuid() == 0:
        drop = "exec setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-all --"
        script = (project / "run.sh").read_text()
        assert "exec .tools/bin/python -m local" in script
        (project / "run.sh").write_text(
            script.replace("exec .tools/bin/python -m local", f"{drop} .tools/bin/python -m local")
        )
    running = Server(project, "processes", developer)
    yield running
    running.kill()


@pytest.mark.parametrize("name", FILES)
def test_odd_file_is_served_or_named_in_a_line(unprivileged, name):
    file, become, answer, told = FILES[name]
    source, kept = unprivileged.project / "src", unprivileged.project / "kept"
    shutil.copytree(source, kept)
    unprivileged.get()
    unprivileged.begin()
    try:
        become(source / file)

        assert [unprivileged.get(timeout=30) for _ in range(2)] == [answer] * 2
        assert re.search(told, unprivileged.terminal), unprivileged.terminal
        assert "fault of the local server itself" not in unprivileged.terminal
    finally:
        subprocess.run(["rm", "-rf", source], check=True)
        kept.rename(source)
    assert unprivileged.get() == HELLO
    unprivileged.save("src/lambda.py", answering("'edited'"))
    assert unprivileged.get() == (200, "edited")
    unprivileged.restore()


def test_network_that_fails_within_a_package_is_said_and_costs_no_more_than_that(serve, tmp_path):
    index = Index()
    server = serve(environment={"UV_INDEX": index.url, "UV_CACHE_DIR": str(tmp_path / "cache")})
    assert server.get() == HELLO

    server.save("src/requirements.txt", f"halfway!=0.{time.time_ns()}\n")  # never installed before

    assert server.get() == FAILED
    assert server.says("; check the network (or the proxy: HTTPS_PROXY), then save a file of the function\n")
    index.broken = False
    server.save("src/lambda.py", answering("halfway.__name__", "import halfway"))
    assert server.get() == (200, "halfway")
    index.close()


def test_mode_that_is_put_right_is_enough(unprivileged):
    handler = unprivileged.project / "src" / "lambda.py"
    unreadable(handler)
    assert unprivileged.get() == FAILED

    handler.chmod(0o644)

    assert unprivileged.get() == HELLO


def test_branches_that_are_switched_under_load_are_each_served(serve):
    server = serve()
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "init.defaultBranch=first"]

    def run(*arguments):
        subprocess.run([*git, *arguments], cwd=server.project, check=True, capture_output=True)

    run("init")
    server.save("src/lambda.py", answering("['first', os.environ['MESSAGE']]"))
    run("add", "src", "template.yaml")
    run("commit", "--message", "first")
    run("checkout", "-b", "second")
    server.save("src/lambda.py", answering("['second', module.VALUE]", "from more import module"))
    server.save("src/more/module.py", "VALUE = 1\n")
    run("add", "src", "template.yaml")
    run("commit", "--message", "second")
    expected = {"first": (200, ["first", "Hello from Lambda"]), "second": (200, ["second", 1])}
    done, answers = threading.Event(), []

    def client():
        while not done.is_set():
            answers.append(server.get())

    with ThreadPoolExecutor(4) as clients:
        for _ in range(4):
            clients.submit(client)
        for number in range(10):
            branch = ("first", "second")[number % 2]
            run("checkout", branch)
            assert server.get() == expected[branch]
        done.set()
    # In the middle of a switch a module may be missing.
    assert [answer for answer in answers if answer not in (*expected.values(), FAILED)] == []


# What a daemon does: it leaves session, group, parent and directory.
DAEMON = """
import os
def handler(event, context):
    reading, writing = os.pipe()
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.chdir("/")
            os.write(writing, str(os.getpid()).encode())
            os.execlp("sleep", "sleep", "300")
        os._exit(0)
    os.wait()
    return {"statusCode": 200, "body": os.read(reading, 99).decode()}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells")
@pytest.mark.parametrize("end", ["save", signal.SIGINT, signal.SIGHUP, signal.SIGKILL], ids=str)
def test_daemon_of_the_handler_ends(serve, end):
    server = serve()
    server.save("src/lambda.py", DAEMON)
    daemon = server.get()[1]
    assert running(daemon)

    if end == "save":
        server.save("src/lambda.py", answering("1"))
        assert server.get() == (200, 1)
    else:
        os.kill(server.pid, end)

    deadline = time.monotonic() + 5
    while running(daemon):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def running(pid):
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    return False


@pytest.fixture
def jump(tmp_path):
    """Makes the clock of processes with its `environment` jump back and forth: +5h, -5h, +0."""
    requirements = (ROOT / "local" / "tests" / "requirements.txt").read_text()
    (pin,) = re.findall(r"^(libfaketime==\S+);", requirements, re.MULTILINE)
    place = ["--target", tmp_path / "faketime"]
    subprocess.run([ROOT / ".tools" / "bin" / "uv", "pip", "install", "--quiet", *place, pin], check=True)
    (library,) = (tmp_path / "faketime").rglob("libfaketime.so.1")
    stamp = tmp_path / "stamp"

    def by(offset):
        (tmp_path / "new").write_text(offset)
        (tmp_path / "new").rename(stamp)

    by("+0")
    by.environment = {
        **{"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(stamp), "FAKETIME_NO_CACHE": "1"},
        **{"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"},
    }
    return by


@pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is loaded in another way there")
def test_clock_that_jumps_changes_nothing(serve, project, jump):
    """The time limit of a running invoke, a save, and the next request."""
    cold(project)
    server = serve(environment=jump.environment)
    server.replace("template.yaml", "Timeout: 10", "Timeout: 1")
    for offset, hours in (("+5h", 5), ("-5h", 19)):
        server.begin()
        server.save("src/lambda.py", answering("print('begun', flush=True) or time.sleep(60)", "import time"))
        with ThreadPoolExecutor(1) as client:
            under_way, begin = client.submit(server.get), time.monotonic()
            server.says("begun", within=30)

            jump(offset)

            assert under_way.result() == FAILED
        assert 0.9 < time.monotonic() - begin < 40
        assert server.says("Task timed out after 1.00 seconds")
        server.save("src/lambda.py", answering("os.getpid()"))
        status, pid = server.get()
        assert (status, server.get()) == (200, (200, pid))
        told = re.findall(r"^(\d\d):\d\d:\d\d GET .* 200 ", server.terminal, re.MULTILINE)
        assert {(int(hour) - time.localtime().tm_hour) % 24 for hour in told} <= {hours - 1, hours}
    assert server.end() == 0


def environments(server):
    return [pid for pid, line in processes(server.project).items() if "start.py" in line]


def test_killed_environment_costs_nothing_while_idle_and_one_told_request_while_busy(server):
    assert server.get() == HELLO
    for pid in environments(server):
        os.kill(pid, signal.SIGKILL)
    assert server.get() == HELLO

    server.save("src/lambda.py", answering("print('begun', flush=True) or time.sleep(60)", "import time"))
    with ThreadPoolExecutor(1) as client:
        pending = client.submit(server.get)
        server.says("begun")
        for pid in environments(server):
            os.kill(pid, signal.SIGKILL)
        assert pending.result() == FAILED
    assert server.says("Runtime exited with error: signal: killed")


def test_stopped_environment_is_said_with_what_lets_it_go_on(server):
    assert server.get() == HELLO
    for pid in environments(server):
        os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as client:
        pending = client.submit(server.get)
        server.says("MyFunction is stopped; to continue: kill -CONT ")
        subprocess.run(re.search("kill -CONT [0-9]+", server.terminal)[0], shell=True, check=True)

        assert pending.result() == HELLO


@pytest.mark.parametrize("files", [64, 100, 200])
def test_more_connections_than_files_are_said_and_stall_nothing(serve, files):
    server = serve(files=files)
    server.save("src/lambda.py", answering("time.sleep(0.05) or 1", "import time"))
    with ThreadPoolExecutor(48) as clients:
        assert list(clients.map(lambda _: server.get(), range(96))) == [(200, 1)] * 96

    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(files + 20)]
    server.save("src/lambda.py", answering("2"))  # takes an environment, and so descriptors
    begin = time.monotonic()
    assert server.get() == (200, 2)
    assert time.monotonic() - begin < 10
    assert server.says("to allow more: ulimit -n 1024")
    for connection in idle:
        connection.close()
    assert server.get() == (200, 2)
    assert "Traceback" not in server.terminal


@pytest.mark.parametrize("options", [["invoke"], ["start-api"], ["start-lambda"]])
def test_too_few_files_end_the_start_in_a_line(project, developer, options):
    done = subprocess.run(
        limited(50, [cold(project) / "run.sh", "--no-docker", *options]), env=developer, capture_output=True, text=True
    )

    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "Error: only 50 files may be open, but 64 are needed: ulimit -n 1024"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", [False, True], ids=["not read", "closed"])
def test_terminal_that_nobody_reads_stops_nothing(project, developer, closed):
    """As in ./run.sh 2>&1 | sleep 60: a pipe holds 64 KB."""
    (project / "src" / "lambda.py").write_text(answering("print(('x' * 99 + '\\n') * 1000) or 1"))
    started = command(project, "processes", "--port", "0")
    process = subprocess.Popen(started, env=developer, stderr=subprocess.PIPE, start_new_session=True)
    try:
        shown = b""
        while b"CTRL+C" not in shown:
            shown += process.stderr.readline()
        port = int(re.search(rb"127\.0\.0\.1:(\d+)", shown)[1])
        if closed:
            process.stderr.close()

        for _ in range(150):  # 15 MB, of which 8 are kept
            assert exchange(port, GET + b"\r\n")[0][2] == b"1"

        if not closed:
            reading = ThreadPoolExecutor(1).submit(process.stderr.read)
            time.sleep(1)
        os.killpg(warm.pid(project, process.pid), signal.SIGINT)
        assert process.wait(10) == 0
        if not closed:
            assert reading.result().count(b"x" * 99 + b"\n") > 80_000
            assert re.search(rb"\n[0-9]+ bytes were not shown, since nobody read them in time\n", reading.result())
        assert_nothing_left(project)
    finally:
        kill(project)


def test_nohup_outlives_the_terminal(project, developer):
    started = ["nohup", *command(cold(project), "processes", "--port", "0")]
    process = subprocess.Popen(
        started, env=developer, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        shown = b""
        while b"CTRL+C" not in shown:
            shown += process.stderr.readline()
        port = int(re.search(rb"127\.0\.0\.1:(\d+)", shown)[1])

        process.send_signal(signal.SIGHUP)

        time.sleep(0.3)
        assert exchange(port, GET + b"\r\n")[0][0] == 200
    finally:
        kill(project)
        process.wait(10)


LOOKING_AROUND = """
import glob, json, os
def handler(event, context):
    print("looked around")
    found = {}
    for place in glob.glob("/proc/[0-9]*"):
        try:
            if not os.readlink(place + "/cwd").startswith(os.path.dirname(os.getcwd())):
                continue
            read = [open(place + "/" + name, errors="replace").read() for name in ("cmdline", "environ")]
            found[place[6:]] = [place[6:] == str(os.getpid()), *read]
        except OSError:
            pass
    return {"statusCode": 200, "body": json.dumps(found)}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells")
@pytest.mark.parametrize("profile", [False, True], ids=["no profile", "profile"])
def test_no_secret_is_in_a_process_but_the_functions_own(serve, project, tmp_path, profile):
    """Nor can anybody else read what the function has printed."""
    (tmp_path / "credentials").write_text(
        "[mine]\naws_access_key_id = AKIAMINE\naws_secret_access_key = SECRETMINE\naws_session_token = TOKENMINE\n"
    )
    (project / "env.json").write_text('{"Parameters": {"MESSAGE": "VALUEOFENVJSON"}}')
    cold(project)
    server = serve(
        *["--log-file", str(tmp_path / "log")],
        *(["--profile", "mine"] if profile else []),
        environment={
            **{name: "REALKEY" for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_SECURITY_TOKEN", "AWS_ACCESS_KEY_ID")},
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/REALKEY",
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
            **{"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"},
        },
    )
    server.save("src/lambda.py", LOOKING_AROUND)

    found = server.get()[1].values()

    secret = re.compile("AKIA|SECRETMINE|TOKENMINE|REALKEY|of the developer|VALUEOFENVJSON")
    assert len(found) >= 2
    for own, line, environ in found:
        assert not secret.search(line)
        assert own or not secret.search(environ)
    (own,) = [environ for own, _, environ in found if own]
    assert set(secret.findall(own)) == {"VALUEOFENVJSON", *(("AKIA", "SECRETMINE", "TOKENMINE") if profile else ())}
    assert "looked around" in (tmp_path / "log").read_text()
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells")
def test_served_port_is_the_only_one(server):
    """A page in a browser could call anything else that listens."""
    server.get()
    own = [Path(f"/proc/{pid}/fd") for pid in processes(server.project)]
    sockets = {os.readlink(file) for place in own for file in place.iterdir() if file.is_socket()}
    listening = []
    for protocol in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                listening.append(fields[1])

    assert listening == [f"0100007F:{server.port:04X}"]
