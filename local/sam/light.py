"""Keeps out SAM's translator, which would take a fifth of a start. Import this before anything of SAM CLI.

SAM CLI's providers would use it for SAM's plugins, but local/cloudformation has resolved each template by then.
"""

import sys
from types import ModuleType

TRANSLATOR = "samcli.lib.samlib.wrapper"

sys.modules[TRANSLATOR] = ModuleType(TRANSLATOR)
sys.modules[TRANSLATOR].SamTranslatorWrapper = None  # type: ignore[attr-defined]
