"""Puts local/inside/attach.py in front of a function's handler, so that an editor can attach at any time."""

import json
from pathlib import Path

# Attaches editors; installed only when --debug-port asks for it. Its wheel without compiled parts runs everywhere.
DEBUGPY = "debugpy==1.8.22"

DIRECTORY = Path(__file__).parent / "inside"
HANDLER = "attach.handler"
WAKE = "wake up"


def variables(handler, host, port, wait):
    """The environment variables of a debugged function: for attach.py the real handler, and where debugpy listens."""
    return {
        "_ATTACH": json.dumps({"handler": handler, "host": host, "port": port, "wait": wait, "wake": WAKE}),
        # Or debugpy warns of the standard library's frozen modules, in which nobody sets a breakpoint.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
