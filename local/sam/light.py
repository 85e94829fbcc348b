"""Keeps out what SAM CLI imports and a local server does not use: importing it takes a third of the start.

Import this before anything of SAM CLI.
"""

import importlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

# By module: the names that others import from it, and what they get.
REPLACED: dict[str, dict[str, Any]] = {
    # SAM's transform: local/cloudformation has resolved each template by then.
    "samcli.lib.samlib.wrapper": {"SamTranslatorWrapper": None},
    # It checks what the transform makes.
    "samtranslator.compat": {"pydantic": SimpleNamespace(BaseModel=object)},
    # Asked whether Flask serves a request.
    "flask": {"has_request_context": lambda: False},
}
# botocore then takes the same SSLContext from urllib3 itself.
ABSENT = "urllib3.contrib.pyopenssl"
# For --hook-name alone.
LATER = "jsonschema"


def replace(name: str, **values: Any) -> None:
    """Gives these values to whoever imports them from the module, which is not imported."""
    sys.modules[name] = ModuleType(name)
    vars(sys.modules[name]).update(values)


def _load(attribute: str) -> Any:
    if vars(sys.modules[LATER]).get("__getattr__") is _load:
        del sys.modules[LATER]
    return getattr(importlib.import_module(LATER), attribute)


for name, values in REPLACED.items():
    replace(name, **values)
sys.modules[ABSENT] = None  # type: ignore[assignment]
replace(LATER, __getattr__=_load)
