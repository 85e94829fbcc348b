"""Warm containers, which `sam local start-api` serves stale code from, and lets fail, when an edit meets a request."""

import threading

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


def test_request_in_a_warm_container_finishes_on_the_code_before_a_save(serve):
    server = serve("--warm-containers", "EAGER")
    server.save("src/lambda.py", answering("print('begun') or time.sleep(2) or 'old'", "import time"))
    answers = []
    asking = threading.Thread(target=lambda: answers.append(server.get()))
    asking.start()
    server.says("begun")

    server.save("src/lambda.py", answering("'new'"))

    assert (server.get(), answers) == ((200, "new"), [])
    asking.join()
    assert answers == [(200, "old")]
