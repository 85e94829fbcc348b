"""One run of ./run.sh: the engine, the current project, and serving until it is ended."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Iterable
from typing import Protocol

import uvloop

from local.debugging import keep_awake
from local.engine import Engine
from local.project import Project
from local.server import Application, Server
from local.terminal import say

# Ctrl-C, a request to end, a closed terminal.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Reading(Protocol):
    """A template that has been read, with all that belongs to it."""

    project: Project
    debug_port: int | None  # the port of --debug-port
    remarks: tuple[str, ...]  # lines about what differs from AWS

    def outdated(self) -> bool:
        """Whether one of its files was saved since the last call, or since it was read."""

    def again(self) -> Reading:
        """Reads it again; raises whatever is wrong with it."""


class Run:
    """What the parts of a run share. `reading` is the latest valid one."""

    def __init__(self, reading: Reading, engine: Callable[[Run], Engine]) -> None:
        self.reading = reading
        self.engine = engine(self)
        self._lock = asyncio.Lock()
        self._saves = self._read = 0

    async def project(self) -> Project:
        """The project, with every save before this call."""
        self._saves += self.reading.outdated()
        if self._read < self._saves:
            async with self._lock:
                while self._read < (saves := self._saves):
                    await asyncio.to_thread(self._read_again)
                    self._read = saves
        return self.reading.project

    def _read_again(self) -> None:
        before = self.reading
        try:
            self.reading = before.again()
        except Exception as error:  # whatever a half-written template makes SAM CLI raise
            say(f"not reloaded, still serving the last valid template: {error}")
        else:
            say("template and environment variables reloaded")
            known = {(route.method, route.path) for route in before.project.every_route}
            for route in self.reading.project.every_route:
                if (route.method, route.path) not in known:
                    say(f"new route: {route.method} {route.path}")
            for remark in self.reading.remarks:
                if remark not in before.remarks:
                    say(remark)
        # A save during the reading may have been too late for it, and too early for the new reading to notice.
        self._saves += before.outdated()

    def serve(self, application: Application, server: Server, lines: Iterable[str]) -> None:
        """Serves until Ctrl-C, SIGTERM or a closed terminal; `lines` are printed first, then the server's URL."""
        # What exists now stays. Searching the rest for garbage takes a millisecond, so every third search is a whole
        # one: what failed requests leave, exceptions and the futures that hold them, need not wait for a hundred.
        gc.freeze()
        gc.set_threshold(5_000, 0, 0)
        uvloop.run(self._serve(application, server, lines))
        # A second Ctrl-C would only interrupt the cleaning up after the first.
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)

    async def _serve(self, application: Application, server: Server, lines: Iterable[str]) -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in _ENDING:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # which nohup sets
                loop.add_signal_handler(number, ended.set)
        for line in lines:
            say(line)
        say(f"Running on {server.url} (Press CTRL+C to quit)")
        waking = asyncio.create_task(keep_awake(self)) if self.reading.debug_port else None
        try:
            await server.serve(application, ended)
        finally:
            if waking:
                waking.cancel()
            await self.engine.close()
