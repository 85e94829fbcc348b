"""The handler of a debugged function: lets an editor attach through debugpy, and calls the real handler.

Runs inside the execution environment; see local/debugging.py.
"""

import importlib
import json
import os

import debugpy

_asked = json.loads(os.environ.pop("_ATTACH"))
debugpy.listen((_asked["host"], _asked["port"]))
if _asked["wait"]:
    print(f"Debugger: waiting for an editor at port {_asked['port']}", flush=True)
    debugpy.wait_for_client()
_module, _, _name = _asked["handler"].rpartition(".")
_handler = getattr(importlib.import_module(_module.replace("/", ".")), _name)


def handler(event, context):
    """Calls the real handler, unless the event only wakes the environment so that an editor can attach early."""
    if event == _asked["wake"]:
        return None
    return _handler(event, context)
