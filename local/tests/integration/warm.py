"""Pythons that have imported what ./run.sh and ./deploy.sh need, and fork for each run: hundreds without their starts.

A fork is as after a cold start, with the project's own local/, but in a session of its own, without a terminal. What
ends the script ends it too.

Usage: warm.py MODULE                             waits at a socket with that name, here
       warm.py DIRECTORY -m MODULE [ARGUMENT]...  as python -m MODULE [ARGUMENT]..., with the socket in DIRECTORY
"""

import contextlib
import gc
import importlib
import marshal
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

# What a module imports, sooner or later.
IMPORTED = {
    "local": (
        *("local.__main__", "local.aws", "local.deployed", "local.recording", "local.sam"),
        *(f"samcli.commands.local.{name}.cli" for name in ("generate_event", "invoke", "start_api", "start_lambda")),
    ),
    "local.deploying": (
        *(f"local.deploying.{name}" for name in ("__main__", "artifact", "bucket", "sam", "stack", "template")),
        *("samcli.commands.build.build_context", "samcli.commands.build.command"),
        *("samcli.commands.deploy.command", "samcli.commands.deploy.deploy_context"),
        *("samcli.commands.package.package_context", "local.tests.integration.preread"),
    ),
}


def tools(directory, cold):
    """Makes DIRECTORY/.tools, with whose Python the modules run in forks, each of which is started with `start`."""
    made = directory / ".tools"
    for name in ("bin", "warm"):
        (made / name).mkdir(parents=True)
    (cold / "lambda").mkdir(exist_ok=True)  # what is made there serves all
    for tool in (*(one for one in cold.iterdir() if one.name != "bin"), *(cold / "bin").iterdir()):
        (made / tool.relative_to(cold)).symlink_to(tool)
    python = made / "bin" / "python"
    python.unlink()
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -m ] && [ -S {made}/warm/"$2" ] || exec {cold}/bin/python "$@"\n'
        f'exec {cold}/bin/python -I -S {__file__} {made}/warm "$@"\n'
    )
    python.chmod(0o755)
    return made


def start(tools, module, environment):
    """Starts the Python for a module; it imports something once it is needed."""
    directory = tools / "warm"
    process = subprocess.Popen([sys.executable, __file__, module], cwd=directory, env=environment)
    while not (directory / module).exists():
        assert process.poll() is None
        time.sleep(0.01)
    return process


def pid(project, asking):
    """The process that runs what has been started in the project: a fork, or the one that was started."""
    link = project / ".tools" / "warm" / str(asking)
    return int(os.readlink(link)) if link.is_symlink() else asking


def serve(module):
    """Returns in each fork, with the arguments of its run."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(module)  # not the whole path, which macOS might find too long
    listening.listen()
    client, _ = listening.accept()
    sys.path[0] = os.path.abspath(f"{__file__}/../../../..")
    gc.disable()
    for name in IMPORTED[module]:
        with contextlib.suppress(Exception):  # which the fork meets again, and tells
            importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "local"]:
        del sys.modules[name]
    gc.freeze()
    gc.enable()
    while os.fork():
        client.close()
        client, _ = listening.accept()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    listening.close()
    return run(client)


def run(client):
    """Tells the client how its run, a fork, has ended; returns the arguments in that fork."""
    message, descriptors, _, _ = socket.recv_fds(client, 1_000_000, 3)
    asking, project, environment, files, arguments = marshal.loads(message)
    link = str(asking)
    if child := os.fork():
        threading.Thread(target=end_with, args=(client, child), daemon=True).start()
        _, status = os.waitpid(child, 0)
        os.unlink(link)
        with contextlib.suppress(BrokenPipeError):
            client.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    os.symlink(str(os.getpid()), link)
    client.close()
    os.setsid()
    for number, (name, mode, buffering) in enumerate((("stdin", "r", -1), ("stdout", "w", -1), ("stderr", "w", 1))):
        os.dup2(descriptors[number], number)
        os.close(descriptors[number])
        encoding, errors = (getattr(getattr(sys, name), one) for one in ("encoding", "errors"))
        setattr(sys, name, open(number, mode, buffering, encoding, errors, closefd=False))
    resource.setrlimit(resource.RLIMIT_NOFILE, files)
    os.chdir(project)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = project
    return arguments


def end_with(client, child):
    with contextlib.suppress(ProcessLookupError):  # it has ended, and so did the client
        if not client.recv(1):
            os.kill(child, signal.SIGKILL)


def ask(directory, module, *arguments):
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    message = marshal.dumps((os.getpid(), os.getcwd(), dict(os.environ), files, arguments))
    os.chdir(directory)  # only the fork is a process in the project
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.killpg(int(os.readlink(str(os.getpid()))), number))
    client = socket.socket(socket.AF_UNIX)
    client.connect(module)
    socket.send_fds(client, [message], [0, 1, 2])
    status = int(client.recv(10))
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    if sys.argv[2:]:
        sys.exit(ask(sys.argv[1], *sys.argv[3:]))
    module = sys.argv[1]
    sys.argv[1:] = serve(module)
    import runpy

    runpy.run_module(module, run_name="__main__", alter_sys=True)
