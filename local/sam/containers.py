"""The engine "containers": SAM CLI's own runtime, behind our gateway.

Removes the containers that it has started, mounts the function's packages, and lets warm containers finish requests.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import contextlib
import gc
import io
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import requests
from docker.errors import DockerException
from requests import RequestException
from samcli.commands.exceptions import UserException
from samcli.commands.local.lib.exceptions import InvalidIntermediateImageError, UnsupportedInlineCodeError
from samcli.commands.local.lib.local_lambda import LocalLambdaRunner
from samcli.lib.utils.stream_writer import StreamWriter
from samcli.local.docker import container as sam_container
from samcli.local.docker.exceptions import DockerContainerCreationFailedException
from samcli.local.docker.manager import ContainerManager, DockerImagePullFailedException

from local import debugging, runtime, sources
from local.aws import ENDPOINT, is_local
from local.engine import EVENT_LIMIT, RESULT_LIMIT, RESULT_TOO_LARGE, CannotRun, Invoke, Result, StillRunning, TooLarge
from local.platform_log import stream
from local.reaper import Reaper
from local.run import Run
from local.sam.engine import container_engine, remove_containers
from local.sam.host import NAME, Host
from local.sam.warm import Warm
from local.terminal import say

# The runtime client's last message when its container is ended.
_LAST_WORDS = re.compile(rb"\[ERROR\] \[\d+\] LAMBDA_RUNTIME Failed to get next invocation[^\n]*\n?")
# The emulator's lines, which may follow what the function has printed without a newline.
_ENDS = (b"START RequestId: ", b"END RequestId: ")
_OPEN_LINE = re.compile(rb"([^\n])(?=(?:START|END) RequestId: [0-9a-f-]{36})")
_CANNOT = (
    UserException,
    DockerImagePullFailedException,
    DockerContainerCreationFailedException,
    InvalidIntermediateImageError,
    UnsupportedInlineCodeError,
    runtime.InstallError,
)
# The container engine has been stopped, or refuses.
_ENGINE = (DockerException, RequestException)


class Containers:
    """Runs functions in containers, each invoke in its own thread, since SAM CLI blocks."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def describe(self) -> list[str]:
        return [f"Engine: containers ({container_engine()})"]

    async def invoke(self, invoke: Invoke) -> Result:
        if len(invoke.event) > EVENT_LIMIT:
            raise TooLarge
        asked = asyncio.ensure_future(_in_thread(lambda: self._invoke(invoke)))
        done, _ = await asyncio.wait([asked], timeout=invoke.wait)
        if not done:
            asked.add_done_callback(lambda ended: ended.exception())  # nobody waits for it any more
            raise StillRunning
        return asked.result()

    async def close(self) -> None:
        """Does nothing: the manager removes the containers when the process ends, however it ends."""

    def _invoke(self, invoke: Invoke) -> Result:
        reading = self._run.reading
        if isinstance(reading.lambda_runtime, Warm):
            reading.lambda_runtime.renew(wait=bool(reading.debug_port))  # the new one needs the debugger's port
        written, log, started = io.StringIO(), Log(reading.stderr), time.monotonic()
        client_context = base64.b64encode((invoke.client_context or "").encode()).decode()
        _of.headers = {"X-Amz-Client-Context": client_context} if client_context else {}
        try:
            reading.local_lambda_runner.invoke(
                invoke.function.name, invoke.event.decode(), invoke.tenant, stdout=StreamWriter(written), stderr=log
            )
        except _CANNOT as error:
            raise CannotRun(f"{invoke.function.name} cannot run: {error}") from None
        except _ENGINE as error:
            raise CannotRun(
                f"{invoke.function.name} cannot run: the container engine failed: {error}; "
                "restart it, or run without it: ./run.sh --no-docker"
            ) from None
        finally:
            log.end_line()
            gc.collect()  # each container's client and streams form cycles, with open connections to the engine
        payload = written.getvalue().encode()
        if not payload:
            kind, text = "Sandbox.Timedout", f"Task timed out after {invoke.function.timeout:.2f} seconds"
            if time.monotonic() - started < invoke.function.timeout:  # somebody has stopped the container
                kind, text = "Runtime.ExitError", "Runtime exited without providing a reason"
            text = f"RequestId: {invoke.id} Error: {text}"
            say(text)
            payload = json.dumps({"errorType": kind, "errorMessage": text}).encode()
        elif len(payload) > RESULT_LIMIT:
            payload = json.dumps(
                {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": RESULT_TOO_LARGE}
            ).encode()
        return Result(payload, "Unhandled" if _is_error(payload) else None, bytes(log.written))


class _Requests:
    """requests, as SAM CLI's containers use it: also sends the headers of this thread's invoke to the emulator."""

    def __getattr__(self, name: str) -> Any:
        return getattr(requests, name)

    def post(self, *arguments: Any, headers: dict[str, str], **options: Any) -> Any:
        return requests.post(*arguments, headers={**headers, **getattr(_of, "headers", {})}, **options)


_of = threading.local()
sam_container.requests = _Requests()  # type: ignore[assignment]


class Log(StreamWriter):
    """SAM CLI's writer of what a container prints, which also keeps it."""

    def __init__(self, below: StreamWriter) -> None:
        super().__init__(below.stream, auto_flush=True)
        self.written = bytearray()

    def write_str(self, output: str) -> None:
        self.write_bytes(output.encode())

    def write_bytes(self, output: bytes) -> None:
        output = _OPEN_LINE.sub(rb"\1\n", _LAST_WORDS.sub(b"", output))
        if output.startswith(_ENDS):
            self.end_line()
        self.written += output
        super().write_str(output.decode(errors="replace"))

    def end_line(self) -> None:
        """Ends a line that the function has left open, so that nothing else is appended to it."""
        if self.written[-1:] not in (b"", b"\n"):
            self.write_bytes(b"\n")


class Manager(ContainerManager):
    """SAM CLI's manager of containers, which labels them so that they can be removed however this process ends."""

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        # A label exists from the start, an id only with the container, which may appear after this process has ended.
        self._label = f"local.server={uuid.uuid4()}"
        self._reaper = Reaper(self._label)
        self._host = Host()
        atexit.register(self.remove_all)

    def create(self, container: Any, context: Any) -> None:
        _equip(container)
        self._lead_to_host(container)
        own = {"AWS_LAMBDA_LOG_STREAM_NAME": stream(uuid.uuid4().hex)}
        container._env_vars = {"AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR", **(container._env_vars or {}), **own}
        name, _, value = self._label.partition("=")
        container._labels[name] = value
        self._reaper.ensure()
        super().create(container, context)

    def _lead_to_host(self, container: Any) -> None:
        """An AWS emulated on this machine has a different address inside a container."""
        environment = container._env_vars or {}
        for name, url in environment.items():
            if name.startswith(ENDPOINT) and is_local(url):
                environment[name] = self._host.reachable(url)
                container._extra_hosts = {NAME: "host-gateway", **(container._extra_hosts or {})}

    def stop(self, container: Any) -> None:
        with contextlib.suppress(*_ENGINE):  # whatever is left is removed at the end
            super().stop(container)

    def remove_all(self) -> None:
        remove_containers(self._label, again=0.2)
        self._reaper.dismiss()


def _equip(container: Any) -> None:
    """Mounts the function's packages, what completes the context, and debugpy if it is asked for."""
    found = re.search(r"python:(3\.\d+)-(?:rapid-)?(x86_64|arm64)", container.image)
    code = container._host_dir
    if not (found and code and os.path.isdir(code)):
        return
    name, architecture = f"python{found[1]}", found[2]
    sources.forget_bytecode(code)
    environment = container._env_vars
    mounts = {str(debugging.DIRECTORY / "container"): "/var/inside"}
    if packages := runtime.packages(code, name, architecture):
        mounts[str(packages)] = "/var/packages"
    if container.debug_options and container.debug_options.debug_ports:
        debugpy = runtime.tool(debugging.DEBUGPY, name, architecture)
        mounts.update({str(debugging.DIRECTORY): "/var/debugger", str(debugpy): "/var/debugpy"})
        environment.update(container.debug_options.container_env_vars or {})
        handler, port = environment["AWS_LAMBDA_FUNCTION_HANDLER"], container.debug_options.debug_ports[0]
        environment.update(debugging.variables(handler, "0.0.0.0", port, wait=False))
        environment["AWS_LAMBDA_FUNCTION_HANDLER"] = debugging.HANDLER
        environment["AWS_LAMBDA_FUNCTION_TIMEOUT"] = str(LocalLambdaRunner.MAX_DEBUG_TIMEOUT)
        container._entrypoint = container._get_default_entry_point()
    volumes = {directory: {"bind": place, "mode": "ro"} for directory, place in mounts.items()}
    container._additional_volumes = {**(container._additional_volumes or {}), **volumes}
    # Setting PYTHONPATH would drop the two directories of layers, which Lambda searches by default.
    own = environment.get("PYTHONPATH") or f"/opt/python/lib/{name}/site-packages:/opt/python"
    environment["PYTHONPATH"] = ":".join([own, *mounts.values()])


def _is_error(payload: bytes) -> bool:
    """Whether an answer is a function error: Lambda marks one with a header, but the emulator does not."""
    if not payload[:64].lstrip().startswith((b'{"errorMessage"', b'{"errorType"')):
        return False
    with contextlib.suppress(ValueError):
        return bool(json.loads(payload).keys() <= {"errorMessage", "errorType", "requestId", "stackTrace"})
    return False


def _in_thread(call: Callable[[], Any]) -> asyncio.Future[Any]:
    """Makes the call in a thread that does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def run() -> None:
        tell: Callable[[Any], None] = future.set_result
        try:
            value = call()
        except Exception as error:
            tell, value = future.set_exception, error
        with contextlib.suppress(RuntimeError):  # the server has ended
            loop.call_soon_threadsafe(lambda: future.cancelled() or tell(value))

    threading.Thread(target=run, daemon=True).start()
    return future
