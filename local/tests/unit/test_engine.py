"""What the terminal says of a result."""

import pytest

from local.engine import Result


@pytest.mark.parametrize(
    ("result", "waited", "note"),
    [
        (Result(b"{}", init=0.2), 0.25, ", init 200 ms"),
        (Result(b"{}", init=0.2), 0.002, ""),  # another request has waited for it
        (Result(b"{}"), 0.25, ""),
        (Result(b"{}", init=0.2, memory=125, tight=True), 0.25, ", init 200 ms, 125 MB used, nearly all of MemorySize"),
    ],
)
def test_note_names_what_the_request_has_waited_for(result, waited, note):
    assert result.note(waited) == note
