"""The address at which a container reaches what listens only on this machine, such as an emulated AWS."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from functools import cached_property
from urllib.parse import urlsplit

from local.sam.engine import bridge

# Docker Desktop and others resolve this name, and forward connections to what listens on 127.0.0.1.
# https://docs.docker.com/desktop/features/networking/#i-want-to-connect-from-a-container-to-a-service-on-the-host
NAME = "host.docker.internal"


class Host:
    """On Linux, containers connect to a relay on the bridge; elsewhere, the engine has a name for this machine."""

    def __init__(self) -> None:
        self._relays: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()

    @cached_property
    def _bridge(self) -> str | None:
        return bridge() if sys.platform == "linux" else None

    def reachable(self, url: str) -> str:
        """A URL with a port on this machine, in the form that works in a container."""
        parts = urlsplit(url)
        target = (parts.hostname or "127.0.0.1", parts.port or (443 if parts.scheme == "https" else 80))
        with self._lock:
            if self._bridge and target not in self._relays:
                with contextlib.suppress(OSError):  # the engine is on another machine, usually a virtual one
                    self._relays[target] = _relay(self._bridge, target)
        host = f"{self._bridge}:{self._relays[target]}" if target in self._relays else f"{NAME}:{target[1]}"
        return f"{parts.scheme}://{host}{parts.path}"


def _relay(address: str, target: tuple[str, int]) -> int:
    """Relays connections to the address on to the target, until the process ends. Returns the port. Raises OSError."""
    listening = socket.create_server((address, 0))
    threading.Thread(target=_accept, args=(listening, target), daemon=True).start()
    return int(listening.getsockname()[1])


def _accept(listening: socket.socket, target: tuple[str, int]) -> None:
    while True:
        here, _ = listening.accept()
        try:
            there = socket.create_connection(target)
        except OSError:  # nothing listens, so the caller's connection is closed
            here.close()
            continue
        for one, other in ((here, there), (there, here)):
            threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)
