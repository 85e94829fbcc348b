"""A Python that has imported what ./deploy.sh needs, and forks for each run: hundreds of them, without their starts.

Usage: warm.py SOCKET             waits for clients, and forks
       warm.py SOCKET STEPS [OPTION]...   as python -m local.deploying STEPS [OPTION]...
"""

import os
import pickle
import socket
import sys


def serve(path):
    sys.path.insert(0, os.getcwd())
    import samcli.commands.build.build_context
    import samcli.commands.build.command
    import samcli.commands.deploy.command
    import samcli.commands.deploy.deploy_context
    import samcli.commands.package.package_context  # noqa: F401

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
            os.chdir(directory)
            os.environ.clear()
            os.environ.update(environment)
            status = 1
            try:
                status = __main__.main(arguments[0], arguments[1:])
                sys.stdout.flush()
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
