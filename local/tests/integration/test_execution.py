"""Functions in processes execute as on Lambda: concurrency, faults, limits, context, and edits while requests run."""

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from server import answering, only_processes, processes, stale_or_failed

HELLO = (200, {"message": "Hello from Lambda"})
FAILED = (502, {"message": "Internal server error"})
MB = 1024 * 1024

engine = only_processes


def at_once(count, call):
    with ThreadPoolExecutor(count) as clients:
        return [pending.result() for pending in [clients.submit(call) for _ in range(count)]]


COUNTING = """
import json, time, uuid

MINE, count = uuid.uuid4().hex, 0

def handler(event, context):
    global count
    count += 1
    time.sleep(float((event["queryStringParameters"] or {}).get("sleep", 0)))
    return {"statusCode": 200, "body": json.dumps([MINE, count])}
"""


def test_eight_requests_of_a_second_take_little_more_and_share_no_state(server):
    server.save("src/lambda.py", COUNTING)
    at_once(8, lambda: server.get("/my-endpoint?sleep=0.5"))
    begin = time.monotonic()

    answers = at_once(8, lambda: server.get("/my-endpoint?sleep=1"))

    assert time.monotonic() - begin < 7  # one after the other they take eight seconds
    assert [status for status, _ in answers] == [200] * 8
    assert len({environment for _, (environment, _) in answers}) == 8


def test_module_state_stays_between_requests_in_turn(server):
    server.save("src/lambda.py", COUNTING)

    answers = [server.get() for _ in range(4)]

    assert len({environment for _, (environment, _) in answers}) == 1
    assert [count for _, (_, count) in answers] == [1, 2, 3, 4]


def test_requests_beyond_the_limit_of_environments_wait(server):
    server.save("src/lambda.py", COUNTING)

    answers = at_once(48, lambda: server.get("/my-endpoint?sleep=0.2"))

    assert [status for status, _ in answers] == [200] * 48
    assert 8 < len({environment for _, (environment, _) in answers}) <= 32


FAULTS = {
    "raises": ("def handler(*_):\n    return None.nothing\n", "has no attribute 'nothing'"),
    "exits": ("import sys\ndef handler(*_):\n    sys.exit(3)\n", "Runtime exited with error: exit status 3"),
    "exits at once": ("import os\ndef handler(*_):\n    os._exit(4)\n", "Runtime exited with error: exit status 4"),
    "is killed": ("import os\ndef handler(*_):\n    os.kill(os.getpid(), 9)\n", "signal: killed"),
    "crashes": ("import os\ndef handler(*_):\n    os.kill(os.getpid(), 11)\n", "signal: segmentation fault"),
    "is no JSON": ("def handler(*_):\n    return {'body': {1}}\n", "Object of type set is not JSON serializable"),
    "does not parse": ("def handler(*_)\n", "Syntax error in module"),
    "does not import": ("import no_such_module\n", "No module named 'no_such_module'"),
    "raises on import": ("1 / 0\n", "division by zero"),
    "exits on import": ("import sys\nsys.exit(5)\n", "Runtime exited"),
    "lacks the handler": ("def handle(*_):\n    pass\n", "Handler 'handler' missing on module"),
    "takes no context": ("def handler(event):\n    pass\n", "takes 1 positional argument but 2 were given"),
}


@pytest.mark.parametrize("source, told", FAULTS.values(), ids=FAULTS)
def test_fault_answers_502_tells_why_and_the_next_good_save_answers(server, source, told):
    server.save("src/lambda.py", source)

    assert server.get() == FAILED
    assert server.says(told)
    assert server.get() == FAILED
    server.save("src/lambda.py", answering("'good'"))
    assert server.get() == (200, "good")


def test_traceback_is_readable(server):
    server.save("src/lambda.py", "def inner():\n    raise ValueError('why')\n\ndef handler(*_):\n    inner()\n")

    assert server.get() == FAILED
    assert server.says("[ERROR] ValueError: why\nTraceback (most recent call last):\n")
    assert '/src/lambda.py", line 5, in handler\n' in server.terminal
    assert "/src/lambda.py\", line 2, in inner\n    raise ValueError('why')\n" in server.terminal


def test_fault_of_one_environment_leaves_the_others(server):
    """The environment that exits is replaced; another one, waiting meanwhile, finishes."""
    source = answering("event['path'] == '/my-endpoint' and time.sleep(0.5)", "import time")
    server.save(
        "src/lambda.py", source.replace("    return", "    event['queryStringParameters'] and os._exit(1)\n    return")
    )

    slow = ThreadPoolExecutor(1).submit(server.get)
    time.sleep(0.2)

    assert server.get("/my-endpoint?exit=1") == FAILED
    assert slow.result() == (200, None)


def test_printing_megabytes_hinders_nothing(server):
    server.save("src/lambda.py", answering("print(('x' * 1023 + '\\n') * 5120) or 'printed'"))

    assert server.get() == (200, "printed")
    assert server.get() == (200, "printed")
    assert server.says("x" * 1023 + "\n")


def test_timeout_of_template_answers_502_and_tells_it_as_lambda_does(server):
    server.save("src/lambda.py", answering("time.sleep(30)", "import time"))
    server.replace("template.yaml", "Timeout: 10", "Timeout: 1")
    begin = time.monotonic()

    assert server.get() == FAILED
    assert 0.9 < time.monotonic() - begin < 20
    assert server.says("Task timed out after 1.00 seconds")
    server.save("src/lambda.py", answering("'good'"))
    assert server.get() == (200, "good")


def test_answer_after_29_seconds_is_504_and_the_function_goes_on(serve, project):
    """With one second instead, in the project's own copy of the limit."""
    limits = project / "local" / "gateway" / "limits.py"
    assert '"rest": 29.0' in limits.read_text()
    limits.write_text(limits.read_text().replace('"rest": 29.0', '"rest": 1.0'))
    server = serve()
    server.save("src/lambda.py", answering("time.sleep(1.5) or print('went on')", "import time"))

    assert server.get() == (504, {"message": "Endpoint request timed out"})
    assert "went on" not in server.terminal
    assert server.says("went on")


def test_request_over_10_mb_is_refused_as_api_gateway_does(server):
    server.replace("template.yaml", "Method: GET", "Method: POST")

    answer = server.ask(method="POST", body=b"x" * (10 * MB + 1))

    assert (answer.status, answer.body) == (413, {"message": "Request Too Long"})


def test_request_over_6_mb_is_refused_as_lambda_does(server):
    server.replace("template.yaml", "Method: GET", "Method: POST")
    server.save("src/lambda.py", answering("len(event['body'])"))

    passes = server.ask(method="POST", body=b"x" * (5 * MB))
    refused = server.ask(method="POST", body=b"x" * (7 * MB))

    assert (passes.status, passes.body) == (200, 5 * MB)
    assert (refused.status, refused.body) == (413, {"message": "Request Too Long"})
    assert server.says(" ms: the event, including the body, is larger than 6 MB, Lambda's limit")


def test_response_over_6_mb_answers_502_and_tells_why(server):
    server.save("src/lambda.py", answering(f"'x' * {6 * MB + 200}"))
    assert server.get() == FAILED
    assert server.says("exceeded maximum allowed payload size (6291556 bytes)")

    server.save("src/lambda.py", answering(f"'x' * {5 * MB}"))
    assert server.get() == (200, "x" * (5 * MB))


def test_context_is_filled_in(server):
    fields = "aws_request_id memory_limit_in_mb function_name function_version invoked_function_arn log_group_name"
    read = f"[[getattr(context, name) for name in '{fields}'.split()], context.get_remaining_time_in_millis()]"
    server.save("src/lambda.py", answering(read))

    first, again = server.get()[1], server.get()[1]
    (request, *others), remaining = first

    assert others == [
        "256",
        "MyFunction",
        "$LATEST",
        "arn:aws:lambda:us-east-1:123456789012:function:MyFunction",
        "MyFunctionLogs",
    ]
    assert 9000 < remaining <= 10000
    assert len(request) == 36
    assert again[0][0] != request


OF_LAMBDA = {
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_FUNCTION_NAME": "MyFunction",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_REGION": "us-east-1",
    "MESSAGE": "Hello from Lambda",
    "_HANDLER": "lambda.handler",
}
OF_THE_SYSTEM = {"HOME", "LANG", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "PWD", "PYTHONDONTWRITEBYTECODE"}
OF_THE_SYSTEM |= {"PYTHONPATH", "TZ", "LAMBDA_RUNTIME_DIR", "_X_AMZN_TRACE_ID"}


def test_environment_is_lambdas_and_nothing_of_the_shell(server, developer):
    server.save("src/lambda.py", answering("dict(os.environ)"))

    environment = server.get()[1]

    expected = {**OF_LAMBDA, "LAMBDA_TASK_ROOT": str(server.project / "src")}
    assert {name: environment.get(name) for name in expected} == expected
    others = {name for name in environment.keys() - expected.keys() if not name.startswith("AWS_")}
    assert others <= OF_THE_SYSTEM
    assert environment["HOME"] != developer["HOME"]


LAYER = """
  Shared:
    Type: AWS::Serverless::LayerVersion
    Properties:
      ContentUri: layer/

Outputs:"""


def test_layer_of_the_template_is_on_the_path_and_its_edit_is_live(server):
    server.save("layer/python/shared.py", "VALUE = 1\n")
    server.save("src/lambda.py", answering("shared.VALUE", "import shared"))
    server.replace("template.yaml", "\nOutputs:", LAYER)
    server.replace("template.yaml", "      CodeUri: src/", "      CodeUri: src/\n      Layers: [!Ref Shared]")

    assert server.get() == (200, 1)
    server.save("layer/python/shared.py", "VALUE = 2\n")
    assert server.get() == (200, 2)


def test_thirty_edits_under_load_fail_nothing_and_serve_nothing_stale(server):
    assert stale_or_failed(server, edits=30, clients=4) == []


def test_bytecode_of_an_equally_old_and_long_source_is_not_taken(server):
    """As the developer's own Python leaves it, if the next save is in the same second."""
    server.save("src/lambda.py", answering("other.VALUE", "import other"))
    server.save("src/other.py", "VALUE = 'old'\n")
    python = server.project / ".tools" / "lambda" / "python3.13" / "bin" / "python"
    subprocess.run([python, "-m", "compileall", "-q", server.project / "src"], check=True)
    status = (server.project / "src" / "other.py").stat()

    server.save("src/other.py", "VALUE = 'new'\n")
    os.utime(server.project / "src" / "other.py", ns=(status.st_atime_ns, status.st_mtime_ns))

    assert server.get() == (200, "new")


def test_process_that_the_function_starts_ends_with_the_server(serve):
    server = serve()
    server.save("src/lambda.py", answering("subprocess.Popen(['sleep', '300']).pid", "import subprocess"))

    _, pid = server.get()

    assert pid in processes(server.project)
    server.end()
