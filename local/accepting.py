"""Accepts connections as long as there are file descriptors for them; the rest wait in the kernel's queue.

asyncio's own server would print a traceback for each connection without a descriptor, and pause for a second.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import Callable

from local.connection import Connection
from local.terminal import say

# File descriptors that are not for connections (those of all environments and of the rest of the server), and the
# fewest connections that are always accepted.
_OTHER_FILES, _FEWEST = 88, 24

_PAUSE_S, _REMIND_S = 0.02, 10


class Accepting:
    """Hands each connection to what `connect` makes; `open` has the open ones in the order of their arrival."""

    def __init__(self, listening: socket.socket, tls: ssl.SSLContext | None, connect: Callable[[], Connection]) -> None:
        self.open: dict[Connection, None] = {}
        self._socket, self._tls, self._connect = listening, tls, connect
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._loop = asyncio.get_running_loop()
        self._said = float("-inf")
        self._tasks: set[asyncio.Task] = set()
        self._socket.setblocking(False)
        self._begin()

    def end(self) -> None:
        """Refuses all further connections."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for task in self._tasks:
            task.cancel()

    def _begin(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        if len(self.open) >= max(_FEWEST, self._files - _OTHER_FILES) and not self._make_room():
            return
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # no file descriptor, or no memory
            if self._make_room():
                self._pause()
            return
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._connect, connection, ssl=self._tls))
        self._tasks.add(task)
        task.add_done_callback(self._accepted)

    def _accepted(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()  # the client has gone, or TLS refuses it
        if isinstance(error, ssl.SSLError) and error.reason == "HTTP_REQUEST":
            say("400: plain HTTP was sent; use https:// instead of http://")

    def _make_room(self) -> bool:
        """Closes the oldest idle connection; without one, pauses and returns false."""
        if self._loop.time() - self._said > _REMIND_S:
            self._said = self._loop.time()
            say(
                f"{len(self.open)} connections are open, as many as {self._files} files allow: idle ones are closed, "
                "and new ones wait; to allow more: ulimit -n 1024"
            )
        if idle := next((each for each in self.open if each.idle), None):
            idle.cut_off()
            return True
        self._pause()
        return False

    def _pause(self) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.call_later(_PAUSE_S, self._begin)
