"""The HTTP front, on aiohttp's low-level server: what API Gateway's own front does before any route is looked up.

The request line, the query and the names of headers go on as they were sent. What is no HTTP, or too large, is
answered here in API Gateway's JSON. No request occupies a thread, however slowly it arrives.
https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import secrets
import socket
import ssl
import time
import uuid
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from local.gateway import answer
from local.gateway.model import Request, Response
from local.terminal import say, shown

# More than API Gateway takes, so that the answer is its own and not the parser's.
_PARSED_BYTES = 1024 * 1024
_LOCAL = ("localhost", "127.0.0.1", "::1")


class CannotListen(Exception):
    """The address cannot be had; the text says what to do."""


class Server:
    """Serves `handler`, which makes a Response of each Request, at one address.

    `respond` is awaited for each request; `note` is called with the line for the terminal once it is answered.
    """

    def __init__(self, respond: Callable[[Request], Awaitable[Response]], remark: Callable[[Request], str]) -> None:
        self._respond, self._remark = respond, remark
        self._tls: ssl.SSLContext | None = None
        self._names: frozenset[str] | None = None  # of the Host header; None where any is taken
        self._socket: socket.socket
        self.url = ""

    def listen(self, host: str, port: int, tls_files: tuple[str, str] | None) -> None:
        """Takes the port (0: a free one). `tls_files` are the paths of a certificate and its key. Raises CannotListen."""
        if tls_files:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            try:
                self._tls.load_cert_chain(*tls_files)
            except OSError as error:
                raise CannotListen(f"cannot use the certificate {tls_files[0]} with {tls_files[1]}: {error}") from None
        self._names = frozenset({*_LOCAL, host}) if _is_loopback(host) else None
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._socket = socket.create_server(address[:2], family=family, backlog=512)
        except OverflowError:
            raise CannotListen(f"port {port} does not exist; a port is a number from 0 to 65535") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CannotListen(
                    f"port {port} is in use by another program; stop it, or take another port: "
                    f"./run.sh --port {port + 1}"
                ) from None
            raise CannotListen(f"cannot listen on {host}, port {port}: {error.strerror or error}") from None
        self._port = self._socket.getsockname()[1]
        shown_host = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls_files else 'http'}://{shown_host}:{self._port}"

    async def serve(self, until: asyncio.Event) -> None:
        """Serves until the event is set. Requests that are under way then are dropped."""
        loop = asyncio.get_running_loop()
        manager = web.Server(self._handle, access_log=None)
        options = {
            "access_log": None,
            "auto_decompress": False,
            "max_line_size": _PARSED_BYTES,
            "max_field_size": _PARSED_BYTES,
            "max_headers": 2000,
        }
        serving = await loop.create_server(lambda: _Protocol(manager, loop=loop, **options), sock=self._socket, ssl=self._tls)
        await until.wait()
        serving.close()
        await manager.shutdown(0)

    async def _handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        started = time.perf_counter()
        request = self._read(raw)
        try:
            response = self._refuse(request, raw) or await self._answer(request, raw)
        except (HttpProcessingError, web.RequestPayloadError, ConnectionError) as error:
            # The body is not what its headers promise: nobody is there for an answer, or what follows cannot be trusted.
            say(f"400, the body ended early or is malformed: {shown(str(error).strip())}")
            response = answer.refused(400, request)
        except Exception as error:
            import traceback
            say("".join(traceback.format_exception(error)))
            say("500, a fault of the local server itself, see above; the next request is served as usual")
            response = answer.refused(500, request)
        took = (time.perf_counter() - started) * 1000
        moment = time.strftime("%H:%M:%S")
        say(f"{moment} {shown(request.method)} {shown(request.target)} {response.status} {took:.0f} ms{self._remark(request)}")
        sent = _Sent(status=response.status, headers=CIMultiDict(response.headers), body=response.body)
        if response.status in (400, 413):
            sent.force_close()
        return sent

    def _read(self, raw: web.BaseRequest) -> Request:
        """The Request without its body."""
        peer = raw.transport.get_extra_info("peername") if raw.transport else None
        seconds = time.time()
        return Request(
            method=raw.method,
            target=raw.raw_path,
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw.raw_headers),
            body=b"",
            id=str(uuid.uuid4()),
            extended_id=f"{secrets.token_urlsafe(11)}=",
            trace=f"Root=1-{int(seconds):08x}-{secrets.token_hex(12)}",
            received=seconds,
            source_ip=peer[0] if peer else "127.0.0.1",
            scheme="https" if self._tls else "http",
            protocol=f"HTTP/{raw.version.major}.{raw.version.minor}",
            port=self._port,
        )
