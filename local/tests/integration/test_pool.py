"""Functions in processes execute as on Lambda, by the engine alone: no HTTP, no SAM CLI."""

import asyncio
import inspect
import io
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
import uuid
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from ports import free_port

from local import debugging, environment, runtime, sources, watch
from local.engine import CannotRun, Function, Invoke, StillRunning, TooLarge
from local.inside import bootstrap, lifeline
from local.pool import Pool

ARN = "arn:aws:lambda:eu-west-1:012345678912:function:my-function"
MB = 1024 * 1024


class Output(io.BytesIO):
    """What the person at the terminal reads."""

    @property
    def text(self):
        return self.getvalue().decode()


class Engine:
    """A pool, and one function with its code."""

    def __init__(self, directory, output):
        self.code, self.output, self.pool = directory, output, None
        self.function = Function("MyFunction", "my-function", ARN, "app.handler", "python3.13", str(directory), 10, 256)

    def save(self, source, name="app.py"):
        (self.code / name).write_text(textwrap.dedent(source))

    def change(self, **fields):
        self.function = Function(**{**vars(self.function), **fields})

    async def result(self, event=None, **fields):
        body = json.dumps(event).encode()
        return await self.pool.invoke(Invoke(self.function, body, fields.pop("id", str(uuid.uuid4())), **fields))

    async def ask(self, event=None, **fields):
        return json.loads((await self.result(event, **fields)).payload)

    @property
    def pids(self):
        return [each._process.pid for each in self.pool._environments]


@pytest.fixture
def engine(tmp_path):
    (tmp_path / "src").mkdir()
    return Engine(tmp_path / "src", Output())


@asynccontextmanager
async def running(engine, **options):
    engine.pool = Pool(engine.output, **options)
    try:
        yield engine
    finally:
        await engine.pool.close()


def run(test):
    """Runs a coroutine as the test, with a pool for its engine."""

    def wrapper(engine, **more):
        async def main():
            async with running(engine):
                await test(engine, **more)

        asyncio.run(main())

    wrapper.__name__, wrapper.__doc__, wrapper.__signature__ = test.__name__, test.__doc__, inspect.signature(test)
    return wrapper


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def gone(*pids):
    for _ in range(200):
        if not any(map(alive, pids)):
            return True
        await asyncio.sleep(0.02)
    return False


@run
async def test_event_reaches_the_handler_and_its_answer_comes_back(engine):
    engine.save("def handler(event, context):\n    return [event, context.aws_request_id, context.tenant_id]\n")

    result = await engine.result({"a": ["ä", 1.5]}, id="the-id", tenant="one")

    assert (json.loads(result.payload), result.error) == ([{"a": ["ä", 1.5]}, "the-id", "one"], None)
    assert 0 < result.init < 10 and 5 < result.memory < 100
    assert (await engine.result(tenant="one")).init is None


FAULTS = {  # what the source is, the type and the message that AWS answers, what the terminal shows
    "raises": ("def handler(*_):\n    return None.nothing\n", "AttributeError", "has no attribute 'nothing'"),
    "exits": ("import sys\ndef handler(*_):\n    sys.exit(3)\n", "Runtime.ExitError", "exit status 3"),
    "exits with 0": (
        "import sys\ndef handler(*_):\n    sys.exit()\n",
        "Runtime.ExitError",
        "without providing a reason",
    ),
    "exits at once": ("import os\ndef handler(*_):\n    os._exit(4)\n", "Runtime.ExitError", "exit status 4"),
    "is killed": ("import os\ndef handler(*_):\n    os.kill(os.getpid(), 9)\n", "Runtime.ExitError", "signal: killed"),
    "crashes": (
        "import os\ndef handler(*_):\n    os.kill(os.getpid(), 11)\n",
        "Runtime.ExitError",
        "signal: segmentation fault",
    ),
    "is no JSON": ("def handler(*_):\n    return {1}\n", "Runtime.MarshalError", "set is not JSON serializable"),
    "does not parse": ("def handler(*_)\n", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app'"),
    "does not import": ("import no_such\n", "Runtime.ImportModuleError", "No module named 'no_such'"),
    "raises on import": ("1 / 0\n", "ZeroDivisionError", "division by zero"),
    "exits on import": ("import sys\nsys.exit(5)\n", "Runtime.ExitError", "exit status 5"),
    "lacks the handler": ("def handle(*_):\n    pass\n", "Runtime.HandlerNotFound", "Handler 'handler' missing"),
    "has half a character": ("def handler(*_):\n    return '\\ud800'\n", "Runtime.ExitError", "exit status 1"),
}


@pytest.mark.parametrize("source, kind, told", FAULTS.values(), ids=FAULTS)
def test_fault_is_told_and_the_next_good_save_answers(engine, source, kind, told):
    @run
    async def test(engine):
        engine.save(source)
        begin = time.monotonic()

        result = await engine.result(id="the-id")

        assert time.monotonic() - begin < 9

        error = json.loads(result.payload)
        assert (result.error, error["errorType"]) == ("Unhandled", kind)
        assert told in error["errorMessage"] and told in engine.output.text
        if kind == "Runtime.ExitError":
            # As recorded: LocalStack, test_lambda_runtime_exit and test_lambda_runtime_wrapper_not_found.
            assert error["errorMessage"].startswith("RequestId: the-id Error: Runtime exited with")
        engine.save("def handler(*_):\n    return 'good'\n")
        assert await engine.ask() == "good"

    test(engine)


@run
async def test_traceback_is_readable_and_without_advice(engine):
    engine.save("def inner():\n    raise ValueError('why')\n\ndef handler(*_):\n    inner()\n")
    await engine.ask()
    engine.save("raise ValueError('at once')\n")
    await engine.ask()

    assert "[ERROR] ValueError: why\nTraceback (most recent call last):\n  File " in engine.output.text
    assert '/app.py", line 5, in handler\n    inner()\n' in engine.output.text
    assert "[ERROR] ValueError: at once\n" in engine.output.text
    assert "LAMBDA_WARNING" not in engine.output.text


@run
async def test_timeout_is_told_and_kills(engine):
    """As recorded: LocalStack, test_lambda_invoke_timed_out_environment_reuse."""
    engine.change(timeout=1)
    engine.save("import os, time\ndef handler(event, context):\n    event and time.sleep(9)\n    return os.getpid()\n")
    pid = await engine.ask()
    begin = time.monotonic()

    result = await engine.result(True, id="the-id", tail=True)

    assert 0.9 < time.monotonic() - begin < 8
    text = "RequestId: the-id Error: Task timed out after 1.00 seconds"
    assert json.loads(result.payload) == {"errorType": "Sandbox.Timedout", "errorMessage": text}
    assert re.search(r"\d{4}-\d\d-\d\dT\S+Z the-id Task timed out after 1.00 seconds\n", engine.output.text)
    assert result.log.decode().endswith("\tStatus: timeout\t\n")
    assert await gone(pid)
    assert await engine.ask() != pid


@run
async def test_environment_that_has_been_stopped_ends_at_its_timeout(engine):
    engine.change(timeout=1)
    engine.save("import os\ndef handler(*_):\n    return os.getpid()\n")
    pid = await engine.ask()
    os.kill(pid, signal.SIGSTOP)

    assert (await engine.ask())["errorType"] == "Sandbox.Timedout"
    assert await gone(pid)


@run
async def test_init_that_takes_too_long_happens_once_more_within_the_time_of_the_invoke(engine):
    engine.save("import time\ntime.sleep(30)\n")
    engine.change(timeout=1)
    limit, environment.INIT_LIMIT = environment.INIT_LIMIT, 0.5
    try:
        begin = time.monotonic()
        assert (await engine.ask())["errorType"] == "Sandbox.Timedout"
        assert 1.4 < time.monotonic() - begin < 20
        assert "INIT_REPORT Init Duration: 500.00 ms\tPhase: init\tStatus: timeout\n" in engine.output.text
        engine.save(
            "import os, time\nif not os.path.exists('../again'):\n    open('../again', 'w')\n    time.sleep(30)\n"
            "def handler(*_):\n    return 'second'\n"
        )
        environment.INIT_LIMIT = 2
        engine.change(timeout=10)
        assert await engine.ask() == "second"
    finally:
        environment.INIT_LIMIT = limit


@run
async def test_function_goes_on_when_its_caller_has_gone(engine):
    engine.save(
        "import os, time\ndef handler(*_):\n    time.sleep(0.5)\n    print('went on')\n    return os.getpid()\n"
    )
    with pytest.raises(StillRunning):
        await engine.result(wait=0.2)
    assert "went on" not in engine.output.text
    pid = await engine.ask()
    assert engine.output.text.count("went on") == 2
    with pytest.raises(StillRunning):  # on the fast path too
        await engine.result(wait=0.2)
    asking = asyncio.create_task(engine.ask())
    await asyncio.sleep(0.1)
    asking.cancel()
    await asyncio.sleep(1.5)
    assert engine.output.text.count("went on") == 4
    assert pid in engine.pids and await engine.ask() in engine.pids


@run
async def test_payloads_have_at_most_6_mb(engine):
    engine.save("def handler(event, context):\n    return 'x' * event if isinstance(event, int) else len(event)\n")

    assert await engine.ask("x" * 5 * MB) == 5 * MB
    with pytest.raises(TooLarge):
        await engine.ask("x" * 7 * MB)
    assert len(await engine.ask(5 * MB)) == 5 * MB
    text = "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
    assert await engine.ask(6 * MB + 200) == {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": text}
    assert await engine.ask(1) == "x"


@run
async def test_more_memory_than_it_may_have_is_out_of_memory(engine):
    engine.save(
        """
        import time
        def handler(event, context):
            kept = bytearray(event[0] << 20)
            time.sleep(event[1])
            return len(kept)
        """
    )
    engine.change(memory=128)

    assert (await engine.result([90, 0])).tight is False
    text = "RequestId: the-id Error: Runtime exited with error: signal: killed"
    for event, look in (([200, 0], 9), ([200, 9], 0.1)):  # has given it back before anybody looks; or has not
        environment._LOOK_S = look
        begin = time.monotonic()
        result = await engine.result(event, id="the-id", tail=True)
        assert json.loads(result.payload) == {"errorType": "Runtime.OutOfMemory", "errorMessage": text}
        assert b"\tMax Memory Used: 128 MB\t" in result.log
        assert time.monotonic() - begin < 8
    assert (await engine.result([112, 0])).tight is True


@run
async def test_line_that_is_left_open_ends_before_the_platforms(engine):
    engine.change(timeout=1)
    engine.save("import sys, time\ndef handler(*_):\n    sys.stdout.write('open')\n    time.sleep(9)\n")
    await engine.ask(id="the-id")

    assert re.fullmatch(r"open\n\S+Z the-id Task timed out after 1.00 seconds\n", engine.output.text)


@run
async def test_log_has_lambdas_lines_and_the_tail_of_what_is_printed(engine):
    engine.save(
        "import logging, sys\ndef handler(*_):\n    print('printed')\n    sys.stderr.write('no newline')\n"
        "    logging.getLogger().warning('logged')\n    sys.stdout.write('open')\n"
    )

    result = await engine.result(id="the-id", tail=True)

    number = r"\d+\.\d\d ms"
    assert re.fullmatch(
        r"START RequestId: the-id Version: \$LATEST\nprinted\nno newline\[WARNING\]\t\S+Z\tthe-id\tlogged\nopen\n"
        rf"END RequestId: the-id\nREPORT RequestId: the-id\tDuration: {number}\tBilled Duration: \d+ ms\t"
        rf"Memory Size: 256 MB\tMax Memory Used: \d+ MB\tInit Duration: {number}\t\n",
        result.log.decode(),
    )
    assert re.fullmatch(r"printed\nno newline\[WARNING\].*\nopen\n", engine.output.text)
    assert (await engine.result()).log == b""


def test_lambdas_lines_are_printed_when_asked_for(engine):
    async def main():
        async with running(engine, verbose=True):
            engine.save("def handler(*_):\n    pass\n")
            await engine.ask(id="the-id")

    asyncio.run(main())
    assert engine.output.text.startswith("START RequestId: the-id Version: $LATEST\nEND RequestId: the-id\nREPORT ")


@run
async def test_printing_megabytes_hinders_nothing_and_comes_whole(engine):
    engine.save("def handler(*_):\n    print(('x' * 1023 + '\\n') * 5120)\n    return 'printed'\n")

    assert await engine.ask() == "printed"
    assert engine.output.getvalue() == (b"x" * 1023 + b"\n") * 5120 + b"\n"


@run
async def test_environment_is_lambdas_and_nothing_of_the_developers(engine):
    """As recorded: LocalStack, test_lambda_init_environment… of python3.14; its places are those of this machine."""
    os.environ["OF_THE_DEVELOPER"] = "1"
    engine.change(variables=(("MESSAGE", "hello"), ("AWS_ACCESS_KEY_ID", "placeholder")), log_group="MyLogs")
    engine.save("import os\nAT_INIT = dict(os.environ)\ndef handler(*_):\n    return [AT_INIT, dict(os.environ)]\n")

    at_init, variables = await engine.ask(trace="Root=1-5759e988-bd862e3fe1be46a994272793")

    # At init there is none: LocalStack's validated test_traceid_outside_handler.
    assert at_init == {name: value for name, value in variables.items() if name != "_X_AMZN_TRACE_ID"}
    assert variables.pop("AWS_LAMBDA_LOG_STREAM_NAME")[:20] == f"{time.strftime('%Y/%m/%d', time.gmtime())}/[$LATEST]"
    expected = {
        "AWS_ACCESS_KEY_ID": "placeholder",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": "my-function",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "MyLogs",
        "AWS_REGION": "eu-west-1",
        "AWS_SAM_LOCAL": "true",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "HOME": "/nonexistent",
        "LANG": "en_US.UTF-8",
        "LAMBDA_TASK_ROOT": str(engine.code),
        "MESSAGE": "hello",
        "TZ": ":UTC",
        "_HANDLER": "app.handler",
        "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793",
    }
    assert {name: variables.get(name) for name in expected} == expected
    others = {"AWS_LAMBDA_RUNTIME_API", "AWS_XRAY_DAEMON_ADDRESS", "LAMBDA_RUNTIME_DIR", "LC_CTYPE", "LD_LIBRARY_PATH"}
    others |= {"PATH", "PWD", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH"}
    assert variables.keys() - expected.keys() <= others


@run
async def test_context_is_filled_in(engine):
    engine.save(
        """
        import os
        def handler(event, context):
            names = "function_name function_version invoked_function_arn memory_limit_in_mb log_group_name"
            custom = context.client_context and context.client_context.custom
            left = context.get_remaining_time_in_millis()
            return [[getattr(context, name) for name in names.split()], custom, left, os.environ["_X_AMZN_TRACE_ID"]]
        """
    )

    context, custom, left, trace = await engine.ask(client_context='{"custom": {"a": 1}}', trace="Root=1-a")

    assert context == ["my-function", "$LATEST", ARN, "256", "/aws/lambda/my-function"]
    assert custom == {"a": 1} and 9000 < left <= 10000 and trace == "Root=1-a"
    assert (await engine.ask(trace="Root=1-b"))[3] == "Root=1-b"


COUNTING = """
import os, time
count = 0
def handler(event, context):
    global count
    count += 1
    time.sleep(event or 0)
    return [os.getpid(), count]
"""


@run
async def test_module_state_stays_and_eight_at_once_share_none(engine):
    engine.save(COUNTING)
    assert [count for _, count in [await engine.ask() for _ in range(3)]] == [1, 2, 3]
    await asyncio.gather(*[engine.ask(0.5) for _ in range(8)])
    begin = time.monotonic()

    answers = await asyncio.gather(*[engine.ask(1) for _ in range(8)])

    assert time.monotonic() - begin < 6  # one after the other they take eight seconds
    assert len({pid for pid, _ in answers}) == 8


@run
async def test_many_clients_of_a_quick_handler_need_few_environments(engine):
    engine.save("import time\ndef handler(*_):\n    time.sleep(0.001)\n")

    async def client():
        for _ in range(100):
            await engine.ask()

    await asyncio.gather(*[client() for _ in range(16)])

    assert len(engine.pids) <= 8  # on a machine at rest, two or three


@run
async def test_requests_to_code_that_does_not_import_are_answered_in_turn(engine):
    """No request waits while others arrive, fail, and come again."""
    engine.save("1 / 0\n")
    asked, answered = [], []

    async def client():
        for _ in range(3):
            number = len(asked)
            asked.append(number)
            await engine.ask()
            answered.append(number)

    await asyncio.gather(*[client() for _ in range(8)])

    # No more than one turn of the others.
    assert max(later - number for later, number in enumerate(answered)) <= 8


@run
async def test_requests_beyond_the_limit_wait_and_another_function_finds_room(engine):
    engine.save(COUNTING)
    engine.pool._limit = 4
    answers = await asyncio.gather(*[engine.ask(0.3) for _ in range(12)])
    assert len({pid for pid, _ in answers}) == 4
    engine.change(name="Another")
    assert (await engine.ask())[1] == 1
    for _ in range(200):  # the one that made room may be about to end
        if len(left := {pid for pid, _ in answers} & set(engine.pids)) < 4:
            break
        await asyncio.sleep(0.02)
    assert len(left) == 3


@run
async def test_tenants_share_no_environment(engine):
    engine.save(COUNTING)

    answers = [await engine.ask(tenant=tenant) for tenant in ("one", "two", "one", None)]

    assert [count for _, count in answers] == [1, 1, 2, 1]


@run
async def test_change_of_configuration_takes_a_fresh_environment(engine):
    engine.save("import os\ndef handler(event, context):\n    return [os.environ['A'], context.memory_limit_in_mb]\n")
    engine.change(variables=(("A", "1"),))
    assert await engine.ask() == ["1", "256"]
    engine.change(variables=(("A", "2"),), memory=512)
    assert await engine.ask() == ["2", "512"]
    await asyncio.sleep(0.5)
    assert len(engine.pids) == 1


@run
async def test_edits_under_load_fail_nothing_and_serve_nothing_stale(engine):
    await edits_under_load(engine, 30)


def test_edits_without_inotify_fail_nothing_and_serve_nothing_stale(engine, monkeypatch):
    """As on macOS and on shared file systems."""
    monkeypatch.setattr(watch, "_reports", lambda directory: False)
    run(lambda engine: edits_under_load(engine, 10))(engine)


async def edits_under_load(engine, edits):
    saved, wrong = 0, []

    def save():
        nonlocal saved
        engine.save(f"import time\ndef handler(*_):\n    time.sleep(0.002)\n    return {saved + 1}\n")
        saved += 1

    async def client():
        while saved < edits:
            least = saved
            answer = await engine.ask()
            if not isinstance(answer, int) or not least <= answer <= saved:
                wrong.append((least, answer, saved))

    save()
    clients = [asyncio.create_task(client()) for _ in range(4)]
    for _ in range(edits):
        await asyncio.sleep(0.1)
        save()
    await asyncio.gather(*clients)
    assert wrong == []


def test_look_that_had_begun_before_a_save_does_not_count_after_it(engine, monkeypatch):
    monkeypatch.setattr(watch, "_reports", lambda directory: False)
    look = sources.Sources.current

    def slow(self, *arguments):
        found = look(self, *arguments)
        time.sleep(0.4)
        return found

    @run
    async def test(engine):
        engine.save("import time\ndef handler(event, context):\n    time.sleep(event)\n    return 'old'\n")
        await asyncio.gather(engine.ask(0.3), engine.ask(0.3))
        assert len(engine.pids) == 2
        monkeypatch.setattr(sources.Sources, "current", slow)
        first = asyncio.create_task(engine.ask(0))
        await asyncio.sleep(0.2)
        engine.save("def handler(*_):\n    return 'new'\n")
        assert await engine.ask(0) == "new"
        await first

    test(engine)


@run
async def test_request_that_a_save_falls_into_finishes_on_the_old_code(engine):
    engine.save("import time\ndef handler(*_):\n    time.sleep(1)\n    return 'old'\n")
    slow = asyncio.create_task(engine.ask())
    await asyncio.sleep(0.5)
    engine.save("def handler(*_):\n    return 'new'\n")

    assert await engine.ask() == "new"
    assert await slow == "old"


@run
async def test_save_that_meets_the_import_has_the_request_answered_by_the_next_code(engine):
    engine.save("import time\ntime.sleep(0.5)\nraise Exception\n")
    asking = asyncio.create_task(engine.ask())
    await asyncio.sleep(0.3)
    engine.save("def handler(*_):\n    return 'good'\n")

    assert await asking == "good"


@run
async def test_environment_that_is_killed_while_idle_costs_nothing(engine):
    engine.save(COUNTING)
    for _ in range(5):
        pid, _ = await engine.ask()
        os.kill(pid, signal.SIGKILL)
        other, count = await engine.ask()
        assert (count, other != pid) == (1, True)


@run
async def test_environment_that_leaves_the_event_unread_costs_nothing(engine):
    """It dies after it was found alive."""
    engine.save(COUNTING)
    pid, _ = await engine.ask()
    os.kill(pid, signal.SIGSTOP)
    asking = asyncio.create_task(engine.ask())
    await asyncio.sleep(0.2)
    os.kill(pid, signal.SIGKILL)

    assert (await asking)[1] == 1
    assert "Error" not in engine.output.text


DAEMON = """
import os, subprocess, sys, time
def handler(kind, context):
    while kind == "busy":
        pass
    if kind == "child":
        return [subprocess.Popen(["sleep", "300"]).pid]
    reading, writing = os.pipe()
    if not os.fork():
        os.setsid()
        if not os.fork():
            if kind == "cleared":
                code = "import subprocess; started = subprocess.Popen(['sleep', '300'], env={}, start_new_session=True)"
                code += "; print(started.pid, flush=True); import time; time.sleep(300)"
                os.dup2(writing, 1)
                subprocess.run([sys.executable, "-c", code])
            os.write(writing, str(os.getpid()).encode() + b"\\n")
            time.sleep(300)
        os._exit(0)
    return [int(os.read(reading, 99)), os.getpid()]
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells")
@pytest.mark.parametrize("kind", ["child", "daemon", "cleared"])
def test_what_the_function_has_started_ends_with_its_environment(engine, kind):
    @run
    async def test(engine):
        engine.save(DAEMON)
        pids = await engine.ask(kind)
        assert all(map(alive, pids))
        engine.save("def handler(*_):\n    return 1\n")
        assert await engine.ask() == 1
        assert await gone(*pids)

    test(engine)


@run
async def test_environment_that_forks_and_dies_is_seen_to_be_dead(engine):
    """Its child goes on, without the socket."""
    engine.save("import os, time\ndef handler(*_):\n    if not os.fork():\n        time.sleep(60)\n    os._exit(7)\n")
    begin = time.monotonic()

    assert "exit status 7" in (await engine.ask())["errorMessage"]
    assert time.monotonic() - begin < 30


SERVER = """
import asyncio, sys
sys.path[:0] = {path!r}
from test_pool import Engine, Output, running
from pathlib import Path

async def main():
    async with running(Engine(Path({code!r}), Output())) as engine:
        for event in {events!r}:
            print(*await engine.ask(event), flush=True)
        kept = [asyncio.create_task(engine.ask("busy")) for _ in range(2)]
        await asyncio.sleep(0.5)
        print("ready", flush=True)
        await asyncio.sleep(300)

asyncio.run(main())
"""


def start_server(engine, *events):
    """A server in its own process, and the ids of processes that the function has reported."""
    script = SERVER.format(path=[str(Path(__file__).parent), *sys.path], code=str(engine.code), events=events)
    server = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pids = []
    for line in server.stdout:
        if line == "ready\n":
            break
        pids += map(int, line.split())
    return server, pids


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_kill_of_the_server_ends_everything(engine, stopped):
    engine.save(DAEMON)
    server, pids = start_server(engine, "child", "daemon", "cleared")
    try:
        assert len(pids) == 5 and all(map(alive, pids))
        if stopped:
            os.kill(pids[-1], signal.SIGSTOP)
        server.kill()
        assert asyncio.run(gone(*pids))
    finally:
        server.kill()
        server.wait()


# As where there is no /proc: in the environment.
NO_PROC = """
import os
real = os.listdir
os.listdir = lambda *place: [] if place == ("/proc",) else real(*place)
"""


def test_kill_of_the_server_ends_environments_without_proc(engine):
    engine.save(NO_PROC + DAEMON)
    server, pids = start_server(engine, "child")
    try:
        assert len(pids) == 1 and all(map(alive, pids))
        server.kill()
        assert asyncio.run(gone(*pids))
    finally:
        server.kill()
        server.wait()


def test_everything_that_only_linux_has_is_dispensable(engine, monkeypatch):
    """No inotify, no /proc; the compiled part of AWS's client is never used."""
    monkeypatch.setattr(watch, "_reports", lambda directory: False)
    monkeypatch.setattr(lifeline, "_members", lambda group, marker: set())

    @run
    async def test(engine):
        engine.change(timeout=1)
        engine.save(
            NO_PROC + "import subprocess, sys, time\ndef handler(event, context):\n    time.sleep(event)\n"
            "    taken = sorted({'runtime_client', 'lifeline'} & {*sys.modules})\n"
            "    return [subprocess.Popen(['sleep', '300']).pid, taken]\n"
        )
        pid, modules = await engine.ask(0)
        assert modules == []
        assert (await engine.ask(9))["errorType"] == "Sandbox.Timedout"
        assert await gone(pid)
        engine.save("def handler(*_):\n    return 'new'\n")
        assert await engine.ask() == "new"

    test(engine)


def test_memory_is_known_without_proc(monkeypatch):
    monkeypatch.setattr(bootstrap.os, "open", lambda *_: (_ for _ in ()).throw(FileNotFoundError))
    peak, files = bootstrap._Memory().used()
    assert peak == files > 1000  # kilobytes, of which none counts as taken beyond a limit


def test_awslambdaric_has_what_bootstrap_takes_from_its_insides():
    """Fails if an upgrade moves a name, or if the version that was read is not the pinned one."""
    requirements = (Path(runtime.__file__).parent / "inside" / "requirements.txt").read_text()
    assert f"awslambdaric=={bootstrap.READ_FROM}\n" in requirements
    script = """
import inspect
from awslambdaric import bootstrap, lambda_literals, lambda_runtime_client as client
assert list(inspect.signature(bootstrap.run).parameters) == ["handler", "lambda_runtime_client"]
assert (bootstrap.ERROR_LOG_LINE_TERMINATE, bootstrap.ERROR_LOG_IDENT) == ("\\r", "\\u00a0")
assert lambda_literals.lambda_unhandled_exception_warning_message.startswith("LAMBDA_WARNING: ")
methods = {"wait_next_invocation": 0, "post_invocation_result": 2, "post_invocation_error": 2, "post_init_error": 1}
for name, count in methods.items():
    assert len(inspect.signature(getattr(client.BaseLambdaRuntimeClient, name)).parameters) > count, name
taken = set(inspect.signature(bootstrap.handle_event_request).parameters)
assert taken == {"lambda_runtime_client", "request_handler", "invoke_id", "event_body", "content_type",
    "client_context_json", "cognito_identity_json", "invoked_function_arn", "epoch_deadline_time_in_ms", "tenant_id",
    "log_sink", "invocation_id"}, taken
"""
    subprocess.run([runtime.python("python3.13"), "-c", script], check=True)


@run
async def test_close_ends_what_runs(engine):
    engine.save(DAEMON)
    pids = [*await engine.ask("child"), *await engine.ask("daemon")]
    await engine.pool.close()
    engine.pool = Pool(engine.output)

    assert not any(map(alive, pids))
    assert engine.output.text == ""


@run
async def test_wrapper_runs_around_the_runtime(engine):
    """https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html#runtime-wrapper"""
    layer = engine.code.parent / "layer"
    layer.mkdir()
    (layer / "wrapper").write_text('#!/bin/sh\nexport WRAPPED="$#"\nexec "$@"\n')
    (layer / "wrapper").chmod(0o755)
    engine.save("import os\ndef handler(*_):\n    return os.environ['WRAPPED']\n")
    engine.change(variables=(("AWS_LAMBDA_EXEC_WRAPPER", "/opt/wrapper"),), layers=(str(layer),))
    assert await engine.ask() == "7"

    engine.change(variables=(("AWS_LAMBDA_EXEC_WRAPPER", "/opt/no-such"),))
    error = await engine.ask(id="the-id")
    text = "RequestId: the-id Error: Runtime exited with error: exit status 127"
    assert error == {"errorType": "Runtime.ExitError", "errorMessage": text}


@run
async def test_later_layer_wins_and_its_edit_counts(engine):
    for name in ("one", "two"):
        (engine.code.parent / name / "python").mkdir(parents=True)
        (engine.code.parent / name / "python" / "shared.py").write_text(f"VALUE = {name!r}\n")
    engine.change(layers=(str(engine.code.parent / "one"), str(engine.code.parent / "two")))
    engine.save("import shared\ndef handler(*_):\n    return shared.VALUE\n")
    assert await engine.ask() == "two"
    (engine.code.parent / "two" / "python" / "shared.py").write_text("VALUE = 3\n")
    assert await engine.ask() == 3


@run
async def test_requirement_that_cannot_be_installed_is_told_until_it_is_mended(engine):
    engine.save("def handler(*_):\n    return 1\n")
    engine.save("no-such-package-of-this-test @ file:///no/such/file.whl\n", "requirements.txt")
    for _ in range(2):
        with pytest.raises(CannotRun, match="MyFunction cannot run: (?s:.*)/no/such/file.whl"):
            await engine.ask()
    engine.save("", "requirements.txt")
    assert await engine.ask() == 1


def test_few_file_descriptors_are_enough_or_said(engine):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def main():
        async with running(engine):
            engine.save(COUNTING)
            answers = await asyncio.gather(*[engine.ask(0.2) for _ in range(48)])
            assert len({pid for pid, _ in answers}) > 1

    try:
        open_now = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(64, open_now + 16), hard))
        asyncio.run(main())
        resource.setrlimit(resource.RLIMIT_NOFILE, (50, hard))
        with pytest.raises(CannotRun, match="only 50 files may be open, but 64 are needed: ulimit -n 1024"):
            Pool(engine.output)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_debugged_function_is_awake_before_any_request_and_has_one_environment_without_limits(engine, monkeypatch):
    end = lifeline.end

    def slow_end(*arguments):  # the port must be free before the next one starts
        time.sleep(1)
        end(*arguments)

    @run
    async def test(engine):
        variables = debugging.variables("app.handler", "127.0.0.1", free_port(), wait=False)
        engine.change(debugged=True, timeout=1, variables=tuple(variables.items()))
        engine.save("import os, time\ndef handler(event, context):\n    time.sleep(event)\n    return os.getpid()\n")
        await engine.ask(debugging.WAKE)
        first = engine.pids
        asking = asyncio.gather(engine.ask(1.2), engine.ask(0))
        await asyncio.sleep(0.8)
        assert engine.pids == first
        assert await asking == first * 2
        monkeypatch.setattr(lifeline, "end", slow_end)
        engine.save("def handler(event, context):\n    return 'new'\n")
        await engine.ask(debugging.WAKE)
        assert not alive(first[0])
        assert await engine.ask(0) == "new"
        assert "Error" not in engine.output.text

    test(engine)


@run
async def test_code_that_is_away_for_a_moment_is_told_and_found_again(engine):
    engine.save(COUNTING)
    await engine.ask()
    away = engine.code.rename(engine.code.parent / "away")
    with pytest.raises(CannotRun, match="the template names .*/src, which does not exist"):
        await engine.ask()
    away.rename(engine.code)
    assert (await engine.ask())[1] == 1


@run
async def test_code_that_goes_away_during_an_init_leaves_no_environment_that_counts(engine):
    """Once killed, such an environment would keep all requests waiting."""
    engine.save("import time; time.sleep(0.3)\n" + textwrap.dedent(COUNTING))
    pending = asyncio.create_task(engine.ask())
    await asyncio.sleep(0.15)
    away = engine.code.rename(engine.code.parent / "away")
    with pytest.raises(CannotRun, match="which does not exist"):
        await pending
    for pid in engine.pids:
        os.kill(pid, signal.SIGKILL)
    away.rename(engine.code)

    assert (await asyncio.wait_for(engine.ask(), 5))[1] == 1
    assert len(engine.pids) == 1


# What the handler does, and what it gets on Lambda, where mounts are allowed and where only Python can refuse.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
READ_ONLY = "OSError: [Errno 30] Read-only file system"
NO_SHM = "OSError: [Errno 38] Function not implemented"
PLACES = {
    "open('log', 'a')": (READ_ONLY, READ_ONLY),
    "pathlib.Path(os.environ['LAMBDA_TASK_ROOT'], 'below', 'log').write_text('')": (READ_ONLY, READ_ONLY),
    "open('app.py', 'r+')": (READ_ONLY, READ_ONLY),
    "os.open(os.path.abspath('log'), os.O_CREAT | os.O_RDWR)": (READ_ONLY, READ_ONLY),
    "os.mkdir('new')": (READ_ONLY, READ_ONLY),
    "os.remove('app.py')": (READ_ONLY, READ_ONLY),
    "os.rename('app.py', 'other.py')": (READ_ONLY, READ_ONLY),
    "os.symlink('/tmp', 'tmp')": (READ_ONLY, READ_ONLY),
    "os.utime('app.py')": (READ_ONLY, READ_ONLY),
    "pathlib.Path(os.environ['PYTHONPATH'].split(':')[-1], 'cache').touch()": (READ_ONLY, READ_ONLY),
    "sqlite3.connect('new.db').execute('create table t(a)')": ("OperationalError: unable to open database", READ_ONLY),
    "sqlite3.connect('old.db').execute('create table t(a)')": (
        "OperationalError: attempt to write a readonly data",
        "",
    ),
    "subprocess.run('>log', shell=True, check=True)": ("CalledProcessError: ", ""),
    "open('app.py').read()": ("", ""),
    "sqlite3.connect('old.db').execute('select 1')": ("", ""),
    "sqlite3.connect(':memory:').execute('create table t(a)')": ("", ""),
    "open('/dev/null', 'w').write('')": ("", ""),
    "tempfile.TemporaryDirectory().cleanup()": ("", ""),
    "tempfile.TemporaryFile().write(b'1')": ("", ""),
    "multiprocessing.Pool(1)": (NO_SHM, NO_SHM),
    "multiprocessing.Queue()": (NO_SHM, NO_SHM),
    "multiprocessing.shared_memory.SharedMemory(create=True, size=1)": (NO_SHM, NO_SHM),
    "concurrent.futures.ProcessPoolExecutor(1).submit(int)": (NO_SHM, NO_SHM),
    "multiprocessing.Pipe()": ("", ""),
    # It imports what the environment was started with.
    "p = multiprocessing.get_context('spawn').Process(target=print); p.start(); p.join(); assert p.exitcode == 0": (
        *("", ""),
    ),
}
TRYING = """
import concurrent.futures, multiprocessing.shared_memory, os, pathlib, sqlite3, subprocess, tempfile

def handler(event, context):
    try:
        exec(event)
    except Exception as error:
        return [os.getpid(), f"{type(error).__name__}: {error}"]
    return [os.getpid(), ""]
"""


def without_mounts(engine):
    engine.pool._trying.wait()
    engine.pool._trying = subprocess.Popen(["false"])


@pytest.mark.parametrize("mounts", [True, False])
@run
async def test_code_is_read_only_and_shared_memory_missing(engine, mounts):
    if not mounts:
        without_mounts(engine)
    elif engine.pool._trying.wait():
        pytest.skip("this system does not allow mounts")
    layer = engine.code.parent / "layer"
    (layer / "python").mkdir(parents=True)
    engine.change(layers=(str(layer),))
    (engine.code / "below").mkdir()
    sqlite3.connect(engine.code / "old.db").close()
    engine.save(TRYING)
    first = (await engine.ask("0"))[0]

    for statement, expected in PLACES.items():
        pid, error = await engine.ask(statement)
        assert (statement, error[: len(expected[not mounts])] or error) == (statement, expected[not mounts])
        if mounts:  # nothing counts as a save
            assert pid == first


@run
async def test_every_environment_has_a_tmp_of_its_own(engine):
    if engine.pool._trying.wait():
        pytest.skip("this system does not allow mounts")
    name = f"/tmp/{uuid.uuid4()}"
    engine.save(
        "import os, time\ndef handler(name, context):\n    old = os.path.exists(name)\n    open(name, 'w')\n"
        "    time.sleep(1)\n    return [os.getpid(), old]\n"
    )

    both = await asyncio.gather(engine.ask(name), engine.ask(name))
    assert sorted(old for _, old in both) == [False, False]
    assert both[0][0] != both[1][0]
    assert (await engine.ask(name))[1] is True
    assert not os.path.exists(name)


@run
async def test_tmp_has_the_size_of_the_template(engine):
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html"""
    if engine.pool._trying.wait():
        pytest.skip("this system does not allow mounts")
    engine.change(storage=4)
    engine.save(TRYING)

    assert (await engine.ask("open('/tmp/most', 'wb').write(bytes(3 * 2**20))"))[1] == ""
    assert (await engine.ask("open('/tmp/more', 'wb').write(bytes(2 * 2**20))"))[1] == (
        "OSError: [Errno 28] No space left on device"
    )


@run
async def test_tmp_that_is_shared_is_said_once(engine):
    without_mounts(engine)
    name = f"/tmp/{uuid.uuid4()}"
    engine.save(
        "import os, tempfile\ndef handler(name, context):\n"
        "    with tempfile.TemporaryDirectory(), tempfile.TemporaryFile():\n        pass\n"
        "    if name:\n        open(name, 'w')\n        os.remove(name)\n"
    )
    await engine.ask(None)
    assert "/tmp" not in engine.output.text

    for _ in range(2):
        assert await engine.ask(name) is None

    assert engine.output.text.count("/tmp is this machine's, and shared") == 1
    assert f"{name}: /tmp" in engine.output.text


@run
async def test_multiprocessing_without_shared_memory_is_said_once(engine):
    engine.save(TRYING)

    for _ in range(2):
        await engine.ask("multiprocessing.Queue()")

    assert engine.output.text.count("Lambda has no /dev/shm") == 1
