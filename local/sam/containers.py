"""The engine "containers": SAM CLI's own, which ends here what it has started, and has the function's packages."""

import atexit
import os
import re
import uuid

from samcli.commands.exceptions import UserException
from samcli.commands.local.lib.local_lambda import LocalLambdaRunner
from samcli.local.docker.manager import ContainerManager

from local import debugging, runtime, server, sources
from local.reaper import Reaper
from local.sam.context import debug_variables
from local.sam.engine import remove_containers

# What the runtime client still says when its container is ended.
_LAST_WORDS = re.compile(rb"\[ERROR\] \[\d+\] LAMBDA_RUNTIME Failed to get next invocation[^\n]*\n?")


class Containers(ContainerManager):
    """SAM CLI's manager of containers, which ends what it has started, and mounts the function's packages."""

    _label = None
    _reaper = None

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        if not Containers._label:  # one for the process: a template that is read again makes a manager again
            # A label is there from the start; an id only once a container is, which may be after this process.
            Containers._label = f"local.server={uuid.uuid4()}"
            Containers._reaper = Reaper()
            self._reaper.started(self._label)
            atexit.register(self._remove)

    def create(self, container, context):
        self._equip(container)
        name, _, value = self._label.partition("=")
        container._labels[name] = value
        super().create(container, context)

    def _equip(self, container):
        """Mounts what requirements.txt lists, and debugpy when it is asked for."""
        name, architecture = _image(container)
        code = container._host_dir
        if not (name and code and os.path.isdir(code)):
            return
        sources.forget_bytecode(code)
        environment = container._env_vars
        mounts = {}
        try:
            if packages := runtime.packages(code, name, server.say, architecture):
                mounts[str(packages)] = "/var/packages"
            if container.debug_options and container.debug_options.debug_ports:
                debugpy = runtime.tool(debugging.DEBUGPY, name, server.say, architecture)
                mounts.update({str(debugging.DIRECTORY): "/var/debugger", str(debugpy): "/var/debugpy"})
                handler = environment["AWS_LAMBDA_FUNCTION_HANDLER"]
                environment.update(debug_variables(handler, "0.0.0.0"), AWS_LAMBDA_FUNCTION_HANDLER=debugging.HANDLER)
                environment["AWS_LAMBDA_FUNCTION_TIMEOUT"] = str(LocalLambdaRunner.MAX_DEBUG_TIMEOUT)
                container._entrypoint = container._get_default_entry_point()
        except runtime.InstallError as error:
            raise UserException(f"the function cannot run: {error}") from None
        if mounts:
            volumes = {directory: {"bind": place, "mode": "ro"} for directory, place in mounts.items()}
            container._additional_volumes = {**(container._additional_volumes or {}), **volumes}
            # Setting it drops the two places of layers, which Lambda searches by itself.
            found = [f"/opt/python/lib/{name}/site-packages", "/opt/python", *mounts.values()]
            environment["PYTHONPATH"] = ":".join(found)

    def _remove(self):
        remove_containers(self._label, again=0.2)
        self._reaper.ended(self._label)


def without_last_words(write):
    """SAM CLI's function that writes what a container prints, without what it prints because it is ended."""

    def _handle_data_writing(output_stream, output_data, event):
        write(output_stream, _LAST_WORDS.sub(b"", output_data), event)

    return _handle_data_writing


def _image(container):
    """(runtime, architecture) of SAM CLI's container of a Python function, or (None, None)."""
    found = re.search(r"python:(3\.\d+)-(?:rapid-)?(x86_64|arm64)", container.image)
    return (f"python{found[1]}", found[2]) if found else (None, None)
