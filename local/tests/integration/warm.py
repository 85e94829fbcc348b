"""A Python that has read what ./deploy.sh needs, and forks for each run: hundreds of runs, without their starts.

A signal to ./deploy.sh does not reach its fork.

Usage: warm.py SOCKET             waits for clients, and forks
       warm.py SOCKET STEPS [OPTION]...   as python -m local.deploying STEPS [OPTION]...
"""

import os
import pickle
import socket
import subprocess
import sys
import time
import traceback


def start(directory, tools, project):
    """Makes DIRECTORY/.tools, for the place of `tools`, and starts its Python, with the local/ of `project`."""
    socket, made = directory / "socket", directory / ".tools"
    (made / "bin").mkdir(parents=True)
    for tool in (*(one for one in tools.iterdir() if one.name != "bin"), *(tools / "bin").iterdir()):
        (made / tool.relative_to(tools)).symlink_to(tool)
    (made / "bin" / "python").unlink()
    (made / "bin" / "python").write_text(
        f'#!/bin/sh\n[ "$2" = local.deploying ] || exec {tools}/bin/python "$@"\n'
        f'shift 2\nexec {tools}/bin/python -I {__file__} {socket} "$@"\n'
    )
    (made / "bin" / "python").chmod(0o755)
    process = subprocess.Popen([sys.executable, __file__, socket], cwd=project)
    while not socket.exists():
        assert process.poll() is None
        time.sleep(0.05)
    return process


def serve(path):
    sys.path.insert(0, os.getcwd())
    import samcli.commands.build.build_context
    import samcli.commands.build.command
    import samcli.commands.deploy.command
    import samcli.commands.deploy.deploy_context
    import samcli.commands.package.package_context  # noqa: F401

    import local.tests.integration.preread  # noqa: F401
    from local.deploying import __main__, artifact, bucket, sam, stack, template  # noqa: F401

    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    while True:
        client, _ = listening.accept()
        message, descriptors, _, _ = socket.recv_fds(client, 1_000_000, 3)
        child = os.fork()
        if not child:
            directory, environment, arguments = pickle.loads(message)
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))
            os.chdir(directory)
            os.environ.clear()
            os.environ.update(environment)
            status = 1
            try:
                status = __main__.main(arguments[0], arguments[1:])
                sys.stdout.flush()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        client.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        client.close()


def ask(path, arguments):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    socket.send_fds(client, [pickle.dumps((os.getcwd(), dict(os.environ), arguments))], [0, 1, 2])
    return int(client.recv(10))


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1]) if len(sys.argv) == 2 else ask(sys.argv[1], sys.argv[2:]))
