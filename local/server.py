"""The HTTP front, on aiohttp's low-level server: does what API Gateway does before it looks up a route.

The request line, the query and the names of headers are passed on as sent. What is not HTTP, or too large, is answered
here in API Gateway's JSON. No request occupies a thread, however slowly it arrives.
https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import re
import secrets
import socket
import ssl
import time
import traceback
import uuid
from dataclasses import replace
from typing import Any, Literal, Protocol, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from local.accepting import Accepting, Connection
from local.gateway import limits
from local.gateway.model import Request, Response
from local.terminal import say, shown

# Above API Gateway's limits, so that the client gets its error and not the parser's.
_PARSED_BYTES, _PARSED_HEADERS = 1024 * 1024, 10000
# Seconds that running requests still get when the server ends; to aiohttp, 0 means no limit.
_END_S = 0.01

# Seconds without a request after which a connection may be closed, if there are too many.
_IDLE_S = 0.25

_PROTOCOLS = ("HTTP/1.0", "HTTP/1.1")
_TOO_LARGE = {
    413: ": the body is larger than 10 MB, AWS's limit",
    414: ": the request line is larger than 10 KB, AWS's limit",
    431: ": the headers are larger than 10 KB, AWS's limit",
}
_CUT_OFF = web.RequestPayloadError("it is incomplete")
_LOCAL = ("localhost", "127.0.0.1", "::1")


class CannotListen(Exception):
    """The address cannot be used; the text says what to do."""


class Application(Protocol):
    """What is served."""

    async def answer(self, request: Request) -> Response:
        """The response to a request that the front has let through."""

    def refused(self, status: int, request: Request) -> Response:
        """The front's own refusal of a request: 400, 403 (another host), 413, 414, 431 or 500."""


class Server:
    """Serves an application at one address, `url`."""

    def __init__(self, host: str, port: int, tls_files: tuple[str, str] | None = None) -> None:
        """Listens on the port (0: a free one). `tls_files` are a certificate and its key. Raises CannotListen."""
        self._tls: ssl.SSLContext | None = None
        if tls_files:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            try:
                self._tls.load_cert_chain(*tls_files)
            except OSError as error:
                raise CannotListen(f"cannot use the certificate {tls_files[0]} with {tls_files[1]}: {error}") from None
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            # Clients that connect at the same moment wait in the queue; beyond it the kernel has them try again later.
            self._socket = socket.create_server((address[0], port), family=family, backlog=512)
        except OverflowError:
            raise CannotListen(f"port {port} does not exist; a port is a number from 0 to 65535") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CannotListen(
                    f"port {port} is in use by another program; stop it, or take another port: "
                    f"./run.sh --port {port + 1}"
                ) from None
            raise CannotListen(f"cannot listen on {host}, port {port}: {error.strerror or error}") from None
        address = self._socket.getsockname()
        self._port: int = address[1]
        # Allowed in a Host header; None if any is. A page can point its own domain at this machine, but cannot send
        # these names (DNS rebinding).
        self._names = frozenset({*_LOCAL, host}) if ipaddress.ip_address(address[0]).is_loopback else None
        self.url = f"{'https' if tls_files else 'http'}://{f'[{host}]' if ':' in host else host}:{self._port}"

    async def serve(self, application: Application, until: asyncio.Event) -> None:
        """Serves until the event is set; requests that are still running are then cut off."""
        self._application = application
        loop = asyncio.get_running_loop()
        manager = web.Server(self._handle)

        def connect() -> web.RequestHandler:
            return _Connection(
                manager,
                application,
                accepting.open,
                loop=loop,
                access_log=None,
                auto_decompress=False,
                max_line_size=_PARSED_BYTES,
                max_field_size=_PARSED_BYTES,
                max_headers=_PARSED_HEADERS,
            )

        accepting = Accepting(self._socket, self._tls, connect)
        await until.wait()
        accepting.end()
        await manager.shutdown(_END_S)

    async def _handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        started, connection = time.perf_counter(), cast(_Connection, raw.protocol)
        request = _request(raw, self._port, "https" if self._tls else "http")
        try:
            body = self._status_of(request) or await _body(raw, connection)
            status = body if isinstance(body, int) else None
            if isinstance(body, int):
                response = self._application.refused(body, request)
            else:
                response = await self._application.answer(replace(request, body=body) if body else request)
        except Exception as error:
            say("".join(traceback.format_exception(error)))
            say("500: an error in the local server itself; see above. The next request is served as usual.")
            status, response = 500, self._application.refused(500, request)
        connection.used = time.perf_counter()
        took = (connection.used - started) * 1000
        note = _TOO_LARGE.get(status or 0, response.note)
        line = f"{request.method} {shown(request.target)} {response.status} {took:.0f} ms{note}"
        say(f"{time.strftime('%H:%M:%S')} {line}")
        return _Sent(response, close=status is not None or connection.finishing)

    def _status_of(self, request: Request) -> int | None:
        """The status that refuses the request because of its head, or None."""
        lengths = [len(name) + len(value) + 4 for name, value in request.headers]
        if len(request.method) + len(request.target) + 12 > limits.HEADERS:
            return 414
        if sum(lengths) > limits.HEADERS:
            return 431
        hosts = [value for name, value in request.headers if name.lower() == "host"]
        if request.protocol not in _PROTOCOLS or (len(hosts) != 1 and (hosts or request.protocol != "HTTP/1.0")):
            return 400
        hosts += re.findall(r"^\w+://([^/?]*)", request.target)
        for host in hosts:
            if self._names is not None and _name(host) not in self._names:
                say(f"403: the request is for the host {shown(host)}; to serve other hosts: ./run.sh --host 0.0.0.0")
                return 403
        return None


class _Connection(web.RequestHandler):
    """aiohttp's connection handler, which answers malformed HTTP as the application does."""

    def __init__(
        self, manager: web.Server, application: Application, open: dict[Connection, None], **options: Any
    ) -> None:
        super().__init__(manager, **options)
        self._application, self._open = application, open
        self.ended = False  # the client will send no more

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._open[self] = None
        self.used = time.perf_counter()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._open.pop(self, None)

    @property
    def idle(self) -> bool:
        """Whether it is open, and nobody waits for an answer or has for some time."""
        busy = self._current_request or self._messages or self._force_close
        return not busy and time.perf_counter() - self.used > _IDLE_S

    @property
    def finishing(self) -> bool:
        return self.ended and not self._messages

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that has finished sending still gets its answers; one that stops within a body gets 400."""
        if self.ssl_context or (self._waiter and not self._waiter.done()):
            return False
        self.ended = True
        if self._current_request and not self._current_request.content.is_eof():
            self._current_request.content.set_exception(_CUT_OFF)
        if not self._messages:  # or the last response, if it has been made by now, would leave the connection open
            self.close()
        return True

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        say(f"400: malformed HTTP: {shown(' '.join(str(message or exc).split()))[:200]}")
        self.keep_alive(False)
        return _Sent(self._application.refused(400, _request(request, 0, "http")), close=True)


class _Sent(web.Response):
    """aiohttp's response with exactly the given headers, and no Server header."""

    def __init__(self, response: Response, close: bool) -> None:
        super().__init__(status=response.status, headers=CIMultiDict(response.headers), body=response.body)
        if close:
            self.force_close()

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        del self.headers["Server"]

    async def _write_headers(self) -> None:
        await super()._write_headers()
        # aiohttp writes UTF-8, but clients read ISO 8859-1, as HTTP says (RFC 9110, 5.5).
        writer: Any = self._payload_writer
        if not writer._headers_buf.isascii():
            writer._headers_buf = writer._headers_buf.decode().encode("latin-1", "replace")


def _request(raw: web.BaseRequest, port: int, scheme: Literal["http", "https"]) -> Request:
    """The request without its body, which has not arrived yet."""
    peer = raw.transport.get_extra_info("peername") if raw.transport else None
    seconds = time.time()
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw.raw_headers)
    return Request(
        method=raw.method,
        target=raw.raw_path,
        headers=headers,
        body=b"",
        id=str(uuid.uuid4()),
        extended_id=f"{secrets.token_urlsafe(11)}=",
        trace=raw.headers.get("X-Amzn-Trace-Id") or f"Root=1-{int(seconds):08x}-{secrets.token_hex(12)}",
        received=seconds,
        source_ip=peer[0] if peer else "127.0.0.1",
        scheme=scheme,
        protocol=f"HTTP/{raw.version.major}.{raw.version.minor}",
        port=port,
    )


async def _body(raw: web.BaseRequest, connection: _Connection) -> bytes | int:
    """The body, or the status that refuses it."""
    if not raw.body_exists:
        return b""
    body = bytearray()
    try:
        if connection.ended and not raw.content.is_eof():
            raise _CUT_OFF
        if raw.headers.get("Expect", "").lower() == "100-continue" and raw.transport and not raw.content.is_eof():
            raw.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        async for data in raw.content.iter_any():
            if len(body) <= limits.BODY:  # the rest is read and dropped, so that the client sees the answer
                body += data
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError) as error:
        say(f"400: the body does not match its headers: {shown(' '.join(str(error).split()))}")
        if connection.ended:
            raw.content.feed_eof()  # or aiohttp would wait for the rest before it closes the connection
        return 400
    return 413 if len(body) > limits.BODY else bytes(body)


def _name(host: str) -> str:
    """The name in a Host header, in lower case, without the port."""
    name, _, port = host.rpartition(":")
    return (name if name and port.isdecimal() else host).strip("[]").lower()
