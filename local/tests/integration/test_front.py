"""Malformed HTTP, or none at all: raw bytes in, a status out, and the next request works.

Statuses and limits: RFC 9112, sections 3.2, 5 and 6, and
https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
"""

import json
import re
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from server import answering, only_processes

HOST = b"Host: localhost\r\n"
GET = b"GET /my-endpoint HTTP/1.1\r\n" + HOST
POST = b"POST /my-endpoint HTTP/1.1\r\n" + HOST
NO_ROUTE = 403

# (what is sent, the statuses that come back before the connection ends)
SENT = {
    "no HTTP at all": (b"GARBAGE\r\n\r\n", [400]),
    "TLS to a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", [400]),
    "another version": (b"GET /my-endpoint HTTP/2.0\r\n" + HOST + b"\r\n", [400]),
    "space in the target": (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
    "bracket in the authority": (b"GET http://[ HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
    "bracket in the path": (b"GET //[ HTTP/1.1\r\n" + HOST + b"\r\n", [NO_ROUTE]),
    "no Host": (b"GET /my-endpoint HTTP/1.1\r\n\r\n", [400]),
    "two Hosts": (GET + HOST + b"\r\n", [400]),
    "no Host in HTTP/1.0": (b"GET /my-endpoint HTTP/1.0\r\n\r\n", [200]),
    "a Host that is not served": (b"GET /my-endpoint HTTP/1.1\r\nHost: rebound.example\r\n\r\n", [403]),
    "an authority that is not served": (b"GET http://rebound.example/my-endpoint HTTP/1.1\r\n" + HOST + b"\r\n", [403]),
    "an absolute target": (b"GET http://localhost/my-endpoint HTTP/1.1\r\n" + HOST + b"\r\n", [200]),
    "space before the colon": (b"GET /my-endpoint HTTP/1.1\r\nHost : localhost\r\n\r\n", [400]),
    "obsolete fold": (GET + b"X: a\r\n b\r\n\r\n", [400]),
    "NUL in a header": (GET + b"X: a\x00b\r\n\r\n", [400]),
    "bare LF": (GET + b"X: a\nY: b\r\n\r\n", [400]),
    "two lengths that differ": (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", [400]),
    "a length with a sign": (POST + b"Content-Length: +3\r\n\r\nabc", [400]),
    "a list of lengths": (POST + b"Content-Length: 3, 3\r\n\r\nabc" + GET + b"\r\n", [400]),
    "a length beyond any": (POST + b"Content-Length: 99999999999999999999999\r\n\r\nabc", [400]),
    "chunked twice": (POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n" + GET + b"\r\n", [400]),
    "another encoding": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + GET + b"\r\n", [400]),
    "an encoding after a tab": (POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + GET + b"\r\n", [400]),
    "a chunk that is too long": (POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", [400]),
    "a chunk of a negative length": (POST + b"Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", [400]),
    "bytes that are no UTF-8 in the path": (b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
    "bytes that are no UTF-8 in a header": (GET + b"X: \xff\r\n\r\n", [200]),
    "the start of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    "a negative length": (POST + b"Content-Length: -3\r\n\r\nabc", [400]),
    "a length and chunks": (
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + GET + b"\r\n",
        [400],
    ),
    "chunked, not last": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + GET + b"\r\n", [400]),
    "a bad chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", [400]),
    "a body that ends early": (POST + b"Content-Length: 10\r\n\r\nabc", [400]),
    "a chunk that ends early": (POST + b"Transfer-Encoding: chunked\r\n\r\nff\r\nabc", [400]),
    "a target that is too long": (b"GET /" + b"a" * 10241 + b" HTTP/1.1\r\n" + HOST + b"\r\n", [414]),
    "headers that are too large": (GET + b"X: " + b"a" * 10241 + b"\r\n\r\n", [431]),
    "a body that is too large": (POST + b"Content-Length: 10485761\r\n\r\n" + b"a" * 10485761, [413]),
    "two requests at once": (GET + b"\r\n" + GET + b"\r\n", [200, 200]),
    "a request, then garbage": (GET + b"\r\nGARBAGE\r\n\r\n", [200, 400]),
    "a request after the last": (GET + b"Connection: close\r\n\r\n" + GET + b"\r\n", [200]),
    "half a head": (GET + b"\r\n" + GET, [200]),
    "a tunnel": (b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
    "1,000 requests for another protocol": (
        (GET + b"Connection: upgrade\r\nUpgrade: x\r\n\r\n") * 1000,
        [200] * 1000,
    ),
}
TOO_LARGE = {413: "the body is", 414: "the request line is", 431: "the headers are"}  # what the terminal says

engine = only_processes


def exchange(port, data, methods=()):
    """The answers to the data, as (status, headers, body), until the server ends the connection.

    `methods` are those of the requests where there is one without a body, HEAD, among them.
    """
    methods = iter(methods)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while more := connection.recv(65536):
            received += more
    answers = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        bare = next(methods, b"GET") == b"HEAD" or first.split()[1] in ("204", "304")
        length = 0 if bare else int(headers["content-length"])
        answers.append((int(first.split()[1]), headers, received[:length]))
        received = received[length:]
    return answers


@pytest.mark.parametrize("name", SENT)
def test_answer_is_that_of_the_front_and_the_next_request_works(server, name):
    data, statuses = SENT[name]
    begin = time.monotonic()

    answers = exchange(server.port, data)

    assert time.monotonic() - begin < 10
    assert [status for status, _, _ in answers] == statuses
    for status, headers, body in answers:
        assert headers["content-type"] == "application/json"
        assert "server" not in headers
        if status >= 400:
            assert json.loads(body)["message"]
        if status in TOO_LARGE:
            assert server.says(f" ms: {TOO_LARGE[status]} larger than 10 ")
    assert server.get() == (200, {"message": "Hello from Lambda"})


def test_garbage_after_a_request_without_a_body_in_its_answer_is_answered_with_one(server):
    answers = exchange(server.port, GET.replace(b"GET", b"HEAD") + b"\r\nGARBAGE\r\n\r\n", [b"HEAD"])

    assert [(status, bool(body)) for status, _, body in answers] == [(NO_ROUTE, False), (400, True)]


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (
            "GET /my-endpoint?name=Zoë HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "400: malformed HTTP: characters beyond ASCII must be percent-encoded: GET /my-endpoint?name=Zoë HTTP/1.1",
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400: malformed HTTP: this is HTTP/2, and HTTP/1.1 is served"),
        ("\x16\x03\x01\r\n", "400: malformed HTTP: TLS was sent; use http:// instead of https://"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "403: the request is for a host without a name; to serve other hosts"),
    ],
)
def test_terminal_says_what_is_wrong_with_a_request(server, sent, told):
    exchange(server.port, sent.encode())

    assert server.says(told)


def test_half_a_body_never_reaches_the_function(server):
    server.save("src/lambda.py", answering("print('invoked')"))
    server.replace("template.yaml", "Method: GET", "Method: POST")

    assert [answer[0] for answer in exchange(server.port, POST + b"Content-Length: 10\r\n\r\nabc")] == [400]
    assert "invoked" not in server.terminal
    assert exchange(server.port, POST + b"Content-Length: 3\r\n\r\nabc")[0][0] == 200


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: ", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n3;extension=", 400),
        (GET + b"X-Header: ", 400),
        ((b"POST /none HTTP/1.1\r\n" + HOST + b"\r\n") * 20 + b"GARBAGE\r\n", 403),
        (b"POST /none HTTP/1.1\r\nHost: elsewhere\r\n\r\n", 403),
    ],
)
def test_client_that_is_refused_and_still_sends_gets_its_answer(server, refused, status):
    """Not a reset connection, which it would get if the server stopped reading."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(refused + b"a" * 20_000_000)

        assert connection.recv(1000).startswith(f"HTTP/1.1 {status} ".encode())


def test_requests_of_one_client_let_others_have_their_turn(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall((b"GET /n HTTP/1.1\r\n" + HOST + b"\r\n") * 5000)
        assert server.get()[0] == 200
        while server.terminal.count("GET /n 403 ") < 5000:
            connection.recv(1_000_000)

    assert server.terminal.rindex("GET /n 403 ") > server.terminal.index("GET /my-endpoint 200 ")


def test_bodies_are_not_read_before_those_ahead_are_answered(server):
    """Those of a few clients would fill the memory."""
    server.save("src/lambda.py", answering("time.sleep(3)", "import time"))
    server.replace("template.yaml", "Method: GET", "Method: POST")
    with socket.create_connection(("127.0.0.1", server.port), timeout=1) as connection:
        with pytest.raises(TimeoutError):
            connection.sendall((POST + b"Content-Length: 5000000\r\n\r\n" + b"a" * 5_000_000) * 10)


def test_answers_that_are_still_being_sent_are_not_cut_off_for_others(serve):
    """24 connections have room, and no more."""
    server = serve(files=64)
    server.save("src/lambda.py", answering("'a' * 4_000_000"))

    def client(_):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(GET + b"Connection: close\r\n\r\n")
            received = len(connection.recv(100))
            time.sleep(0.6)
            while more := connection.recv(1_000_000):
                received += len(more)
            return received > 4_000_000

    with ThreadPoolExecutor(40) as clients:
        assert all(clients.map(client, range(40)))


def test_request_for_another_protocol_is_answered_in_this_one(server):
    """As Java's client asks with the first request to a server: API Gateway knows neither h2c nor WebSockets here."""
    server.save("src/lambda.py", answering("event['body']"))
    server.replace("template.yaml", "Method: GET", "Method: POST")
    asking = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"

    answers = exchange(server.port, (POST + asking + b"Content-Length: 3\r\n\r\nabc") * 2)

    assert [(status, json.loads(body)) for status, _, body in answers] == [(200, "abc")] * 2


def test_header_is_told_as_it_was_sent_without_the_space_around_it(server):
    """RFC 9112, 5; a field after the body (7.1.2) is no header."""
    server.save(
        "src/lambda.py", answering("[event['headers'].get(name) for name in ('x-CASE', 'Y')] + [event['body']]")
    )
    server.replace("template.yaml", "Method: GET", "Method: POST")
    chunked = b"x-CASE: \t a b \t \r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nY: z\r\n\r\n"

    assert json.loads(exchange(server.port, POST + chunked)[0][2]) == ["a b", None, "abc"]


@pytest.mark.parametrize(
    ("version", "header", "expected"),
    [
        (b"1.1", b"", None),
        (b"1.1", b"Connection: close\r\n", "close"),
        (b"1.0", b"", "close"),
        (b"1.0", b"Connection: keep-alive\r\n", "keep-alive"),
        (b"1.0", b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "close"),
    ],
)
def test_connection_is_kept_as_the_client_asks(server, version, header, expected):
    """RFC 9112, 9.3 and 6.1."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"GET /my-endpoint HTTP/" + version + b"\r\n" + HOST + header + b"\r\n")
        received = connection.recv(1000).decode()

        assert received.startswith("HTTP/1.1 200 OK\r\n")
        assert re.findall("\r\nConnection: (.*)\r\n", received) == [expected] * bool(expected)
        if expected == "close":
            assert connection.recv(1000) == b""
        else:
            connection.sendall(GET + b"\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_client_that_does_not_read_stops_its_own_requests_only(server):
    """What it has been sent and has not read would fill the memory."""
    server.save("src/lambda.py", answering("'a' * 1_000_000"))
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall((GET + b"\r\n") * 199 + GET + b"Connection: close\r\n\r\n")
        time.sleep(2)

        assert server.terminal.count(" 200 ") < 100
        assert server.get() == (200, "a" * 1_000_000)
        received = 0
        while more := connection.recv(1_000_000):
            received += len(more)
        assert received > 200 * 1_000_000
        assert server.terminal.count(" 200 ") == 201


def test_server_ends_while_a_client_does_not_read(serve):
    server = serve()
    server.save("src/lambda.py", answering("'a' * 1_000_000"))
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall((GET + b"\r\n") * 20)
        time.sleep(1)

        assert server.end() == 0
    assert "Error" not in server.terminal


def test_what_a_client_sends_does_not_steer_the_terminal(server):
    forged = b"GET /\x1b[2J%0a12:00:00%20GET%20/forged%20200 HTTP/1.1\r\n" + HOST + b"\r\n"

    exchange(server.port, forged)
    server.get("/%1b[31m%0aforged")
    exchange(server.port, b"GET /my-endpoint HTTP/1.1\r\nHost: \x1b]0;forged\x07\r\n\r\n")

    assert "\x1b" not in server.terminal
    assert not [line for line in server.terminal.splitlines() if line.startswith(("forged", "12:00:00 GET /forged"))]


def test_client_that_finishes_while_it_is_answered_sees_the_end(server):
    """At whichever moment of some milliseconds."""
    for moment in range(300):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(GET + b"\r\n")
            time.sleep(moment / 50_000)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


def test_idle_and_half_sent_connections_do_not_delay_a_request(server):
    waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    for number, connection in enumerate(waiting):
        if number % 2:
            connection.sendall(GET)
    try:
        begin = time.monotonic()
        assert server.get() == (200, {"message": "Hello from Lambda"})
        assert time.monotonic() - begin < 8
    finally:
        for connection in waiting:
            connection.close()


def test_client_that_asks_first_is_told_to_go_on(server):
    """As curl does before a body of more than a megabyte: otherwise it would wait for a second."""
    server.replace("template.yaml", "Method: GET", "Method: POST")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")

        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("path", ["//double/slash", "/items//x", "/%2F/a"])
def test_path_reaches_the_function_as_it_was_sent(server, path):
    server.save("src/lambda.py", answering("event['requestContext']['path']"))
    server.replace("template.yaml", "Path: /my-endpoint", "Path: /{proxy+}")

    assert server.get(path) == (200, f"/Prod{path}")


def test_host_option_opens_the_server_for_other_names(serve):
    server = serve("--host", "0.0.0.0")

    assert exchange(server.port, b"GET /my-endpoint HTTP/1.1\r\nHost: my-laptop.local\r\n\r\n")[0][0] == 200


def test_connections_that_are_kept_are_in_step(server):
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: exchange(server.port, (GET + b"\r\n") * 20), range(8)))

    assert [[status for status, _, _ in one] for one in answers] == [[200] * 20] * 8


def test_tls_is_served_with_the_certificate_that_is_given(serve, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key],
        check=True,
        capture_output=True,
    )
    server = serve("--ssl-cert-file", str(certificate), "--ssl-key-file", str(key))
    context = ssl.create_default_context(cafile=certificate)

    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            connection.sendall(GET + b"Connection: close\r\n\r\n")
            received = b""
            while more := connection.recv(65536):
                received += more

    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Hello from Lambda" in received
    assert exchange(server.port, GET + b"\r\n") == []
    assert server.says("400: plain HTTP was sent; use https:// instead of http://")
