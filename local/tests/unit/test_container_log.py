"""What a container prints: a line that the function leaves open ends before the emulator's next one."""

import io

import pytest
from samcli.lib.utils.stream_writer import StreamWriter

from local.sam.containers import Log

ID = "784ab10b-0474-4ad1-9bb5-b0435e52ae7b"


@pytest.mark.parametrize(
    "printed, shown",
    [
        ([f"openEND RequestId: {ID}\nREPORT\n"], f"open\nEND RequestId: {ID}\nREPORT\n"),
        (["op", "en", f"END RequestId: {ID}\n"], f"open\nEND RequestId: {ID}\n"),
        (["open", f"START RequestId: {ID} Version: $LATEST\n"], f"open\nSTART RequestId: {ID} Version: $LATEST\n"),
        ([f"line\nEND RequestId: {ID}\n"], f"line\nEND RequestId: {ID}\n"),
        ([f"START RequestId: {ID}\n", "an END of mine\n"], f"START RequestId: {ID}\nan END of mine\n"),
        (["killed in the middle"], "killed in the middle\n"),
        ([], ""),
    ],
)
def test_open_line_ends_before_the_next(printed, shown):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    log = Log(StreamWriter(terminal))

    for text in printed:
        log.write_str(text)
    log.end_line()

    terminal.flush()
    assert terminal.buffer.getvalue().decode() == shown == log.written.decode()
