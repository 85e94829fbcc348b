"""Execution environments without containers: AWS's Runtime Interface Emulator and AWS's Python runtime client.

An execution environment is a pair of processes. The emulator (its binary ships inside aws-sam-cli) takes an invoke
over HTTP and hands it out through the Lambda Runtime API; the runtime client (awslambdaric) asks for it there, calls
the handler and posts what it returns. The emulator serves one invoke at a time and panics when a second overlaps, so
that here, as on Lambda, an environment has one request at a time and there are as many environments as requests.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import contextlib
import fcntl
import json
import os
import queue
import re
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from local.reaper import Reaper, end

# A new account may run 10 at once, an old one 1,000; a laptop holds this many. What comes on top waits.
LIMIT = 32

# Lambda counts a synchronous invoke's payload against this, in both directions, in bytes.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
PAYLOAD_LIMIT = 6 * 1024 * 1024 + 100

_BOOTSTRAP = Path(__file__).parent / "inside" / "bootstrap.py"
_START_S = 10
_INVOKE = (
    "POST /2015-03-31/functions/function/invocations HTTP/1.0\r\n"
    "Content-Type: application/json\r\nConnection: keep-alive\r\n"
)
_STATUS = rb"HTTP/1\.\d (\d+)[^\r\n]*\r\n(?:[^\r\n]+\r\n)*?"
_RESPONSE = re.compile(_STATUS + rb"Content-Length: (\d+)\r\n(?:[^\r\n]+\r\n)*\r\n")
_RESPONSE_TO_END = re.compile(_STATUS + rb"\r\n")
_OF_INIT = {"Runtime.ImportModuleError", "Runtime.UserCodeSyntaxError", "Runtime.HandlerNotFound"}
_OF_ENVIRONMENT = {"Runtime.ExitError", "Sandbox.Timedout", "Function.ResponseSizeTooLarge"}

# A paragraph of the runtime client on runtime updates, which do not happen here, before each error of an init.
_ADVICE = re.compile(rb"\[WARNING\]\t\S*\t\S*\tLAMBDA_WARNING: Unhandled exception[^\n]*\n+")

# The runtime client indents tracebacks with no-break spaces.
_INDENT = re.compile(rb"(?m)^(?:\xc2\xa0)+")

_PORTS = threading.Lock()
_taken = set()


class StillRunning(Exception):
    """The function has not answered within the time that its caller waits; it goes on by itself."""


@dataclass(frozen=True)
class Function:
    """What execution environments are made from; two that are equal may share warm ones."""

    name: str
    handler: str
    python: str  # path of the interpreter
    code: str  # path of the directory with the handler, Lambda's /var/task
    path: tuple  # directories that are searched after it
    variables: tuple  # of (name, value): the whole environment
    version: object = None  # changes with the files
    alone: bool = False  # at most one environment at a time, the last one ended before the next starts


class Pool:
    """Invokes functions in execution environments that it starts, keeps warm, and ends.

    `emulator` is the path of the Runtime Interface Emulator, `output` a binary stream for what functions print.
    Thread-safe. `close` must be called; should the process be killed before, the reaper ends what runs.
    """

    def __init__(self, emulator, output):
        self._emulator = emulator
        self._reaper = Reaper()
        self._output = output
        self._free = threading.Condition()
        self._idle = {}
        self._all = set()
        self._count = 0
        self._ended = queue.SimpleQueue()
        threading.Thread(target=self._end, daemon=True).start()

    def invoke(self, function, event, tenant=None, wait=None):
        """What the function's answer to the event is (bytes, JSON); an error is an object as Lambda writes it.

        `function` is called for the current Function, `event` is JSON in bytes, `wait` the seconds that the caller
        waits. Environments are never shared between tenants. Raises StillRunning.
        """
        while True:
            current = function()
            environment = self._acquire(current, tenant)
            fresh = environment.fresh
            try:
                answer, kept = environment.invoke(event, tenant, wait)
            except TimeoutError:
                threading.Thread(target=self._outlast, args=(environment,), daemon=True).start()
                raise StillRunning from None
            self._release(environment, kept)
            # A save that met the import: the handler has not run, so the next environment may have the request.
            if fresh and _kind(answer) in _OF_INIT and function() != current:
                continue
            return answer

    def close(self):
        with self._free:
            environments, self._all = self._all, set()
        for environment in environments:
            environment.end()

    def _acquire(self, function, tenant):
        key = (function.name, tenant)
        with self._free:
            while True:
                idle = self._idle.setdefault(key, [])
                while idle:
                    environment = idle.pop()
                    if environment.function == function:
                        return environment
                    self._discard(environment)
                if function.alone and any(environment.key == key for environment in self._all):
                    self._free.wait()
                    continue
                if self._count < LIMIT:
                    self._count += 1
                    break
                if other := next(filter(None, self._idle.values()), None):
                    self._discard(other.pop(0))
                    continue
                self._free.wait()
            if function.alone:
                return self._start(function, key)
        return self._start(function, key)

    def _start(self, function, key):
        try:
            environment = Environment(self._emulator, function, key, self._output, self._reaper)
        except BaseException:
            with self._free:
                self._count -= 1
            raise
        with self._free:
            self._all.add(environment)
        return environment

    def _release(self, environment, kept):
        with self._free:
            if kept and environment in self._all:
                self._idle[environment.key].append(environment)
            else:
                self._discard(environment)
            self._free.notify_all()

    def _outlast(self, environment):
        self._release(environment, environment.outlast())

    def _discard(self, environment):
        self._all.discard(environment)
        self._count -= 1
        environment.end() if environment.function.alone else self._ended.put(environment)

    def _end(self):
        while True:
            self._ended.get().end()


class Environment:
    """One execution environment of a function. It starts at once; its init happens within the first invoke."""

    def __init__(self, emulator, function, key, output, reaper):
        self.function = function
        self.key = key
        self.fresh = True
        self._emulator = emulator
        self._output = output
        self._reaper = reaper
        self._connection = None
        self._start()

    def _start(self):
        self._ports = _take_ports(2)
        serves, runtime_api = (f"127.0.0.1:{port}" for port in self._ports)
        reading, low = os.pipe()
        # The emulator's language uses low numbers for itself on the way to starting its runtime.
        writing = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 200)
        os.close(low)
        # The emulator's own lines go nowhere: what counts among them is said here, and the function's stay readable.
        command = [
            "sh",
            "-c",
            f'unset GOMAXPROCS; exec "$@" >/proc/self/fd/{writing} 2>&1',
            "sh",
            self.function.python,
            _BOOTSTRAP,
        ]
        path = {"PYTHONPATH": os.pathsep.join(self.function.path)} if self.function.path else {}
        self._process = subprocess.Popen(
            [self._emulator, "--log-level=fatal", f"--runtime-interface-emulator-address={serves}"]
            + [f"--runtime-api-address={runtime_api}", *command, self.function.handler],
            cwd=self.function.code,
            # One thread at a time is enough for one request at a time, and a sixth quicker than several that hand over.
            env={**dict(self.function.variables), **path, "GOMAXPROCS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[writing],
            start_new_session=True,
        )
        os.close(writing)
        self._reaper.started(self._process.pid)
        self._log = threading.Thread(target=_copy, args=(reading, self._output), daemon=True)
        self._log.start()

    def invoke(self, event, tenant, wait):
        """The answer (bytes), and whether Lambda would keep the environment. Raises TimeoutError after `wait` s."""
        try:
            if not self._connection:
                self._connect()
            self._connection.settimeout(wait)
            head = f"{_INVOKE}Content-Length: {len(event)}\r\n"
            if tenant:
                head += f"X-Amz-Tenant-Id: {tenant}\r\n"
            self._received = bytearray()
            self._connection.sendall(f"{head}\r\n".encode() + event)
            return self._answer()
        except TimeoutError:
            raise
        except OSError as error:
            return _error("Runtime.ExitError", f"Error: The execution environment ended: {error}"), False

    def outlast(self):
        """Waits for the answer that nobody waits for any more; whether the environment is kept then."""
        self._connection.settimeout(None)
        try:
            return self._answer()[1]
        except OSError:
            return False

    def end(self):
        end(self._process.pid)
        self._process.wait()
        self._reaper.ended(self._process.pid)
        _give_ports(self._ports)
        if self._connection:
            self._connection.close()
        self._log.join(1)

    def _answer(self):
        status, answer = self._response()
        self.fresh = False
        if answer.startswith(b"Task timed out after"):
            answer = _error("Sandbox.Timedout", f"Error: {answer.decode()}")
        elif not answer:
            answer = _error("Runtime.ExitError", "Error: Runtime exited without providing a reason")
        kind = _kind(answer)
        if kind in _OF_ENVIRONMENT:
            self._log_event(json.loads(answer)["errorMessage"].rpartition("Error: ")[2])
        return answer, status == 200 and kind not in _OF_INIT | _OF_ENVIRONMENT

    def _response(self):
        """Status and body of an HTTP/1.0 response: the body has the length that the head names, or ends with it all.

        http.client would take a third of a request's time, most of it for parsing four headers as if they were mail.
        """
        while not (found := _RESPONSE.match(self._received)) or len(self._received) < found.end() + int(found[2]):
            data = self._connection.recv(262144)
            if not data:
                self._connection = None
                found = _RESPONSE.match(self._received) or _RESPONSE_TO_END.match(self._received)
                if not found:
                    raise ConnectionError("it hung up")
                break
            self._received += data
        return int(found[1]), bytes(self._received[found.end() :])

    def _log_event(self, message):
        """What Lambda itself writes into the log, where the runtime could not."""
        moment = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._output.write(f"{moment} {message}\n".encode())
        self._output.flush()

    def _connect(self):
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self._connection = socket.create_connection(("127.0.0.1", self._ports[0]))
                self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                if self._process.poll() is not None:  # another program was faster to take one of the ports
                    self.end()
                    self._start()
                time.sleep(0.001)


def is_error(answer):
    """Whether an answer is a function error, which Lambda marks with a header and the emulator does not."""
    return _kind(answer) is not None


def _kind(answer):
    if not answer[:64].lstrip().startswith((b'{"errorMessage"', b'{"errorType"')):
        return None
    with contextlib.suppress(ValueError):
        error = json.loads(answer)
        if error.keys() <= {"errorMessage", "errorType", "requestId", "stackTrace"}:
            return error.get("errorType")
    return None


def _error(kind, message):
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


def _take_ports(count):
    """Ports that are free, and that no other environment has been given to bind."""
    with contextlib.ExitStack() as stack, _PORTS:
        ports = []
        while len(ports) < count:
            probe = stack.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            if (port := probe.getsockname()[1]) not in _taken:
                ports.append(port)
        _taken.update(ports)
        return ports


def _give_ports(ports):
    with _PORTS:
        _taken.difference_update(ports)


def _copy(reading, output):
    """Copies what a function prints; tracebacks come with carriage returns, so that they are one event in a log."""
    with open(reading, "rb", buffering=0) as stream:
        while data := stream.read(65536):
            lines = _ADVICE.sub(b"", data).replace(b"\r", b"\n")
            output.write(_INDENT.sub(lambda found: b" " * (len(found[0]) // 2), lines))
            output.flush()
