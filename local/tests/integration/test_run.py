"""./run.sh as a developer uses it, with every engine: start, call, edit, end."""

import errno
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from packages import package, save
from server import Server, answering, assert_nothing_left, cold, command, kill, processes, run, stale_or_failed

HELLO = {"message": "Hello from Lambda"}
FAILED = (502, {"message": "Internal server error"})


def listing(package):
    """A requirements.txt that has never been installed before."""
    return f"{package}!=0.{time.time_ns()}\n"


@pytest.fixture(scope="module")
def shared(engine, new_project, developer, tmp_path_factory):
    """Started from another directory, with what an earlier build left in .aws-sam."""
    project = cold(new_project())
    built = project / ".aws-sam" / "build"
    (built / "MyFunction").mkdir(parents=True)
    (built / "MyFunction" / "lambda.py").write_text(answering("'stale'"))
    template = (project / "template.yaml").read_text().replace("CodeUri: src/", "CodeUri: MyFunction")
    (built / "template.yaml").write_text(template)
    running = Server(project, engine, developer, cwd=tmp_path_factory.mktemp("elsewhere"))
    running.start = running.terminal
    yield running
    running.begin()
    try:
        assert running.end() == 0
        assert running.terminal == ""
    finally:
        running.kill()


def test_start_says_engine_and_a_curl_that_works(server):
    engine = {"processes": "Engine: processes, no container engine needed", "containers": "Engine: containers (Docker)"}
    curl = f"curl http://127.0.0.1:{server.port}/my-endpoint"

    assert engine[server.engine] in server.start
    assert f"Try it: {curl}" in server.start
    assert json.loads(subprocess.run(shlex.split(curl), capture_output=True, check=True).stdout) == HELLO


def test_answer_is_the_handlers_and_of_the_template_itself(server):
    """Neither of .aws-sam/build nor with MESSAGE of the developer's shell."""
    answer = server.ask()

    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "application/json", HELLO)


def test_unknown_path_answers_403_and_terminal_lists_routes(server):
    assert server.get("/nowhere") == (403, {"message": "Missing Authentication Token"})
    assert server.get(method="DELETE") == (403, {"message": "Missing Authentication Token"})
    assert server.says("no route GET /nowhere; the template has GET /my-endpoint")
    assert server.says("no route DELETE /my-endpoint; the template has GET /my-endpoint")


def test_developers_credentials_and_shell_do_not_reach_the_function(server):
    server.save("src/lambda.py", answering("dict(os.environ)"))

    environment = server.ask().body

    assert environment["MESSAGE"] == HELLO["message"]
    assert "STRAY" not in environment
    assert "AWS_PROFILE" not in environment
    assert not [value for value in environment.values() if "developer" in value or value.startswith("AKIA")]
    assert (environment["AWS_SAM_LOCAL"], environment["AWS_XRAY_CONTEXT_MISSING"]) == ("true", "LOG_ERROR")
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", environment["AWS_LAMBDA_LOG_STREAM_NAME"])
    if server.engine == "processes":  # they tell the emulator in a container what to run
        assert not {"AWS_ACCOUNT_ID", "AWS_LAMBDA_FUNCTION_HANDLER", "AWS_LAMBDA_FUNCTION_TIMEOUT"} & environment.keys()
    assert (environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]) == ("defaultkey", "defaultsecret")


def test_edits_of_the_same_size_in_the_same_second_are_served(server):
    answers = []
    for number in range(10, 15):
        server.save("src/lambda.py", answering(number))
        answers.append(server.get())

    assert answers == [(200, number) for number in range(10, 15)]


def test_edits_while_others_ask_fail_nothing_and_serve_nothing_stale(server):
    assert stale_or_failed(server, edits=4, clients=2) == []


def test_request_that_a_save_falls_into_finishes_on_the_old_code(server):
    slow = answering("print('begun', flush=True) or time.sleep(3) or 'old'", "import time")
    server.save("src/lambda.py", slow)
    pending = ThreadPoolExecutor(1).submit(server.get)
    server.says("begun")

    server.save("src/lambda.py", answering("'new'"))

    assert server.get() == (200, "new")
    assert not pending.done()
    assert pending.result() == (200, "old")


def test_edit_of_another_module_is_served(server):
    server.save("src/lambda.py", answering("other.VALUE", "import other"))
    answers = []
    for number in range(10, 13):
        server.save("src/other.py", f"VALUE = {number}\n")
        answers.append(server.get())

    assert answers == [(200, number) for number in range(10, 13)]


REFUSED = """
import json, multiprocessing

def error(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return error.errno

def handler(event, context):
    errors = [error(open, "log", "a"), error(multiprocessing.Queue)]
    return {"statusCode": 200, "body": json.dumps(errors)}
"""


def test_code_is_read_only_and_there_is_no_shared_memory(server):
    """https://aws.amazon.com/blogs/compute/parallel-processing-in-python-with-aws-lambda/"""
    server.save("src/lambda.py", REFUSED)

    assert server.get() == (200, [errno.EROFS, errno.ENOSYS])
    assert server.says("multiprocessing: Lambda has no /dev/shm")


def test_edit_of_a_package_of_this_machine_is_served(server):
    """And the package is built here, though a container gets wheels for Lambda alone."""
    package(server.project / "vendor" / "mine", 1)
    try:
        server.save("src/requirements.txt", "./vendor/mine\n")
        server.save("src/lambda.py", answering("mine.VALUE", "import mine"))
        assert server.get() == (200, 1)

        save(server.project / "vendor" / "mine", 2)
        assert server.get() == (200, 2)
    finally:
        shutil.rmtree(server.project / "vendor")


def test_undeclared_import_fails_until_requirements_list_it(server):
    """idna is there for SAM CLI."""
    server.save("src/lambda.py", answering("idna.encode('ü').decode()", "import idna"))

    assert server.get() == FAILED
    assert server.says("No module named 'idna'")
    server.save("src/requirements.txt", listing("idna"))
    assert server.get() == (200, "xn--tda")
    assert "==> Installing src/requirements.txt" in server.terminal


def test_requirement_that_cannot_be_installed_answers_502_with_the_reason(server):
    server.save("src/requirements.txt", "no-such-package-anywhere==1.0\n")

    assert server.get() == FAILED
    assert server.says("no-such-package-anywhere was not found in the package registry")
    server.save("src/requirements.txt", "")
    assert server.get() == (200, HELLO)


def test_edit_of_template_is_live(server):
    server.replace("template.yaml", "Hello from Lambda", "edited")
    server.replace("template.yaml", "Path: /my-endpoint", "Path: /moved")

    assert server.get("/moved") == (200, {"message": "edited"})
    assert server.says("new route: GET /moved")
    assert server.get() == (403, {"message": "Missing Authentication Token"})


def test_reading_the_template_again_starts_no_further_reaper(server):
    def reapers():
        return sum("local.reaper" in line for line in processes(server.project).values())

    server.get()
    before = reapers()
    for number in range(3):
        server.replace("template.yaml", "Timeout: 1", "Timeout: 1" + "0" * number)
        server.get("/nowhere")

    assert reapers() == before


def test_broken_template_leaves_the_last_good_one_serving(server):
    server.replace("template.yaml", "Resources:", "Resources: [")

    assert server.get() == (200, HELLO)
    assert server.says("not reloaded, still serving the last valid template")
    server.restore()
    server.replace("template.yaml", "Hello from Lambda", "edited")
    assert server.get() == (200, {"message": "edited"})


def test_template_that_becomes_a_fifo_leaves_the_last_good_one_serving(server):
    template, kept = server.project / "template.yaml", server.project / "kept"
    template.rename(kept)
    os.mkfifo(template)

    assert server.get(timeout=10) == (200, HELLO)
    assert server.says("not reloaded, still serving the last valid template: ")
    assert "template.yaml is not a file" in server.terminal
    kept.replace(template)


def test_malformed_answer_is_502_and_the_terminal_says_how_to_mend_it(server):
    server.save("src/lambda.py", "def handler(event, context):\n    return {'statusCode': 200, 'body': {'a': 1}}\n")

    assert server.get() == FAILED
    assert server.says("body is a dict; API Gateway needs a string: json.dumps it")


def test_port_in_use_ends_the_start_with_one_line(server, project, developer):
    done = run(project, server.engine, developer, "--port", str(server.port))

    assert done.returncode != 0
    assert done.stdout == b""
    assert done.stderr.decode().strip().splitlines()[-1] == (
        f"Error: port {server.port} is in use by another program; "
        f"stop it, or take another port: ./run.sh --port {server.port + 1}"
    )
    assert b"Traceback" not in done.stderr


def test_invoke_prints_the_answer_to_a_generated_event(engine, project, developer):
    options = ("generate-event", "apigateway", "aws-proxy", "--method", "GET", "--path", "my-endpoint")
    event = run(project, engine, developer, *options)
    options = ("--platform-log", "invoke", "--event", "-")
    done = run(project, engine, developer, *options, input=event.stdout)

    assert json.loads(event.stdout)["path"] == "/my-endpoint"
    assert json.loads(done.stdout) == {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(HELLO),
    }
    assert re.search(
        rb"START RequestId: (\S+) Version: \$LATEST\n(?:.*\n)*?END RequestId: \1\nREPORT RequestId: \1\t", done.stderr
    )
    assert done.returncode == 0


def test_env_json_is_used_and_its_edit_is_live(serve, project):
    (project / "env.json").write_text('{"MyFunction": {"MESSAGE": "from env.json"}}')
    server = serve()

    assert server.get() == (200, {"message": "from env.json"})
    server.save("env.json", '{"Parameters": {"MESSAGE": "edited"}}')
    assert server.get() == (200, {"message": "edited"})


def test_env_json_that_appears_is_used(server):
    server.save("env.json", '{"MyFunction": {"MESSAGE": "from env.json"}}')

    assert server.get() == (200, {"message": "from env.json"})


@pytest.mark.parametrize(
    "values, reason",
    [
        (
            {"MyFunction": {"MESSAGE": "", "MESAGE": ""}},
            'env.json: "MESAGE" is not declared for MyFunction; '
            "declare it in template.yaml, below Variables: of MyFunction, with a value for AWS:\n  MESAGE: value",
        ),
        ({"Myfunction": {}}, 'env.json: the template has no function "Myfunction"; it has MyFunction'),
    ],
)
def test_env_json_unlike_the_template_ends_the_start(project, developer, values, reason):
    (project / "env.json").write_text(json.dumps(values))

    done = run(project, "processes", developer)

    assert (done.returncode, done.stdout, done.stderr.decode().strip()) == (1, b"", f"Error: {reason}")


def test_profile_hands_real_credentials_over_and_says_so(serve, tmp_path, engine):
    profile = "[mine]\naws_access_key_id = AKIAMINE\naws_secret_access_key = mine\n"
    (tmp_path / "credentials").write_text(profile)
    nobody = {"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    environment = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), **nobody}
    server = serve("--profile", "mine", environment=environment)
    server.save("src/lambda.py", answering("os.environ['AWS_ACCESS_KEY_ID']"))

    assert "Functions have your AWS credentials from the profile mine (region us-east-1)\n" in server.terminal
    assert server.get() == (200, "AKIAMINE")


def test_start_and_answer_need_no_network(serve, project):
    cold(project)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        server = serve(environment=dict.fromkeys(names, url))

        assert server.get() == (200, HELLO)
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_start_lambda_answers_boto3(serve):
    server = serve("start-lambda")
    unsigned = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
    client = boto3.client("lambda", "us-east-1", endpoint_url=f"http://127.0.0.1:{server.port}", config=unsigned)

    answer = client.invoke(FunctionName="MyFunction", Payload=b"{}")

    assert "FunctionError" not in answer
    assert json.loads(json.load(answer["Payload"])["body"]) == HELLO
    server.save("src/lambda.py", "def handler(event, context):\n    raise ValueError(7)\n")
    assert client.invoke(FunctionName="MyFunction", Payload=b"{}")["FunctionError"] == "Unhandled"
    assert re.search(r"/invocations 200 \d+ ms(, init \d+ ms)?: ValueError: 7\n", server.terminal)


def test_command_that_the_start_proposes_invokes_the_function(serve, new_machine):
    server = serve("start-lambda")
    proposed = re.search("Try it: (.*)/dev/stdout", server.terminal)[1]

    subprocess.run([*proposed.split(), "answer"], cwd=server.project, env=new_machine, check=True, capture_output=True)

    assert json.loads(json.loads((server.project / "answer").read_text())["body"]) == HELLO


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_in_a_request_leaves_nothing_behind(serve, number):
    server = serve()
    server.save("src/lambda.py", answering("print('begun', flush=True) or time.sleep(60)", "import time"))
    server.ask_and_forget()
    server.says("begun")

    server.end(number)

    assert "Traceback" not in server.terminal


def test_closed_terminal_in_a_request_leaves_nothing_behind(engine, project, developer):
    (project / "src" / "lambda.py").write_text(answering("print('begun', flush=True) or time.sleep(60)", "import time"))
    arguments = command(project, engine, "--port", "0")
    cold(project)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(arguments[0], arguments, developer)
    try:
        address = re.search(r"127\.0\.0\.1:\d+", wait_for("(Press CTRL+C to quit)", terminal))[0]
        asking = subprocess.Popen(["curl", "--silent", f"http://{address}/my-endpoint"], stdout=subprocess.DEVNULL)
        wait_for("begun", terminal)

        os.close(terminal)
        asking.wait(10)

        assert_nothing_left(project)
    finally:
        kill(project)
        os.waitpid(pid, 0)


def wait_for(text, terminal):
    shown = ""
    while text not in shown:
        assert select.select([terminal], [], [], 20)[0], f"no {text!r} in {shown}"
        shown += os.read(terminal, 4096).decode()
    return shown


def test_interrupt_of_the_start_ends_it_quietly(engine, project, developer):
    starting = subprocess.Popen(
        command(cold(project), engine, "--port", "0"), env=developer, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        time.sleep(0.4)
        os.killpg(starting.pid, signal.SIGINT)
        _, told = starting.communicate(timeout=10)

        assert starting.returncode in (130, -signal.SIGINT)  # of Python, and of the shell before it
        assert told == b""
        assert_nothing_left(project)
    finally:
        kill(project)


def test_killed_server_leaves_nothing_behind(serve):
    server = serve()
    server.save("src/lambda.py", answering("print('begun', flush=True) or time.sleep(60)", "import time"))
    server.ask_and_forget()
    server.says("begun")
    assert len(processes(server.project)) >= 2

    os.kill(server.pid, signal.SIGKILL)
    time.sleep(0.1)

    assert_nothing_left(server.project)
