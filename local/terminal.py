"""Messages for the person at the terminal, on stderr: stdout is for answers."""

from __future__ import annotations

import re
import sys
import threading

_speaking = threading.Lock()
_LONG = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def say(line: str) -> None:
    """Prints a line, whole, whichever thread it comes from."""
    with _speaking:
        print(line, file=sys.stderr, flush=True)


def shown(text: str) -> str:
    """The text of a request, cut where it is long, with control characters escaped: it cannot steer the terminal."""
    text = text if len(text) <= _LONG else f"{text[:_LONG]}…"
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
