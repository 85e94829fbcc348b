"""Puts local/inside/attach.py in front of a function's handler, so that an editor can attach at any time."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

from local import sources
from local.engine import CannotRun, Invoke
from local.identifier import request_id
from local.terminal import say

if TYPE_CHECKING:
    from local.run import Run

# Attaches editors; installed only for --debug-port. Its wheel without compiled parts runs everywhere.
DEBUGPY = "debugpy==1.8.22"

DIRECTORY = Path(__file__).parent / "inside"
HANDLER = "attach.handler"
WAKE = "wake up"

_LOOK_S = 0.3


def variables(handler: str, host: str, port: int, wait: bool) -> dict[str, str]:
    """A debugged function's environment variables: they tell attach.py the real handler, and where debugpy listens."""
    return {
        "_ATTACH": json.dumps({"handler": handler, "host": host, "port": port, "wait": wait, "wake": WAKE}),
        # Otherwise debugpy warns of the standard library's frozen modules, in which nobody sets a breakpoint.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


async def keep_awake(run: Run) -> None:
    """Starts the debugged function before any request and after every save, so that an editor can attach."""
    seen = None
    while True:
        functions = (await run.project()).functions.values()
        for function in (one for one in functions if one.debugged):
            if seen != (seen := sources.version(function.code)):
                try:
                    await run.engine.invoke(Invoke(function, json.dumps(WAKE).encode(), request_id()))
                    say(f"Debugger: attach to port {run.reading.debug_port}; {function.name} breaks on a request")
                except CannotRun as error:
                    say(str(error))
        await asyncio.sleep(_LOOK_S)
