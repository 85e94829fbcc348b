"""Between ./deploy.sh and the emulated AWS: a proxy that records every call, and fails the one that it is told to."""

import http.client
import re
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

# Status and code of AWS's errors; the first two are not answers at all.
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
# https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/CommonErrors.html
FAULTS = {
    "reset": None,
    "answer lost": None,
    "internal error": (500, "InternalError"),
    "slow down": (503, "SlowDown"),
    "throttling": (400, "Throttling"),
}
_S3 = {
    ("HEAD", ""): "ListBucket",
    ("PUT", ""): "CreateBucket",
    ("DELETE", ""): "DeleteBucket",
    ("GET", "publicAccessBlock"): "GetBucketPublicAccessBlock",
    ("PUT", "publicAccessBlock"): "PutBucketPublicAccessBlock",
    ("GET", "policy"): "GetBucketPolicy",
    ("PUT", "policy"): "PutBucketPolicy",
    ("GET", "lifecycle"): "GetLifecycleConfiguration",
    ("PUT", "lifecycle"): "PutLifecycleConfiguration",
    ("GET", "versions"): "ListBucketVersions",
    ("POST", "delete"): "DeleteObjectVersion",
}
_S3_OBJECT = {"HEAD": "GetObject", "GET": "GetObject", "PUT": "PutObject"}


class Proxy:
    """Forwards to the emulator. `calls` are the actions, by IAM's names; number `fail` (from 1) fails by `fault`."""

    def __init__(self, emulator_url):
        self._target = urlsplit(emulator_url).netloc
        self._lock = threading.Lock()
        self.begin()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # which waits for an acknowledgement between headers and content

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def answer(self):
                proxy._answer(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def begin(self, fail=0, fault="reset", every=None):
        """Counts from the start. `every`: an action that fails each time, with the code that AWS answers."""
        with self._lock:
            self.calls, self.fail, self.fault, self.every = [], fail, fault, every or {}

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request):
        body = _body(request)
        service = re.search(r"Credential=\w+/\d+/[\w-]+/(\w+)/", request.headers.get("Authorization", ""))
        service = service[1] if service else "none"
        action = f"{service}:{_action(request, service, body)}"
        with self._lock:
            self.calls.append(action)
            failing = len(self.calls) == self.fail
        if action in self.every:
            return _refuse(request, service, 403, self.every[action])
        if failing and self.fault == "reset":
            return _reset(request)
        if failing and FAULTS[self.fault]:
            return _refuse(request, service, *FAULTS[self.fault])
        connection = http.client.HTTPConnection(self._target, timeout=60)
        headers = {name: value for name, value in request.headers.items() if name.lower() != "transfer-encoding"}
        connection.request(request.command, request.path, body, {**headers, "Content-Length": str(len(body))})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if failing:
            return _reset(request)
        length = answer.headers.get("Content-Length", "0") if request.command == "HEAD" else str(len(content))
        _send(request, answer.status, {**dict(answer.getheaders()), "Content-Length": length}, content)


def _body(request):
    if "Expect" in request.headers:
        del request.headers["Expect"]
    if request.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length", 0)))
    parts = []
    while size := int(request.rfile.readline().split(b";")[0], 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)


def _action(request, service, body):
    if service != "s3":
        return parse_qs(body.decode(errors="replace")).get("Action", [request.headers.get("X-Amz-Target", "?")])[0]
    parts = urlsplit(request.path)
    _, _, key = parts.path.strip("/").partition("/")
    if key:
        return _S3_OBJECT[request.command]
    query = set(parse_qs(parts.query, keep_blank_values=True))
    return next(
        (name for (method, setting), name in _S3.items() if method == request.command and setting in query),
        _S3.get((request.command, "")),
    )


def _refuse(request, service, status, code):
    error = f"<Error><Code>{code}</Code><Message>It was told to fail</Message></Error>"
    text = error if service == "s3" else f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"
    content = b"" if request.command == "HEAD" else text.encode()
    _send(request, status, {"Content-Type": "text/xml", "Content-Length": str(len(content))}, content)


def _reset(request):
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()
    request.close_connection = True


def _send(request, status, headers, content):
    request.send_response_only(status)
    for name, value in headers.items():
        if name.lower() not in ("connection", "transfer-encoding"):
            request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(content)
