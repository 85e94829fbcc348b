"""The HTTP server in front of SAM CLI's applications, and what it says in the terminal."""

import errno
import re
import signal
import socket
import sys
import threading
import time

from werkzeug.serving import WSGIRequestHandler, make_server

_serving = None
_listening = None
_speaking = threading.Lock()


class CannotListen(Exception):
    """The address cannot be had."""


def say(line):
    """A line for the person at the terminal; stdout is for answers."""
    with _speaking:
        print(line, file=sys.stderr, flush=True)


def listen(host, port):
    """Takes the port (0: a free one) and returns it. Raises CannotListen, which says what to do."""
    global _listening
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    _listening = socket.socket(family)
    _listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        _listening.bind((host, port))
    except OverflowError:
        raise CannotListen(f"port {port} is none; a port is a number from 0 to 65535") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"port {port} is in use by another program; stop it, or take another port: ./run.sh --port {port + 1}"
            ) from None
        raise CannotListen(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    _listening.listen(128)
    return _listening.getsockname()[1]


def replace(application):
    """Serves this WSGI application from the next request on; false when nothing is served yet."""
    global _serving
    first, _serving = _serving is None, application
    return not first


def serve(ssl_context, before):
    """Serves until Ctrl-C, SIGTERM or a closed terminal. `before` is called before each request."""

    def application(environ, start_response):
        before()
        return _serving(environ, start_response)

    server = make_server(
        *_listening.getsockname()[:2],
        application,
        threaded=True,
        request_handler=_Handler,
        ssl_context=ssl_context,
        fd=_listening.fileno(),
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        server.serve_forever(poll_interval=3600)
    except KeyboardInterrupt:
        pass
    # A second Ctrl-C would only leave behind what the first one ends.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)


def curl(base, routes):
    """A curl command that gets an answer from the first of the (method, path) routes, a GET if there is one."""
    method, path = next((route for route in routes if route[0] == "GET"), routes[0])
    path = re.sub(r"\{[^}]*\}", "1", path).replace("$default", "/")
    return f"curl {base}{path}" if method == "GET" else f"curl --request {method} {base}{path}"


def _interrupt(*_):
    raise KeyboardInterrupt


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    # The head and the body of an answer go out in one packet.
    wbufsize = 65536
    disable_nagle_algorithm = True

    def parse_request(self):
        self._start = time.monotonic()
        return super().parse_request()

    def log_request(self, code="-", size="-"):
        took = f"{(time.monotonic() - self._start) * 1000:.0f} ms"
        say(f"{time.strftime('%H:%M:%S')} {self.command} {self.path} {getattr(code, 'value', code)} {took}")

    def log_error(self, format, *arguments):
        """Says nothing: a client that goes away, or speaks no HTTP, is none of the developer's errors."""
