"""The handler of a function that is debugged: it lets an editor attach through debugpy, and is then the real handler.

Runs inside the execution environment; local/debugging.py sets its variables.
"""

import importlib
import os

import debugpy

debugpy.listen((os.environ.pop("DEBUG_HOST"), int(os.environ.pop("DEBUG_PORT"))))
if os.environ.pop("DEBUG_WAIT"):
    debugpy.wait_for_client()
_module, _, _name = os.environ.pop("DEBUG_HANDLER").rpartition(".")
_handler = getattr(importlib.import_module(_module.replace("/", ".")), _name)
_wake = os.environ.pop("DEBUG_WAKE")


def handler(event, context):
    """Calls the real handler, unless the event only wakes the environment so that it listens before any request."""
    if event == _wake:
        return None
    return _handler(event, context)
