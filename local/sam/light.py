"""Keeps SAM's translator out, which would take a fifth of a start: to be imported before anything of SAM CLI.

SAM CLI's providers would have it run SAM's plugins, but local/cloudformation has resolved each template by then.
"""

import sys
from types import ModuleType

TRANSLATOR = "samcli.lib.samlib.wrapper"

sys.modules[TRANSLATOR] = ModuleType(TRANSLATOR)
sys.modules[TRANSLATOR].SamTranslatorWrapper = None  # type: ignore[attr-defined]
