"""Warm containers, which `sam local start-api` serves stale code from, and lets fail, when an edit meets a request."""

import pytest
from server import answering, engine_answers, stale_or_failed


@pytest.fixture(scope="module")
def engine():
    if not engine_answers():
        pytest.skip("no container engine answers on this machine")
    return "containers"


@pytest.mark.parametrize("when", ["EAGER", "LAZY"])
def test_warm_container_keeps_its_state_and_serves_every_edit(serve, when):
    server = serve("--warm-containers", when)
    server.save("src/lambda.py", answering("count.append(1) or len(count)", "count = []"))

    assert [server.get() for _ in range(3)] == [(200, 1), (200, 2), (200, 3)]
    assert stale_or_failed(server, edits=5, clients=2) == []
    server.end()


def test_first_save_after_first_request_of_warm_container_counts(serve):
    server = serve("--warm-containers", "LAZY")
    assert server.get() == (200, {"message": "Hello from Lambda"})

    server.save("src/lambda.py", answering("1"))

    assert server.get() == (200, 1)
    assert "Failed to get next invocation" not in server.terminal
