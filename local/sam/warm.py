"""SAM CLI's runtimes of containers: cold ones, and warm ones, replaced after a save without losing a request."""

from __future__ import annotations

import threading
from typing import Any

from samcli.local.lambdafn.runtime import LambdaRuntime, WarmLambdaRuntime

from local import sources


class Cold(LambdaRuntime):
    """SAM CLI's runtime without signal handlers: a thread cannot set them, and ending a run is not its task."""

    def _configure_interrupt(self, function_full_path: str, timeout: int, container: Any, is_debugging: bool) -> Any:
        return super()._configure_interrupt(function_full_path, timeout, container, False)


class Warm(Cold, WarmLambdaRuntime):
    """SAM CLI's runtime of warm containers, each of which knows the version of the code that it started with.

    Its file watcher is off: a container is replaced before the first request after a save.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options, no_watch=True)
        self._invokes: set[threading.Event] = set()  # for each one that is running, the event of its end

    def create(self, function_config: Any, *arguments: Any, **options: Any) -> Any:
        version = _version(function_config)
        container = super().create(function_config, *arguments, **options)
        vars(container).setdefault("code_version", version)
        return container

    def invoke(self, *arguments: Any, **options: Any) -> Any:
        ended = threading.Event()
        self._invokes.add(ended)
        try:
            return super().invoke(*arguments, **options)
        finally:
            self._invokes.discard(ended)
            ended.set()

    def renew(self, wait: bool) -> None:
        """Replaces containers whose code has changed; the old ones stop once their last request has ended.

        `wait`: returns once they have stopped.
        """
        retired = []
        with self._container_lock:
            for path, container in list(self._containers.items()):
                version = _version(self._function_configs[path])
                if vars(container).get("code_version", version) != version:  # one that is being created has none yet
                    retired.append(self._containers.pop(path))
                    self._function_configs.pop(path)
        if retired:
            # Requests from now on get a new container.
            retiring = threading.Thread(target=self._retire, args=(retired, list(self._invokes)), daemon=True)
            retiring.start()
            if wait:
                retiring.join()

    def _retire(self, containers: list[Any], invokes: list[threading.Event]) -> None:
        for ended in invokes:
            ended.wait()
        for container in containers:
            self._container_manager.stop(container)


def _version(config: Any) -> list[int]:
    return sources.version(config.code_abs_path)
