"""The real ./install.sh on machines of all kinds: nothing but the programs on a PATH made for the test."""

import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# What every Linux and macOS has, and install.sh and check.sh use.
USUAL = ["awk", "bash", "cat", "cmp", "dirname", "env", "grep", "realpath", "rm", "sed", "sh", "sleep", "uname"]
TOOLS = "# Small, and with a command.\nchevron==0.14.0\n"


class Machine:
    """A folder with a space in its name that holds the project, and the programs there are."""

    def __init__(self, folder, environment):
        self.project = folder / "my app"
        self.programs = folder / "bin"
        self.environment = {**environment, "PATH": str(self.programs)}
        self.programs.mkdir()
        for name in USUAL:
            (self.programs / name).symlink_to(shutil.which(name))
        self.has("python3", f'exec "{os.path.realpath(sys.executable)}" "$@"')
        for name in ["install.sh", "local/check.sh", "requirements.txt", "local/tests/requirements.txt"]:
            (self.project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self.project / name)

    def has(self, name, script):
        # The program itself is behind the link.
        (self.programs / name).unlink(missing_ok=True)
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def has_uv(self):
        self.has("uv", f'exec "{ROOT}/.venv/bin/uv" "$@"')

    def has_old_python(self):
        old = "import sys; sys.version_info = (3, 9, 25); exec(sys.argv[1])"
        self.has("python3", f"""[ "$1" = -V ] && echo Python 3.9.25 || exec "{sys.executable}" -c '{old}' "$2" """)

    def needs_few_tools(self):
        (self.project / "requirements.txt").write_text(TOOLS)
        (self.project / "local/tests/requirements.txt").write_text("")

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

    @property
    def tools(self):
        return self.project / ".venv" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"

    def check(self, **variables):
        """Return code, what stands before each line's explanation, and the last line."""
        code, out, errors = self.install("--check", **variables)
        assert errors == []
        *lines, verdict = out.splitlines()
        assert len(lines) + 1 <= 10
        return code, {line[9:26].strip(): line[:8].strip() for line in lines}, verdict


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
    assert "missing  Python            3.10 or newer runs the tools, found: Python 3.9.25" in out
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
    assert time.monotonic() - started < 10


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

    assert not (machine.project / ".venv").exists()


@pytest.mark.parametrize("with_uv", [True, False])
def test_tools_run_from_folder_with_space_and_stay_as_they_are(machine, with_uv):
    if with_uv:
        machine.has_uv()
    machine.needs_few_tools()
    if not with_uv:
        pin = next(line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.startswith("uv=="))
        (machine.project / "requirements.txt").write_text(f"{TOOLS}{pin}\n")

    assert machine.install() == (0, "", ["==> Installing the tools into .venv"])
    assert (machine.tools / "chevron").is_dir()
    assert not (machine.project / ".venv" / "bootstrap").exists()

    before = sorted((path, path.lstat().st_mtime_ns) for path in machine.project.rglob("*"))
    started = time.monotonic()
    assert machine.install() == (0, "", [])
    assert time.monotonic() - started < 1
    assert sorted((path, path.lstat().st_mtime_ns) for path in machine.project.rglob("*")) == before


def test_tools_run_after_folder_has_moved(machine):
    machine.has_uv()
    machine.needs_few_tools()
    machine.install()
    machine.project = machine.project.rename(machine.project.with_name("moved app"))

    assert machine.install() == (0, "", [])
    subprocess.run([machine.project / ".venv" / "bin" / "chevron", "--version"], env=machine.environment, check=True)


def test_changed_list_is_installed_anew(machine):
    machine.has_uv()
    machine.needs_few_tools()
    machine.install()
    (machine.project / "requirements.txt").write_text("packaging==26.0\n")

    assert machine.install() == (0, "", ["==> Installing the tools into .venv"])
    assert (machine.tools / "packaging").is_dir()
    assert not (machine.tools / "chevron").exists()


def test_uv_too_old_to_know_the_options_is_not_used(machine):
    machine.has("uv", 'echo "error: unexpected argument" >&2; exit 2')

    code, _, errors = machine.install(PIP_INDEX_URL="http://127.0.0.1:9", PIP_RETRIES="0")

    assert code == 1
    assert errors[-1].startswith("install.sh: could not download uv; check the network")


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_installation_is_not_trusted(machine, blow):
    machine.needs_few_tools()
    machine.has(
        "uv", f'[ "$1" != pip ] || {{ : >"{machine.project}/reached"; sleep 30; }}\nexec "{ROOT}/.venv/bin/uv" "$@"'
    )
    process = machine.start()
    while not (machine.project / "reached").exists():
        assert process.poll() is None
        time.sleep(0.02)

    os.killpg(process.pid, blow)
    process.communicate(timeout=10)

    assert process.returncode != 0
    if blow == signal.SIGINT:
        assert not (machine.project / ".venv").exists()
    machine.has_uv()
    assert machine.install() == (0, "", ["==> Installing the tools into .venv"])
    assert (machine.tools / "chevron").is_dir()


@pytest.mark.parametrize("with_uv", [True, False])
def test_no_network_is_said_in_one_line_and_leaves_nothing(machine, with_uv):
    if with_uv:
        machine.has_uv()
    nowhere = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(machine.project.parent / "cache")}

    code, out, errors = machine.install(**nowhere, PIP_INDEX_URL="http://127.0.0.1:9", PIP_RETRIES="0")

    what = "install the tools" if with_uv else "download uv"
    proxy = "check the network (or the proxy: HTTPS_PROXY), then run ./install.sh again"
    assert (code, out, errors[-1]) == (1, "", f"install.sh: could not {what}; {proxy}")
    assert any("chevron" in line or "uv" in line or "network" in line for line in errors[1:-1])
    assert not (machine.project / ".venv").exists()


def test_python_without_venv_names_package_to_install(machine):
    (machine.project.parent / "venv.py").write_text('raise ModuleNotFoundError("No module named ensurepip")\n')
    without_venv = {"PYTHONPATH": str(machine.project.parent)}

    code, _, errors = machine.install(**without_venv)
    assert code == 1
    assert errors[-1] == (
        "install.sh: python3 has no working venv module; on Debian or Ubuntu: sudo apt install python3-venv"
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
