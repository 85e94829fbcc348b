"""An execution environment: one process with AWS's Python runtime client, and the platform's side of it.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from local import debugging
from local.engine import RESULT_LIMIT, RESULT_TOO_LARGE, Function, Invoke, Result
from local.inside import bootstrap, lifeline
from local.platform_log import Log, report, stamped, stream

# Seconds for the first init; a second one counts towards the time limit of the invoke.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib
INIT_LIMIT = 10

# A function that uses more than this share of its MemorySize is close to the limit.
_TIGHT = 0.9

_LOOK_S = 0.1
_DAY_S = 86400
_AT_ONCE = 262144

# The version of the files, the interpreter, and the directories that it searches for modules.
Code = tuple[Any, str, tuple[str, ...]]


class NotRun(Exception):
    """The environment was gone before it had read the event, so another one may run it."""


class InitFailed(Exception):
    """The init crashed or took too long, without an error of the function's own; Lambda tries it once more."""


@dataclass(frozen=True)
class _Turn:
    """The current invoke, and when it began (time.monotonic: the clock of uvloop counts milliseconds)."""

    invoke: Invoke
    since: float
    ended: Callable[[float], None]
    answer: asyncio.Future[Result]


class Environment:
    """One execution environment, which starts at once. All methods are called from the event loop's thread.

    `line` is the file descriptor of a pipe whose other end only this process holds. What the function prints goes to
    `output`, with Lambda's own lines if `verbose`. `mounts` says whether the system allows confinement.mount.
    Raises OSError.
    """

    def __init__(
        self, function: Function, code: Code, output: BinaryIO, line: int, verbose: bool, mounts: bool
    ) -> None:
        self.function, self.code = function, code
        self._loop = asyncio.get_running_loop()
        self._verbose = verbose
        self._received, self._unread = bytearray(), False
        self._memory, self._stopped = (0, 0), False
        self._turn: _Turn | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._init: float | None = None  # seconds, until an invoke has reported it
        self._ready: asyncio.Future[Result | None] = self._loop.create_future()
        self._ended: asyncio.Task[None] | None = None
        self._marker = uuid.uuid4().hex
        self._begun = time.monotonic()
        self._log = Log(output)
        self._socket, theirs = socket.socketpair()
        try:
            self._process = self._start(theirs.fileno(), line, mounts)
        except BaseException:
            self._log.close()
            self._socket.close()
            raise
        finally:
            os.close(self._log.writing)
            theirs.close()
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._readable)
        self._loop.add_reader(self._log.reading, self._printed)

    def _start(self, connection: int, line: int, mounts: bool) -> subprocess.Popen[bytes]:
        handler = debugging.HANDLER if self.function.debugged else self.function.handler
        _, interpreter, path = self.code
        read_only = os.pathsep.join(filter(os.path.isdir, (self.function.code, *self.function.layers, *path)))
        storage = str(self.function.storage if mounts else 0)
        start = os.path.join(os.path.dirname(bootstrap.__file__), "start.py")
        command = [interpreter, start, handler, str(connection), str(line), storage, read_only]
        environment = variables(self.function, interpreter, path, self._marker)
        if wrapper := environment.get("AWS_LAMBDA_EXEC_WRAPPER"):
            # Through a shell, as on Lambda: if the file is missing, it exits with status 127.
            # https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html#runtime-wrapper
            command = ["/bin/sh", "-c", 'exec "$@"', "sh", _here(wrapper, self.function), *command]
        return subprocess.Popen(
            command,
            cwd=self.function.code,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log.writing,
            stderr=self._log.writing,
            pass_fds=[connection, line],
            start_new_session=True,
        )

    @property
    def since(self) -> float | None:
        """When its current invoke began (time.monotonic)."""
        return self._turn.since if self._turn else None

    @property
    def alive(self) -> bool:
        return self._ended is None

    async def initialize(self) -> Result | None:
        """Waits for the init to end. Returns None, or the function's error. Raises InitFailed."""
        await asyncio.wait({self._ready}, timeout=None if self.function.debugged else INIT_LIMIT)
        if not self._ready.done():
            self._log.add(f"INIT_REPORT Init Duration: {INIT_LIMIT * 1000:.2f} ms\tPhase: init\tStatus: timeout")
            raise InitFailed
        return self._ready.result()

    def invoke(self, invoke: Invoke, ended: Callable[[float], None]) -> asyncio.Future[Result]:
        """Hands it the event. The future gets the result or NotRun; cancelling it does not stop the function.

        The time limit counts from now, init or not. `ended` is called with the seconds it took, before the future has
        the result.
        """
        self._turn = turn = _Turn(invoke, time.monotonic(), ended, self._loop.create_future())
        if self._verbose or invoke.tail:
            self._log.add(f"START RequestId: {invoke.id} Version: $LATEST", self._verbose)
        limit = _DAY_S if self.function.debugged else self.function.timeout
        deadline = int((time.time() + limit) * 1000)
        fields = (invoke.id, invoke.trace, self.function.arn, deadline, invoke.client_context, invoke.tenant)
        if not self.function.debugged:
            self._timer = self._loop.call_later(min(_LOOK_S, limit), self._look)
        head = json.dumps(fields).encode()
        self._send(bootstrap.REQUEST.pack(len(head), len(invoke.event)) + head + invoke.event)
        return turn.answer

    def end(self) -> asyncio.Task[None]:
        """Ends the process, and everything that it has started."""
        if not self._ended:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._ended = self._loop.create_task(self._end())
        return self._ended

    async def _end(self) -> None:
        await self._loop.run_in_executor(None, lifeline.end, self._process.pid, self._marker)
        await self._loop.run_in_executor(None, self._process.wait)
        self._loop.remove_reader(self._log.reading)
        self._log.close()
        self._socket.close()

    def _send(self, data: bytes | memoryview) -> None:
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # the process is gone; _readable is about to notice
            self._unread, sent = True, len(data)
        if sent < len(data):
            self._loop.add_writer(self._socket, self._go_on, memoryview(data)[sent:])

    def _go_on(self, data: memoryview) -> None:
        self._loop.remove_writer(self._socket)
        self._send(data)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_AT_ONCE)
        except BlockingIOError:
            return
        except ConnectionError:  # the process left part of the event unread
            self._unread, data = True, b""
        if not data:
            self._exiting = self._loop.create_task(self._exit())
            return
        self._received += data
        while len(self._received) >= bootstrap.REPLY.size:  # an init and its invoke may have ended at once
            kind, *memory, size = bootstrap.REPLY.unpack_from(self._received)
            self._memory = tuple(memory)
            end = bootstrap.REPLY.size + size
            if size > RESULT_LIMIT:
                return self._fail("Function.ResponseSizeTooLarge", RESULT_TOO_LARGE, RESULT_TOO_LARGE)
            if len(self._received) < end:
                return
            payload = bytes(self._received[bootstrap.REPLY.size : end])
            del self._received[:end]
            self._reply(kind, payload)

    def _reply(self, kind: bytes, payload: bytes) -> None:
        if kind == bootstrap.READY:
            self._init = time.monotonic() - self._begun
            self._ready.set_result(None)
        elif kind == bootstrap.INIT_ERROR:
            self._ready.set_result(Result(payload, "Unhandled", self._log.take()))
            self._finish(payload, "Unhandled")
        elif not self._outgrown():
            self._finish(payload, "Unhandled" if kind == bootstrap.ERROR else None)

    async def _exit(self) -> None:
        """The process is gone, or has at least closed its socket."""
        await self.end()
        initialized = self._ready.done()
        if not initialized:
            self._ready.set_exception(InitFailed())
            self._ready.exception()  # perhaps nobody waits for it
        if self._unread and initialized and self._turn and not self._turn.answer.done():
            self._turn.answer.set_exception(NotRun())
        self._fail("Runtime.ExitError", _reason(self._process.returncode))

    def _printed(self) -> None:
        if not self._log.read():
            self._loop.remove_reader(self._log.reading)

    def _look(self) -> None:
        """Checks the time and the memory of the current invoke."""
        assert self._turn
        now, limit = time.monotonic(), self.function.timeout
        if now >= self._turn.since + limit:
            text = f"Task timed out after {limit:.2f} seconds"
            return self._fail("Sandbox.Timedout", text, stamped(f"{self._turn.invoke.id} {text}"), "Status: timeout")
        with contextlib.suppress(OSError, IndexError):
            with open(f"/proc/{self._process.pid}/status", "rb") as file:
                status = file.read()
            self._memory = bootstrap.memory(status)
            if self._stopped != (stopped := b"State:\tT" in status):
                self._stopped = stopped
                if stopped:
                    self._log.add(f"{self.function.name} is stopped; to continue: kill -CONT {self._process.pid}")
        if not self._outgrown():
            self._timer = self._loop.call_later(min(_LOOK_S, self._turn.since + limit - now), self._look)

    def _outgrown(self) -> bool:
        """Whether it has used more memory than allowed, not counting pages of files, which the system could drop."""
        peak, files = self._memory
        if self.function.debugged or peak - files <= self.function.memory * 1024:
            return False
        self._fail("Runtime.OutOfMemory", _reason(-signal.SIGKILL))
        return True

    def _fail(self, kind: str, text: str, line: str | None = None, status: str | None = None) -> None:
        """Answers with an error of the platform's, and ends the environment."""
        self.end()
        if not (turn := self._turn):
            return
        if kind != "Function.ResponseSizeTooLarge":
            text = f"RequestId: {turn.invoke.id} Error: {text}"
        if not turn.answer.done():
            self._log.read()
            self._log.add(line or f"{text}\n{kind}")
        payload = json.dumps({"errorType": kind, "errorMessage": text}).encode()
        self._finish(payload, "Unhandled", status or f"Status: error\tError Type: {kind}")

    def _finish(self, payload: bytes, error: str | None = None, status: str = "") -> None:
        if not (turn := self._turn):
            return
        self._turn, duration = None, time.monotonic() - turn.since
        if self._timer:
            self._timer.cancel()
        init, self._init = self._init, None
        invoke, log, size, used = turn.invoke, b"", self.function.memory, -(-self._memory[0] // 1024)
        self._log.read()
        self._log.end_line()
        if self._verbose or invoke.tail:
            self._log.add(f"END RequestId: {invoke.id}", self._verbose)
            self._log.add(report(invoke.id, duration, size, used, init, status), self._verbose)
            log = self._log.take()
        turn.ended(duration)
        if not turn.answer.done():
            turn.answer.set_result(Result(payload, error, log, duration, init, used, used > _TIGHT * size))


def variables(function: Function, interpreter: str, path: tuple[str, ...], id: str) -> dict[str, str]:
    """All environment variables of a function: Lambda's, the function's own, and of the developer's only PATH.

    Paths on Lambda (/var/task, /opt) are replaced with their counterparts here. HOME does not exist, since it would
    hold credentials. https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    own = dict(function.variables)
    region = function.arn.split(":")[3]
    places = [function.code, *reversed(function.layers)]
    searched = [_here(place, function) for place in own.get("PYTHONPATH", "").split(":") if place]
    return {
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_SAM_LOCAL": "true",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
        "HOME": "/nonexistent",
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": ":".join(f"{place}/lib" for place in places),
        "PATH": ":".join(
            [
                os.path.dirname(interpreter),
                os.environ.get("PATH", os.defpath),
                *(f"{place}/bin" for place in places[1:]),
            ]
        ),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TZ": ":UTC",
        **own,
        "PYTHONPATH": os.pathsep.join([*searched, *path]),
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group or f"/aws/lambda/{function.function_name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": stream(id),
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
        "LAMBDA_RUNTIME_DIR": os.path.dirname(bootstrap.__file__),
        "LAMBDA_TASK_ROOT": function.code,
        "PWD": function.code,
        "_HANDLER": function.handler,
    }


def _here(place: str, function: Function) -> str:
    """The counterpart on this machine of a path in /var/task or /opt on Lambda."""
    if place.startswith("/var/task"):
        return function.code + place[len("/var/task") :]
    candidates = [layer + place[len("/opt") :] for layer in reversed(function.layers) if place.startswith("/opt/")]
    return next(filter(os.path.exists, candidates), place)


def _reason(status: int) -> str:
    """In Lambda's words: https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html"""
    if status == 0:
        return "Runtime exited without providing a reason"
    if status > 0:
        return f"Runtime exited with error: exit status {status}"
    return f"Runtime exited with error: signal: {(signal.strsignal(-status) or str(-status)).partition(':')[0].lower()}"
