"""The engine "processes": starts execution environments, keeps them warm, and hands them requests, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, BinaryIO, TypeVar

from local import debugging, runtime
from local.engine import EVENT_LIMIT, CannotRun, Function, Invoke, Result, StillRunning, TooLarge
from local.environment import Code, Environment, InitFailed, NotRun
from local.inside import confinement
from local.sources import Sources

# A new account may run 10 environments at once, an old one 1,000; a laptop can hold this many. More requests wait.
LIMIT = 32

# File descriptors: of an environment in this process, of everything else, and the fewest that will do.
_FILES, _OTHER_FILES, _FEWEST_FILES = 2, 48, 64

# The system has no more files, processes or memory.
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM}

# Seconds that a request waits for an idle environment before it checks whether to start another, the expected wait
# from which it does start one, and the longest pause between two checks.
_MOMENT_S = 0.004
_PATIENCE_S = 0.015
_LONGEST_PAUSE_S = 0.032

# Seconds after the end of an invoke during which the queue counts as moving,
# and seconds until a start has shown its effect.
_MOVING_S, _SETTLING_S = 0.05, 0.25

# Seconds that an invoke is assumed to take until one has ended, and after which a running one counts as long.
_UNKNOWN_S, _LONG_S = 0.001, 0.02

_T = TypeVar("_T")


class Pool:
    """Invokes functions in execution environments.

    What functions print goes to `output`, with Lambda's START, END and REPORT lines if `verbose`. `describe`
    prepares the `runtimes`. Create and use a pool in the event loop's thread only. Raises CannotRun.
    """

    def __init__(self, output: BinaryIO, runtimes: Iterable[str] = (), verbose: bool = False) -> None:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if files < _FEWEST_FILES:
            raise CannotRun(f"only {files} files may be open, but {_FEWEST_FILES} are needed: ulimit -n 1024")
        self._limit = min(LIMIT, (files - _OTHER_FILES) // _FILES)
        self._output, self._runtimes, self._verbose = output, sorted(set(runtimes)), verbose
        self._fleets: dict[tuple[str, str | None], _Fleet] = {}
        self._code: dict[tuple[object, ...], _Code] = {}
        self._environments: set[Environment] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        # Every environment holds the first end, and ends itself once nobody holds the second any more.
        self._line, self._held = os.pipe()
        # A process of its own tries whether mounts are allowed, so that no environment is left half mounted.
        self._trying = subprocess.Popen([sys.executable, "-I", "-S", confinement.__file__])

    def describe(self) -> list[str]:
        lines = ["Engine: processes, no container engine needed"]
        for name in self._runtimes:
            try:
                runtime.python(name)
            except runtime.InstallError as error:
                if len(self._runtimes) == 1:
                    raise CannotRun(str(error)) from None
                lines.append(f"no function with the runtime {name} can run: {error}")
                continue
            found = runtime.version(name)
            if not found.startswith(name.removeprefix("python") + "."):
                lines.append(f"{name} is not on this machine and could not be fetched; functions run on {found}")
        return lines

    async def invoke(self, invoke: Invoke) -> Result:
        if invoke.function.container_only:
            raise CannotRun(f"{invoke.function.name} {invoke.function.container_only}")
        if len(invoke.event) > EVENT_LIMIT:
            raise TooLarge("the event is larger than 6 MB, Lambda's limit for one invoke")
        fleet = self._fleet(invoke.function, invoke.tenant)
        wait = None if invoke.function.debugged else invoke.wait
        # The fast path, if nothing has changed and an environment is idle: no task, and only the answer to wait for.
        if (code := self._known(invoke.function)) and (environment := fleet.take(code)):
            answer = self._use(fleet, environment, invoke)
            late = wait and asyncio.get_running_loop().call_later(wait, _too_late, answer)
            try:
                return await answer
            except NotRun:
                pass
            finally:
                if late:
                    late.cancel()
        running = self._task(self._run(fleet, invoke))  # it continues if its caller gives up
        await asyncio.wait({running}, timeout=wait)
        if not running.done():
            raise StillRunning
        return running.result()

    async def close(self) -> None:
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if ending := [environment.end() for environment in self._environments]:
            await asyncio.wait(ending)
        self._trying.wait()
        for descriptor in (self._line, self._held):
            os.close(descriptor)

    async def _run(self, fleet: _Fleet, invoke: Invoke) -> Result:
        while True:
            code = await self._current(fleet.function)
            try:
                environment = fleet.take(code)
                if not environment:
                    environment, fresh = await self._acquire(fleet, invoke), False
                    try:
                        # A file may have been saved during the wait, and this environment be outdated.
                        code = await self._current(fleet.function)
                        fresh = environment.alive and environment.code is code and fleet.fits(environment)
                    finally:
                        if not fresh:
                            self._discard(fleet, environment)
                    if not fresh:
                        continue
                return await self._use(fleet, environment, invoke)
            except NotRun:
                continue
            except _Ended as ended:
                ended.__traceback__ = None  # it and the future that holds it would keep each other, and the environment
                # If a file was saved since the start that failed, try again.
                if not ended.code or await self._current(fleet.function) is ended.code:
                    return ended.result

    def _use(self, fleet: _Fleet, environment: Environment, invoke: Invoke) -> asyncio.Future[Result]:
        def ended(duration: float) -> None:
            fleet.busy.discard(environment)
            fleet.durations.append(duration)
            fleet.last = time.monotonic()
            self._offer(fleet, environment)

        fleet.busy.add(environment)
        return environment.invoke(invoke, ended)

    def _offer(self, fleet: _Fleet, environment: Environment) -> None:
        """Gives the environment to the request that has waited longest, or keeps it warm."""
        if self._closed or not environment.alive or not fleet.fits(environment):
            return self._discard(fleet, environment)
        fleet.environments.add(environment)
        while fleet.waiting:
            waiter = fleet.waiting.popleft()
            if not waiter.done():
                return waiter.set_result(environment)
        fleet.idle.append(environment)

    async def _acquire(self, fleet: _Fleet, invoke: Invoke) -> Environment:
        """Returns an environment that is ready. Raises _Ended if the invoke ended during the start of one."""
        loop, pause = asyncio.get_running_loop(), _MOMENT_S
        waiter: asyncio.Future[Environment] = loop.create_future()
        start: asyncio.Task[Environment | None] | None = None
        fleet.waiting.append(waiter)
        try:
            while not waiter.done():
                if not start and fleet.short_of(waiter, time.monotonic()) and self._has_room(fleet):
                    fleet.starting += 1
                    start = self._task(self._start(fleet, invoke, waiter))
                if not start:
                    await asyncio.wait({waiter}, timeout=pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_S)
                    continue
                both: tuple[asyncio.Future[Any], ...] = (waiter, start)
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                if not waiter.done():
                    if waiter not in fleet.waiting or not self._hand_on(fleet, start):
                        start.result()  # raises, or there was no room
                        await asyncio.sleep(_LONGEST_PAUSE_S)
                    start = None
        finally:
            if waiter in fleet.waiting:
                fleet.waiting.remove(waiter)
        if start:  # it was not needed after all
            start.add_done_callback(lambda done: self._hand_on(fleet, done))
        return waiter.result()

    def _hand_on(self, fleet: _Fleet, start: asyncio.Task[Environment | None]) -> bool:
        """Gives the outcome of a start, even the error of an init, to the request that has waited longest."""
        if start.cancelled():
            return False
        error = start.exception()
        if isinstance(error, _Ended) and error.code:
            if waiter := next((one for one in fleet.waiting if not one.done()), None):
                fleet.waiting.remove(waiter)
                waiter.set_exception(error)
                waiter.exception()  # perhaps nobody waits any more
            return True
        if error or not (environment := start.result()):
            return False
        self._offer(fleet, environment)
        return True

    async def _start(self, fleet: _Fleet, invoke: Invoke, waiter: asyncio.Future[Environment]) -> Environment | None:
        """Returns an initialized environment, or None if there is no room for it or no more need. Raises _Ended."""
        try:
            while True:
                code = await self._current(fleet.function)
                if fleet.function.debugged and fleet.ending:  # the new one needs its port
                    await asyncio.wait(fleet.ending)
                try:
                    environment, failed = self._make(fleet, code), None
                except OSError as error:
                    if error.errno in _NO_ROOM and self._environments:
                        return None
                    raise CannotRun(f"{fleet.function.name} cannot run: {error}") from None
                with contextlib.suppress(InitFailed):
                    failed = await environment.initialize()
                    if not failed:
                        fleet.environments.add(environment)
                        return environment
                self._discard(fleet, environment)
                if await self._current(fleet.function) is not code:
                    continue  # a file was saved during the init, and the handler has not run
                if failed:
                    raise _Ended(failed, code)
                if waiter.done():
                    return None
                fleet.waiting.remove(waiter)
                raise _Ended(await self._use(fleet, self._make(fleet, code), invoke))
        finally:
            fleet.starting -= 1
            fleet.started = time.monotonic()

    def _make(self, fleet: _Fleet, code: Code) -> Environment:
        mounts = not self._trying.wait()
        environment = Environment(fleet.function, code, self._output, self._line, self._verbose, mounts)
        self._environments.add(environment)
        return environment

    def _discard(self, fleet: _Fleet, environment: Environment) -> None:
        fleet.environments.discard(environment)
        ending = environment.end()
        fleet.ending.add(ending)
        ending.add_done_callback(fleet.ending.discard)
        ending.add_done_callback(lambda _: self._environments.discard(environment))

    def _has_room(self, fleet: _Fleet) -> bool:
        """Whether one more may be started; an idle environment of another function makes room if necessary."""
        if sum(len(each.environments) + each.starting for each in self._fleets.values()) < self._limit:
            return True
        for other in self._fleets.values():
            if other is not fleet and other.idle:
                self._discard(other, other.idle.popleft())
                return True
        return False

    def _fleet(self, function: Function, tenant: str | None) -> _Fleet:
        fleet = self._fleets.get((function.name, tenant))
        if not fleet:
            fleet = self._fleets[function.name, tenant] = _Fleet(function, self._discard)
        fleet.function = function
        return fleet

    def _known(self, function: Function) -> Code | None:
        """The code of the function, if it is certain that nothing has changed; costs microseconds. Raises CannotRun."""
        with _told(function):
            return self._code_of(function).known()

    async def _current(self, function: Function) -> Code:
        """The code of the function as it is now. Raises CannotRun."""
        code = self._code_of(function)
        with _told(function):
            return code.known() or await code.current()

    def _code_of(self, function: Function) -> _Code:
        key = (function.runtime, function.code, function.layers, function.unbuilt, function.debugged)
        code = self._code.get(key)
        if not code:
            code = self._code[key] = _Code(function)
        return code

    def _task(self, coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # its caller may have gone
        return task


def _too_late(answer: asyncio.Future[Result]) -> None:
    if not answer.done():
        answer.set_exception(StillRunning())


@contextlib.contextmanager
def _told(function: Function) -> Iterator[None]:
    try:
        yield
    except (runtime.InstallError, OSError) as error:
        raise CannotRun(f"{function.name} cannot run: {error}") from None


class _Ended(Exception):
    """The invoke ended while an environment was started for it. A `code` is one whose init fails for every invoke."""

    def __init__(self, result: Result, code: Code | None = None) -> None:
        self.result, self.code = result, code


class _Fleet:
    """The environments of one function and tenant. `function` is the latest request's."""

    def __init__(self, function: Function, discard: Callable[[_Fleet, Environment], None]) -> None:
        self.function = function
        self._discard = discard
        self.environments: set[Environment] = set()
        self.idle: deque[Environment] = deque()  # the most recently used one is used next
        self.busy: set[Environment] = set()
        self.starting = 0
        self.ending: set[asyncio.Task[None]] = set()
        self.waiting: deque[asyncio.Future[Environment]] = deque()
        self.durations: deque[float] = deque(maxlen=15)  # seconds
        self.last = self.started = 0.0  # when an invoke, and a start, last ended (time.monotonic)

    def fits(self, environment: Environment) -> bool:
        return environment.function == self.function

    def take(self, code: Code) -> Environment | None:
        """Returns an idle environment with this code, or None; discards idle ones with other code."""
        while self.idle:
            environment = self.idle.pop()
            if environment.alive and environment.code is code and self.fits(environment):
                return environment
            self._discard(self, environment)
        return None

    def short_of(self, waiter: asyncio.Future[Environment], now: float) -> bool:
        """Whether this waiter would have to wait too long for an environment.

        Each environment is assumed to need the usual time for an invoke, or what its current one has taken so far.
        """
        if not self.environments and not self.starting:
            return True
        if self.function.debugged:
            return False
        # One start at a time while the queue moves, since a start slows down everything else.
        if now - self.last < _MOVING_S and (self.starting or now - self.started < _SETTLING_S):
            return False
        usual = statistics.median(self.durations) if self.durations else _UNKNOWN_S
        taken = [now - environment.since for environment in self.busy if environment.since is not None]
        needed = [max(usual, each if each > _LONG_S else 0) for each in taken]
        others = len(self.environments) - len(needed) + self.starting
        rate = sum(1 / each for each in needed) + others / max(usual, min(needed, default=0))
        return self.waiting.index(waiter) + 1 > rate * _PATIENCE_S


class _Code:
    """What sources.Sources finds for a function, without blocking the event loop."""

    def __init__(self, function: Function) -> None:
        # On Lambda a later layer overrides an earlier one.
        self._sources = Sources(function.code, function.layers[::-1], function.unbuilt[::-1])
        self._function = function
        self._looks = 0
        self._looking: asyncio.Future[Code] | None = None
        self._found: object = None
        self._code: Code | None = None  # made from `_found`

    def known(self) -> Code | None:
        """The code, if it is certain and costs no time; else None."""
        found = self._sources.known()
        return self._code if found and found is self._found else None

    async def current(self) -> Code:
        """The code as it is now. A look that began before this call may have missed a save: it waits for the next."""
        before = self._looks
        while True:
            if not self._looking:
                self._looks += 1
                self._looking = asyncio.get_running_loop().run_in_executor(None, self._look)
                self._looking.add_done_callback(self._looked)
            look, looking = self._looks, self._looking
            await asyncio.wait({looking})
            if look > before:
                return looking.result()

    def _looked(self, _: object) -> None:
        self._looking = None

    def _look(self) -> Code:
        for directory in (self._function.code, *self._function.layers):
            if not os.path.isdir(directory):
                raise runtime.InstallError(f"the template names {directory}, which does not exist")
        found = self._sources.current(self._function.runtime)
        if found is not self._found:
            version, interpreter, path = found
            if self._function.debugged:
                debugpy = runtime.tool(debugging.DEBUGPY, self._function.runtime)
                path += (str(debugging.DIRECTORY), str(debugpy))
            self._found, self._code = found, (version, str(interpreter), path)
        assert self._code
        return self._code
