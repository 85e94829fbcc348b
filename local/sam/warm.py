"""Warm containers that a save renews without a request being lost, where SAM CLI stops them among their requests."""

import threading

from samcli.local.lambdafn.runtime import WarmLambdaRuntime

from local import sources


class Warm(WarmLambdaRuntime):
    """SAM CLI's runtime of warm containers, each of which knows the version of the code that it has started with."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._invokes = set()  # for each one that goes on, the event of its end

    def create(self, function_config, *arguments, **options):
        version = _version(function_config)
        container = super().create(function_config, *arguments, **options)
        vars(container).setdefault("code_version", version)
        return container

    def invoke(self, *arguments, **options):
        ended = threading.Event()
        self._invokes.add(ended)
        try:
            return super().invoke(*arguments, **options)
        finally:
            self._invokes.discard(ended)
            ended.set()

    def renew(self, wait):
        """Lets new containers answer where the code has changed; the old ones stop once nobody needs them.

        `wait`: returns when they have stopped.
        """
        retired = []
        with self._container_lock:
            for path, container in list(self._containers.items()):
                version = _version(self._function_configs[path])
                if vars(container).get("code_version", version) != version:  # one that is being made has none yet
                    retired.append(self._containers.pop(path))
                    self._function_configs.pop(path)
        if retired:
            # Who begins from now on gets a new one.
            retiring = threading.Thread(target=self._retire, args=(retired, list(self._invokes)), daemon=True)
            retiring.start()
            if wait:
                retiring.join()

    def _retire(self, containers, invokes):
        for ended in invokes:
            ended.wait()
        for container in containers:
            self._container_manager.stop(container)


def _version(config):
    return sources.tree(config.code_abs_path).version()
