"""The events that ./run.sh --record tests/events has recorded: the handler still answers each as it did then."""

import importlib
import json
from pathlib import Path

import pytest

EVENTS = Path(__file__).parents[1] / "events"


@pytest.mark.parametrize("file", sorted(EVENTS.glob("*.json")), ids=lambda file: file.stem)
def test_recorded_event_is_answered_as_before(file, monkeypatch):
    monkeypatch.setenv("MESSAGE", "Hello from Lambda")
    recorded = json.loads(file.read_text())
    if "error" in recorded:
        pytest.skip(f"the function had failed; to try again: ./run.sh invoke --event {file}")
    module, name = recorded["handler"].rsplit(".", 1)

    answer = getattr(importlib.import_module(module), name)(recorded["event"], None)

    assert answer == recorded["answer"]
