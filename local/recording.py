"""Recorded requests: for each one a JSON file with the event and the function's answer, for tests and `invoke --event`.

{"handler": "module.function", "event": {…}, "answer": {…}}, or "error" instead of "answer" if the function failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from local.engine import Function, Result

# Names of headers. Nothing marks a secret in a body or a query.
_SECRET = re.compile(r"authorization|cookie|token|secret|password|signature|api-?key", re.IGNORECASE)
# Other places in an event that repeat such headers.
_ALSO = ("cookies", "authorizationToken", "apiKey")
_REPLACED = "REPLACED"
_HEADERS = ("headers", "multiValueHeaders")
_KEYS = ({"handler", "event", "answer"}, {"handler", "event", "error"})
_LONG = 80


class CannotRecord(Exception):
    """The directory cannot be used; the text says why."""


class Recorder:
    """Writes to one directory, in which it only ever adds files."""

    def __init__(self, directory: str) -> None:
        """Raises CannotRecord."""
        self._directory = Path(directory)
        self._last: dict[str, int] = defaultdict(int)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotRecord(f"cannot record to {directory}: {error.strerror}; name a directory") from None

    def record(self, method: str, path: str, function: Function, event: dict[str, Any], result: Result) -> Path:
        """Writes a file and returns its path. Replaces secrets in headers."""
        answer = json.loads(result.payload or b"null")
        outcome = {"error": answer} if result.error else {"answer": _without_secrets(answer)}
        made = {"handler": function.handler, "event": _without_secrets(event), **outcome}
        slug = re.sub(r"[^a-z0-9]+", "-", f"{method}{path}".lower()).strip("-")[:_LONG]
        with self._new(slug) as file:
            file.write(json.dumps(made, indent=2, ensure_ascii=False) + "\n")
        return Path(file.name)

    def _new(self, slug: str) -> Any:
        """The first free file name with a number, opened for writing, and accessible to its owner only."""
        while True:
            self._last[slug] += 1
            with contextlib.suppress(FileExistsError):
                path = self._directory / f"{slug}-{self._last[slug]}.json"
                return open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600))


def event_in(text: str) -> str:
    """The event in a recording, or the text itself if it is not a recording."""
    try:
        recorded = json.loads(text)
    except ValueError:
        return text
    return json.dumps(recorded["event"]) if isinstance(recorded, dict) and recorded.keys() in _KEYS else text


def _without_secrets(part: Any, headers: bool = False) -> Any:
    """A copy in which the secrets are replaced, at any depth."""
    if isinstance(part, list):
        return [_without_secrets(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _replaced(value)
        if value is not None and (key in _ALSO or (headers and _SECRET.search(key)))
        else _without_secrets(value, key in _HEADERS)
        for key, value in part.items()
    }


def _replaced(value: Any) -> Any:
    return [_REPLACED] * len(value) if isinstance(value, list) else _REPLACED
