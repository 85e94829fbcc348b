"""The HTTP server in front of SAM CLI's applications, and what it says in the terminal."""

import contextlib
import errno
import re
import signal
import socket
import sys
import threading
import time

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server

# A few more than there may be execution environments, so that a request beyond these still gets its 403.
_THREADS = 40

# Ctrl-C, an orderly end, a closed terminal.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_server = None
_application = None
_before = None
_speaking = threading.Lock()


class CannotListen(Exception):
    """The address cannot be had."""


def say(line):
    """A line for the person at the terminal; stdout is for answers."""
    with _speaking:
        print(line, file=sys.stderr, flush=True)


def listen(host, port, ssl_files):
    """Takes the port (0: a free one) and returns it. Raises CannotListen, which says what to do.

    `ssl_files` are the paths of a certificate and of its key, or None.
    """
    global _server
    # Clients that connect at the same moment wait in this queue; beyond it the kernel lets them try again in a second.
    _server = Server((host, port), _answer, numthreads=_THREADS, request_queue_size=128)
    if ssl_files:
        _server.ssl_adapter = BuiltinSSLAdapter(*ssl_files)
    try:
        # Once here for the reason, which the server does not tell.
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except OverflowError:
        raise CannotListen(f"port {port} is none; a port is a number from 0 to 65535") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"port {port} is in use by another program; stop it, or take another port: ./run.sh --port {port + 1}"
            ) from None
        raise CannotListen(f"cannot listen on {host}, port {port}: {error.strerror or error}") from None
    # What is left of it are connections that clients have broken off, which is none of the developer's errors.
    _server.error_log = lambda *_, **__: None
    preparing = _daemon(_server.prepare)
    preparing.join()
    return _server.bind_addr[1]


def replace(application):
    """Serves this WSGI application from the next request on; false when nothing is served yet."""
    global _application
    first, _application = _application is None, application
    return not first


def serve(before):
    """Serves until Ctrl-C, SIGTERM or a closed terminal. `before` is called before each request."""
    global _before
    _before = before
    for number in _ENDING:
        signal.signal(number, _interrupt)
    serving = _daemon(_server.serve)
    with contextlib.suppress(KeyboardInterrupt):
        serving.join()
    # A second Ctrl-C would only leave behind what the first one ends.
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


def curl(base, routes):
    """A curl command that gets an answer from the first of the (method, path) routes, a GET if there is one."""
    method, path = next((route for route in routes if route[0] == "GET"), routes[0])
    path = re.sub(r"\{[^}]*\}", "1", path).replace("$default", "/")
    # A certificate for this machine is one that nobody else vouches for.
    options = ["--insecure"] * base.startswith("https") + ["--request", method] * (method != "GET")
    return " ".join(["curl", *options, f"{base}{path}"])


def _daemon(target):
    """A started thread; it, and those that it starts, do not keep the process from ending."""
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def _interrupt(*_):
    raise KeyboardInterrupt


def _answer(environ, start_response):
    """The WSGI application: that of SAM CLI, with a line for each request."""
    start = time.monotonic()

    def start_and_say(status, headers, exc_info=None):
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        took = f"{(time.monotonic() - start) * 1000:.0f} ms"
        moment = time.strftime("%H:%M:%S")
        say(f"{moment} {environ['REQUEST_METHOD']} {environ['PATH_INFO']}{query} {status.split()[0]} {took}")
        return start_response(status, headers, exc_info)

    _before()
    return _application(environ, start_and_say)
