"""The interface of what runs functions: an engine turns an invoke into a result, with processes or containers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Protocol

# Bytes of an event and of a result, as in AWS's own messages.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
EVENT_LIMIT = 6 * 1024 * 1024
RESULT_LIMIT = EVENT_LIMIT + 100
RESULT_TOO_LARGE = f"Response payload size exceeded maximum allowed payload size ({RESULT_LIMIT} bytes)."


@dataclass(frozen=True)
class Function:
    """A function of the template, as Lambda would have it.

    `name` is its full path in the template (logical ids, joined by slashes), `function_name` its name in AWS. `code` is
    the directory with the handler, `layers` are directories as in /opt (a later one wins), `unbuilt` those layers that
    `sam build` would first build. `variables` are the function's own and those of its credentials. Times are in
    seconds, sizes in megabytes.
    """

    name: str
    function_name: str
    arn: str
    handler: str
    runtime: str
    code: str
    timeout: int
    memory: int
    variables: tuple[tuple[str, str], ...] = ()
    layers: tuple[str, ...] = ()
    unbuilt: tuple[str, ...] = ()
    log_group: str = ""
    tenants: bool = False  # whether each invoke is for a tenant
    debugged: bool = False
    storage: int = 512  # of /tmp
    container_only: str = ""  # why processes cannot run it


@dataclass(frozen=True)
class Invoke:
    """One invoke. `wait` is how long the caller waits, in seconds; the function may run longer.

    `tail` asks for the log in the Result, where it is empty otherwise.
    """

    function: Function
    event: bytes
    id: str
    trace: str = ""
    tenant: str | None = None
    client_context: str | None = None  # JSON
    wait: float | None = None
    tail: bool = False


@dataclass(frozen=True)
class Result:
    """How an invoke ended: `payload` is JSON, `error` is "Unhandled" for an error, else None. `log` is its log.

    `duration` and `init` are in seconds; `init` is None except after a cold start. `memory` is the most that the
    environment has used, in megabytes, `tight` whether that is nearly its MemorySize.
    """

    payload: bytes
    error: str | None = None
    log: bytes = b""
    duration: float = 0.0
    init: float | None = None
    memory: int | None = None
    tight: bool = False

    def note(self, waited: float) -> str:
        """What the terminal's line of a request that has taken so many seconds adds about its invoke.

        A cold start that it has waited for, and memory that is nearly used up.
        """
        cold = f", init {self.init * 1000:.0f} ms" if self.init is not None and self.init <= waited else ""
        return cold + (f", {self.memory} MB used, nearly all of MemorySize" if self.tight else "")

    @property
    def reason(self) -> str:
        """The first line of a function's error; its traceback has been printed already."""
        error = json.loads(self.payload)
        text = re.sub(r"^RequestId: \S+ Error: ", "", str(error.get("errorMessage") or "")).partition("\n")[0]
        return ": ".join(filter(None, (error.get("errorType"), text)))


class StillRunning(Exception):
    """The function has not answered within the time that its caller waits; it keeps running."""


class TooLarge(Exception):
    """The event is larger than Lambda allows for one invoke."""


class CannotRun(Exception):
    """No environment can be started; the text names the function, the reason and the command that helps."""


class Engine(Protocol):
    """Runs functions. All methods are called from the event loop's thread."""

    def describe(self) -> list[str]:
        """Lines for the start: which engine this is, and where it cannot do as Lambda does."""

    async def invoke(self, invoke: Invoke) -> Result:
        """Raises StillRunning, TooLarge, CannotRun."""

    async def close(self) -> None:
        """Ends everything that the engine has started."""
