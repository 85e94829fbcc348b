"""The real ./install.sh on machines of all kinds: nothing but the programs on a PATH made for the test."""

import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from index import Index

from local import lock, pythons

ROOT = Path(__file__).parents[3]
# What every Linux and macOS has, and install.sh, check.sh and the commands in .tools use.
USUAL = ["awk", "bash", "cat", "cmp", "dirname", "env", "grep", "head", "realpath", "sed", "sh", "sleep", "uname"]
(UV,) = re.findall(r"^uv==.*$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
TOOLS = f"# Small, and with a command.\nchevron==0.14.0\n{UV}\n"
INTO_TOOLS = "==> Installing the tools into .tools"
INTO_VENV = "==> Installing what the function and its tests import into .venv"
WAITING = "==> Waiting for another installation in this folder to finish"
THIS = "{}.{}".format(*sys.version_info)


class Machine:
    """A folder, with a space in its name, that holds the project, and the available programs."""

    def __init__(self, folder, environment):
        self.project = folder / "my app"
        self.programs = folder / "bin"
        self.environment = {**environment, "PATH": str(self.programs)}
        self.programs.mkdir()
        for name in USUAL:
            (self.programs / name).symlink_to(shutil.which(name))
        self.has("python3", f'exec "{os.path.realpath(sys.executable)}" "$@"')
        shutil.copytree(ROOT / "local", self.project / "local", ignore=shutil.ignore_patterns("tests", "__pycache__"))
        for name in ["install.sh", "requirements.txt"]:
            shutil.copy2(ROOT / name, self.project)
        self.asks_for(THIS)

    def has(self, name, script):
        # The program itself is behind the link.
        (self.programs / name).unlink(missing_ok=True)
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def has_uv(self):
        self.has("uv", f'exec "{ROOT}/.tools/bin/uv" "$@"')

    def has_old_python(self):
        old = "import sys; sys.version_info = (3, 9, 25); exec(sys.argv[1])"
        self.has("python3", f"""[ "$1" = -V ] && echo Python 3.9.25 || exec "{sys.executable}" -c '{old}' "$2" """)

    def needs_few_tools(self):
        (self.project / "requirements.txt").write_text(TOOLS)
        for name in ("local", "local/inside"):
            (self.project / name / "requirements.txt").write_text("")

    def asks_for(self, number):
        (self.project / "template.yaml").write_text(
            f"# Not python3.1\nGlobals: {{Function: {{Runtime: python{number}}}}}\n"
        )

    def function_needs(self, text):
        (self.project / "src").mkdir(exist_ok=True)
        (self.project / "src" / "requirements.txt").write_text(text)

    def has_managed(self, place, interpreter):
        """A version manager holds the interpreter in this directory of the home."""
        directory = self.project.parent / place
        directory.mkdir(parents=True)
        (directory / f"python{number_of(interpreter)}").symlink_to(interpreter)

    def start(self, *arguments, **variables):
        return subprocess.Popen(
            [self.project / "install.sh", *arguments],
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def install(self, *arguments, **variables):
        """Return code, stdout, and the lines of stderr."""
        process = self.start(*arguments, **variables)
        out, errors = process.communicate(timeout=60)
        return process.returncode, out, errors.splitlines()

    def imports(self, environment, *modules):
        """Which of the modules the Python in .tools or .venv imports, or none of them where there is no such Python."""
        python = self.project / environment / "bin" / "python"
        ask = "import importlib.util, sys; print(*filter(importlib.util.find_spec, sys.argv[1:]))"
        return python.exists() and subprocess.check_output([python, "-I", "-c", ask, *modules], text=True).split()

    @property
    def version(self):
        """The version of the Python in .venv."""
        return number_of(self.project / ".venv" / "bin" / "python")

    def check(self, **variables):
        """Return code, what stands before each line's explanation, and the last line."""
        code, out, errors = self.install("--check", **variables)
        assert errors == []
        *lines, verdict = out.splitlines()
        assert len(lines) + 1 <= 10
        return code, {line[9:26].strip(): line[:8].strip() for line in lines}, verdict


def number_of(interpreter):
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.check_output([interpreter, "-c", ask], text=True).strip()


@pytest.fixture
def machine(tmp_path, new_machine):
    # pip, unlike uv, has a variable of its own for the certificate of a company's proxy.
    certificate = {name: os.environ[name] for name in ["PIP_CERT"] if name in os.environ}
    return Machine(tmp_path, {**new_machine, **certificate, "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull})


def test_help_is_header(machine):
    code, out, _ = machine.install("--help")

    header = [line for line in (ROOT / "install.sh").read_text().split("\nset ")[0].splitlines()[1:]]
    assert (code, out.splitlines()) == (0, [line.removeprefix("#").removeprefix(" ") for line in header])


@pytest.mark.parametrize("arguments", [["--chek"], ["--check", "now"]])
def test_unknown_option_is_refused(machine, arguments):
    code, _, errors = machine.install(*arguments)

    assert (code, errors) == (1, [f"install.sh: unknown option {' '.join(arguments)}; see ./install.sh --help"])


@pytest.mark.parametrize("name", ["template.yaml", "env.json", "src/requirements.txt"])
def test_fifo_in_place_of_a_file_is_named(machine, name):
    machine.function_needs("")
    file = machine.project / name
    file.unlink(missing_ok=True)
    os.mkfifo(file)

    said = f"install.sh: {name} is not a file; replace it with one, or remove it: rm -r {name}"
    assert machine.install("--tools") == (1, "", [said])


def test_check_of_machine_with_everything(machine):
    machine.has_uv()
    machine.has("docker", "exit 0")
    aws = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1"}

    code, found, verdict = machine.check(**aws)

    assert set(found) == {"Python", "uv", "container engine", "port 3000", "AWS credentials", "AWS region"}
    assert {name: word for name, word in found.items() if word != "ok" and name != "port 3000"} == {}
    assert (code, verdict) == (0, "./run.sh can work here.")


def test_check_of_bare_machine_misses_only_what_deploying_needs(machine):
    code, found, verdict = machine.check()

    assert (found["Python"], found["uv"]) == ("ok", "ok")
    assert (found["AWS credentials"], found["AWS region"]) == ("missing", "missing")
    if platform.system() == "Linux":
        assert (code, found["container engine"], verdict) == (0, "optional", "./run.sh can work here.")


def test_check_reads_profile_of_aws_config(machine):
    (machine.project.parent / ".aws").mkdir()
    (machine.project.parent / ".aws" / "config").write_text(
        "[default]\noutput = json\n\n[profile work]\nregion = eu-west-2\nsso_account_id = 123456789012\n"
    )

    _, found, _ = machine.check()
    assert (found["AWS credentials"], found["AWS region"]) == ("missing", "missing")
    _, found, _ = machine.check(AWS_PROFILE="work")
    assert (found["AWS credentials"], found["AWS region"]) == ("ok", "ok")


def test_check_names_python_that_is_too_old(machine):
    machine.has_old_python()
    machine.has_uv()

    code, out, _ = machine.install("--check")

    assert code == 1
    assert "missing  Python            3.10 or newer is needed for the tools, found: Python 3.9.25" in out
    assert out.endswith("./run.sh cannot work here yet.\n")


def test_check_trusts_tools_that_are_installed(machine):
    machine.has_uv()
    machine.needs_few_tools()
    machine.install()
    (machine.programs / "python3").unlink()
    (machine.programs / "uv").unlink()

    code, found, _ = machine.check()

    assert (found["Python"], found["uv"]) == ("ok", "ok")
    assert code == 0 or platform.system() != "Linux"


def test_check_needs_engine_where_processes_cannot_stand_in(machine):
    machine.has("uname", "echo Darwin")

    code, found, _ = machine.check()

    assert (code, found["container engine"]) == (1, "missing")


def test_check_does_not_wait_for_engine_that_hangs(machine):
    machine.has("docker", "exec sleep 60")

    started = time.monotonic()
    _, found, _ = machine.check()

    assert found["container engine"] in ("optional", "missing")
    assert time.monotonic() - started < 30


def test_check_only_warns_of_port_that_is_taken(machine):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", 3000))
            other.listen()
        except OSError:
            pass  # Taken already, which serves as well.
        code, found, _ = machine.check()

    assert found["port 3000"] == "taken"
    assert code == 0 or platform.system() != "Linux"


def test_check_installs_nothing(machine):
    machine.has_uv()

    machine.check()

    assert not (machine.project / ".tools").exists()


@pytest.fixture
def another():
    """A Python of another version than the tests' own, as this machine's own environment finds it."""
    for minor in range(pythons.OLDEST[1], 20):
        if f"3.{minor}" != THIS and (found := pythons.find(f"3.{minor}", Path("nowhere"))):
            return found
    pytest.skip("this machine has one Python only")


@pytest.mark.parametrize("with_uv", [True, False])
def test_installed_in_folder_with_space_and_then_left_alone(machine, with_uv):
    if with_uv:
        machine.has_uv()
    machine.needs_few_tools()
    machine.function_needs("packaging==26.0\n")

    assert machine.install() == (0, "", [INTO_TOOLS, INTO_VENV])
    assert machine.imports(".tools", "chevron", "packaging") == ["chevron"]
    assert machine.imports(".venv", "chevron", "packaging") == ["packaging"]
    assert sorted(path.name for path in machine.project.iterdir() if path.name[0] == ".") == [".tools", ".venv"]

    before = sorted((path, path.lstat().st_mtime_ns) for path in machine.project.rglob("*"))
    assert machine.install(PYTHONHOME="nowhere") == (0, "", [])  # no Python is even started
    assert sorted((path, path.lstat().st_mtime_ns) for path in machine.project.rglob("*")) == before


def test_tools_write_bytecode_whatever_the_shell_says(machine):
    machine.has_uv()
    machine.needs_few_tools()
    machine.install()

    python = machine.project / ".tools" / "bin" / "python"
    shell = {**machine.environment, "PYTHONDONTWRITEBYTECODE": "1"}
    ask = "import sys; print(sys.dont_write_bytecode)"
    assert subprocess.check_output([python, "-c", ask], env=shell, text=True) == "False\n"


def test_both_run_after_folder_has_moved(machine):
    machine.has_uv()
    machine.needs_few_tools()
    machine.function_needs("chevron==0.14.0\n")
    machine.install()
    machine.project = machine.project.rename(machine.project.with_name("moved app"))

    assert machine.install() == (0, "", [])
    for command in (".tools/bin/chevron", ".venv/bin/chevron", ".venv/bin/uv"):
        subprocess.run([machine.project / command, "--version"], env=machine.environment, check=True)


def test_changed_list_of_tools_is_installed_anew(machine):
    machine.has_uv()
    machine.needs_few_tools()
    machine.install()
    (machine.project / "local" / "requirements.txt").write_text("packaging==26.0\n")

    assert machine.install() == (0, "", [INTO_TOOLS])
    assert machine.imports(".tools", "packaging", "chevron") == ["packaging", "chevron"]


def test_changed_requirements_of_function_are_installed_anew(machine):
    machine.has_uv()
    machine.needs_few_tools()
    machine.install()

    machine.function_needs("packaging==26.0\n")
    assert machine.install() == (0, "", [INTO_VENV])
    assert machine.imports(".venv", "packaging") == ["packaging"]

    machine.function_needs("-r more.txt\n")
    (machine.project / "src" / "more.txt").write_text("chevron==0.14.0\n")
    assert machine.install() == (0, "", [INTO_VENV])
    assert machine.imports(".venv", "packaging", "chevron") == ["chevron"]
    (machine.project / "src" / "more.txt").write_text("packaging==26.0\n")
    assert machine.install() == (0, "", [INTO_VENV])
    assert machine.imports(".venv", "packaging", "chevron") == ["packaging"]
    assert machine.install() == (0, "", [])


def test_tests_may_need_packages_of_their_own(machine):
    machine.has_uv()
    machine.needs_few_tools()
    (machine.project / "tests").mkdir()
    (machine.project / "tests" / "requirements.txt").write_text("packaging==26.0\n")

    assert machine.install() == (0, "", [INTO_TOOLS, INTO_VENV])
    assert machine.imports(".venv", "packaging") == ["packaging"]


def test_changed_runtime_changes_python_of_venv(machine, another):
    machine.has_uv()
    machine.needs_few_tools()
    machine.install()
    assert machine.version == THIS
    machine.has_managed(".pyenv/versions/latest/bin", another)

    machine.asks_for(number_of(another))

    assert machine.install() == (0, "", [INTO_VENV])
    assert machine.version == number_of(another)

    # None of the template's functions is in Python any more, or a parameter names the version.
    template = machine.project / "template.yaml"
    template.write_text("Resources: {}\n")
    assert machine.install() == (0, "", [])
    template.write_text(f"Parameters: {{Version: {{Type: String, Default: python{THIS}}}}}\n")
    assert machine.install() == (0, "", [INTO_VENV])
    assert machine.version == THIS
    assert machine.install() == (0, "", [])


@pytest.mark.parametrize(
    ("place", "variables"),
    [
        (".pyenv/versions/{0}.1/bin", {}),
        ("elsewhere/versions/{0}.1/bin", {"PYENV_ROOT": "{home}/elsewhere"}),
        (".asdf/installs/python/{0}.1/bin", {}),
        (".local/share/mise/installs/python/{0}/bin", {}),
        ("elsewhere/installs/python/{0}/bin", {"PATH": "{home}/elsewhere/shims:{home}/bin"}),
        ("miniconda3/envs/work/bin", {}),
        (".local/share/uv/python/cpython-{0}.1-linux-x86_64-gnu/bin", {}),
    ],
)
def test_python_of_version_manager_is_found_off_path(tmp_path, monkeypatch, another, place, variables):
    number = number_of(another)
    for name in ("PYENV_ROOT", "ASDF_DATA_DIR", "MISE_DATA_DIR", "XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "{home}", "PATH": "{home}/bin", **variables}.items():
        monkeypatch.setenv(name, value.format(home=tmp_path))
    directory = tmp_path / place.format(number)
    directory.mkdir(parents=True)
    assert pythons.find(number, tmp_path / "fetched") is None

    (directory / f"python{number}").symlink_to(another)

    found = pythons.find(number, tmp_path / "fetched")
    assert found and os.path.realpath(found) == os.path.realpath(another)


def test_broken_python_and_one_of_another_version_are_not_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "python3.98").write_text("#!/bin/sh\nexit 127\n")
    (tmp_path / "python3.98").chmod(0o755)
    (tmp_path / "python3.99").symlink_to(sys.executable)

    assert pythons.find("3.98", tmp_path / "fetched") is None
    assert pythons.find("3.99", tmp_path / "fetched") is None


def test_stand_in_is_said_and_replaced_once_the_right_python_is_there(machine, another):
    number = number_of(another)
    machine.has_uv()
    machine.needs_few_tools()
    machine.asks_for(number)
    nowhere = {"UV_PYTHON_INSTALL_MIRROR": "http://127.0.0.1:9"}
    stand_in = rf"==> Python {number} is not on this machine and could not be fetched; \.venv has Python {THIS}\.\d+"

    code, _, errors = machine.install(**nowhere)

    fetching = f"==> Fetching Python {number}, the Runtime of template.yaml"
    assert (code, errors[:3]) == (0, [INTO_TOOLS, fetching, INTO_VENV])
    assert re.fullmatch(stand_in, errors[3])
    # Neither fetched nor made again.
    code, _, errors = machine.install(**nowhere)
    assert (code, len(errors)) == (0, 1) and re.fullmatch(stand_in, errors[0])
    # The clock has been put back by a day.
    (failed,) = (machine.project / ".tools" / "lambda" / "pythons").glob(".failed-*")
    os.utime(failed, (time.time() + 86400,) * 2)
    assert machine.install(**nowhere)[2][0] == fetching
    # ./run.sh says which Python the function has.
    assert machine.install("--tools", **nowhere) == (0, "", [])

    machine.has_managed(".pyenv/versions/latest/bin", another)

    assert machine.install("--tools", **nowhere) == (0, "", [INTO_VENV])
    assert machine.version == number
    assert machine.install(**nowhere) == (0, "", [])


def function_side(machine, number, **variables):
    """What a start of ./run.sh asks for: the lines that it says, the interpreter and its version."""
    ask = (
        "import sys; from local import runtime; name = sys.argv[1]; "
        "print(runtime.python(name), runtime.version(name), sep='\\n')"
    )
    return subprocess.Popen(
        [machine.project / ".tools" / "bin" / "python", "-c", ask, f"python{number}"],
        cwd=machine.project,
        env={**machine.environment, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_function_gets_the_right_python_once_it_is_there(machine, another):
    number = number_of(another)
    nowhere = {"UV_PYTHON_INSTALL_MIRROR": "http://127.0.0.1:9"}
    machine.has_uv()
    machine.needs_few_tools()
    machine.install()
    lambda_ = machine.project / ".tools" / "lambda"
    installing = "==> Installing the packages of Lambda's Python runtime\n"

    out, said = function_side(machine, number, **nowhere).communicate()
    assert said == f"==> Fetching Python {number}, the Runtime of template.yaml\n{installing}"
    assert out.startswith(f"{lambda_}/python{number}-fallback/bin/python\n{THIS}.")
    out, said = function_side(machine, number, **nowhere).communicate()
    assert (out.startswith(f"{lambda_}/python{number}-fallback/bin/python\n{THIS}."), said) == (True, "")

    machine.has_managed(".pyenv/versions/latest/bin", another)
    out, said = function_side(machine, number, **nowhere).communicate()
    assert (out.startswith(f"{lambda_}/python{number}/bin/python\n{number}."), said) == (True, installing)


def test_of_two_starts_at_once_one_makes_what_the_function_runs_on(machine):
    machine.has_uv()
    machine.needs_few_tools()
    machine.install()

    both = [function_side(machine, THIS) for _ in range(2)]
    said = sorted((process.communicate(timeout=60)[1] for process in both), key=len)

    assert [process.returncode for process in both] == [0, 0]
    assert said == ["==> Installing the packages of Lambda's Python runtime\n", f"{WAITING}\n"]


def test_uv_too_old_to_know_the_options_is_not_used(machine):
    machine.has("uv", 'echo "error: unexpected argument" >&2; exit 2')

    code, _, errors = machine.install(PIP_INDEX_URL="http://127.0.0.1:9", PIP_RETRIES="0")

    assert (code, errors[0]) == (1, INTO_TOOLS)
    assert "could not download uv" in errors[1]


def slow_uv(machine):
    """A uv that takes half a minute to install packages, and a file that exists once it has begun."""
    reached = machine.project.parent / "reached"
    machine.has("uv", f'[ "$1" != pip ] || {{ : >"{reached}"; sleep 30; }}\nexec "{ROOT}/.tools/bin/uv" "$@"')
    return reached


def wait_for(file, process):
    while not file.exists():
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_installation_is_not_trusted(machine, blow):
    machine.needs_few_tools()
    reached = slow_uv(machine)
    process = machine.start()
    wait_for(reached, process)

    os.killpg(process.pid, blow)
    process.communicate(timeout=10)
    with lock.held(machine.project):  # until the last of what it has started is gone
        pass

    assert process.returncode != 0
    assert not (machine.project / ".tools").exists()
    machine.has_uv()
    assert machine.install() == (0, "", [INTO_TOOLS, INTO_VENV])
    assert machine.imports(".tools", "chevron") == ["chevron"]
    assert sorted(path.name for path in machine.project.iterdir() if path.name[0] == ".") == [".tools", ".venv"]


def test_what_an_interrupted_exchange_has_left_is_put_right(machine):
    machine.has_uv()
    machine.needs_few_tools()
    machine.install()
    before = (machine.project / ".tools" / "installed").stat().st_ino
    (machine.project / ".tools").rename(machine.project / ".tools.old")
    shutil.copytree(machine.project / ".venv", machine.project / ".venv.old", symlinks=True)

    assert machine.install() == (0, "", [])

    assert (machine.project / ".tools" / "installed").stat().st_ino == before
    assert sorted(path.name for path in machine.project.iterdir() if path.name[0] == ".") == [".tools", ".venv"]


def test_two_at_once_take_turns_and_both_succeed(machine):
    machine.has_uv()
    machine.needs_few_tools()

    both = [machine.start() for _ in range(2)]
    said = sorted((process.communicate(timeout=60)[1].splitlines() for process in both), key=len)

    assert [process.returncode for process in both] == [0, 0]
    assert said == [[WAITING], [INTO_TOOLS, INTO_VENV]]


def test_what_a_killed_installation_has_started_is_waited_for(machine):
    machine.needs_few_tools()
    reached = slow_uv(machine)
    killed = machine.start()
    wait_for(reached, killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait(10)
    machine.has_uv()

    after = machine.start()
    assert after.stderr.readline() == f"{WAITING}\n"
    os.killpg(killed.pid, signal.SIGKILL)  # what it has started

    assert (after.communicate(timeout=60)[1].splitlines(), after.returncode) == ([INTO_TOOLS, INTO_VENV], 0)


@pytest.mark.parametrize("with_uv", [True, False])
def test_no_network_is_said_in_one_line_and_leaves_nothing(machine, with_uv):
    if with_uv:
        machine.has_uv()
    nowhere = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(machine.project.parent / "cache")}

    code, out, errors = machine.install(**nowhere, PIP_INDEX_URL="http://127.0.0.1:9", PIP_RETRIES="0")

    assert (code, out, errors[0], len(errors)) == (1, "", INTO_TOOLS, 2)
    what = "" if with_uv else "could not download uv: "
    assert errors[1].startswith(f"install.sh: could not install the tools: {what}")
    assert errors[1].endswith("; check the network (or the proxy: HTTPS_PROXY), then run ./install.sh again")
    assert not (machine.project / ".tools").exists()


def test_what_was_installed_stays_when_its_successor_fails(machine):
    machine.has_uv()
    machine.needs_few_tools()
    machine.function_needs("packaging==26.0\n")
    machine.install()
    machine.function_needs("packaging==26.0\nno-such-package-anywhere==1.0\n")

    code, _, errors = machine.install()
    assert (code, errors[0]) == (1, INTO_VENV)
    assert errors[1].startswith("install.sh: could not install packages into .venv: No solution found ")
    assert "no-such-package-anywhere was not found" in errors[1]
    # ./run.sh starts, and answers with the reason until the list is fixed.
    code, _, errors = machine.install("--tools")
    assert (code, len(errors)) == (0, 2)
    assert machine.imports(".venv", "packaging") == ["packaging"]

    (machine.project / "requirements.txt").write_text("no-such-package-anywhere==1.0\n")
    code, _, errors = machine.install("--tools")
    assert (code, errors[0]) == (1, INTO_TOOLS)
    assert "could not install the tools: " in errors[1] and "no-such-package-anywhere" in errors[1]
    assert machine.imports(".tools", "chevron") == ["chevron"]


@pytest.fixture
def index():
    opened = Index()
    yield opened
    opened.close()


def test_network_that_fails_in_the_middle_is_said_and_costs_nothing_that_worked(machine, index):
    machine.has_uv()
    machine.needs_few_tools()
    machine.install()
    own = {"UV_INDEX": index.url, "UV_CACHE_DIR": str(machine.project.parent / "cache")}
    machine.function_needs("halfway==1.0\n")

    code, _, (into, said) = machine.install(**own)
    assert (code, into) == (1, INTO_VENV)
    assert said.startswith("install.sh: could not install packages into .venv: Failed to download `halfway")
    assert said.endswith("; check the network (or the proxy: HTTPS_PROXY), then run ./install.sh again")
    assert machine.install("--tools", **own)[0] == 0
    assert machine.imports(".venv", "encodings") == ["encodings"]

    index.broken = False
    assert machine.install(**own) == (0, "", [INTO_VENV])
    assert machine.imports(".venv", "halfway") == ["halfway"]


@pytest.fixture
def disk(tmp_path, new_machine):
    """A machine whose folder is on its own small disk."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("only root may mount a file system, and not in every container")
    yield Machine(place, {**new_machine, "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull})
    subprocess.run(["umount", place], check=True)


def test_full_disk_is_said_and_costs_nothing_that_worked(disk):
    disk.has_uv()
    disk.needs_few_tools()
    assert disk.install() == (0, "", [INTO_TOOLS, INTO_VENV])
    full = disk.project / "full"
    with pytest.raises(OSError, match="No space left"):
        full.write_bytes(bytes(160_000_000))
    os.truncate(full, full.stat().st_size - 65_536)
    disk.function_needs("packaging==26.0\n")

    for _ in range(2):
        code, _, (into, said) = disk.install()
        assert (code, into) == (1, INTO_VENV)
        assert said.startswith("install.sh: could not install packages into .venv: ")
        assert "No space left on device" in said
        assert said.endswith("; free some space, then run ./install.sh again")
    assert disk.install("--tools")[0] == 0
    assert disk.imports(".venv", "encodings") == ["encodings"]
    (disk.project / "local" / "requirements.txt").write_text("packaging==26.0\n")
    code, _, (into, said) = disk.install()
    assert (code, into) == (1, INTO_TOOLS)
    assert said.endswith("; free some space, then run ./install.sh again")
    assert disk.imports(".tools", "chevron") == ["chevron"]

    full.unlink()
    assert disk.install() == (0, "", [INTO_TOOLS, INTO_VENV])
    assert disk.imports(".venv", "packaging") == ["packaging"]


def test_python_with_neither_pip_nor_venv_names_package_to_install(machine):
    for name in ("venv", "pip"):
        (machine.project.parent / f"{name}.py").write_text('raise ModuleNotFoundError("No module named ensurepip")\n')
    without_venv = {"PYTHONPATH": str(machine.project.parent)}

    code, _, errors = machine.install(**without_venv)
    assert code == 1
    assert errors[-1].endswith(
        "has neither pip nor a working venv module; on Debian or Ubuntu: sudo apt install python3-venv"
    )

    code, found, _ = machine.check(**without_venv)
    assert (code, found["uv"]) == (1, "missing")


def test_python_that_is_too_old_or_missing_is_named(machine):
    machine.has_old_python()
    assert machine.install() == (
        1,
        "",
        [
            "install.sh: Python 3.10 or newer is needed, python3 is Python 3.9.25; name a newer one: "
            + "PYTHON=python3.13 ./install.sh"
        ],
    )

    assert machine.install(PYTHON="python3.99") == (
        1,
        "",
        [
            "install.sh: no python3.99 on PATH; install Python 3.10 or newer, or name one: "
            + "PYTHON=/path/to/python3 ./install.sh"
        ],
    )


# From here on with the real tools, which a project has already.


def output(project, environment, *command):
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_function_may_need_what_the_tools_could_not_bear(project, new_machine):
    """SAM CLI needs a newer click, and pytest a newer iniconfig."""
    (project / "src" / "requirements.txt").write_text("click==7.1.2\niniconfig==1.1.1\nboto3==1.40.1\n")

    output(project, new_machine, project / "install.sh")

    show = "import importlib.metadata as m; print(*(m.version(n) for n in ('click', 'iniconfig', 'boto3')))"
    assert output(project, new_machine, ".venv/bin/python", "-c", show) == "7.1.2 1.1.1 1.40.1"
    assert output(project, new_machine, ".venv/bin/pytest", "--version")
    pinned = re.search(r"^aws-sam-cli==(.*)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)[1]
    assert output(project, new_machine, ".venv/bin/sam", "--version") == f"SAM CLI, version {pinned}"


def test_venv_has_no_package_of_the_tools_and_every_command_of_the_readme(project, new_machine):
    find = "import importlib.util as u; print([n for n in ('samcli', 'requests', 'yaml', 'click') if u.find_spec(n)])"
    assert output(project, new_machine, ".venv/bin/python", "-c", find) == "[]"

    activated = "source .venv/bin/activate; command -v pytest python sam aws uv uvx"
    for found in output(project, new_machine, "bash", "-euc", activated).splitlines():
        assert Path(found).parent == (project / ".venv" / "bin").resolve()
