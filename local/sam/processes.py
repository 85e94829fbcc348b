"""The engine "processes": an execution environment is a pair of processes instead of a container."""

import os
import sys
import threading
from pathlib import Path

import samcli
from samcli.commands.exceptions import UserException
from samcli.lib.utils.codeuri import resolve_code_path
from samcli.local.lambdafn.runtime import LambdaRuntime

from local import debugging, environments, runtime, server
from local.sam.context import Context, debug_variables
from local.sources import Sources

_RAPID = Path(samcli.__file__).parent / "local" / "rapid"
_EMULATOR = _RAPID / f"aws-lambda-rie-{'arm64' if os.uname().machine in ('arm64', 'aarch64') else 'x86_64'}"

# Options that only a container can honour, and without which the function would answer something else.
_CONTAINERS_ONLY = {
    "add_host": "--add-host",
    "container_dns": "--container-dns",
    "docker_network": "--docker-network",
    "invoke_images": "--invoke-image",
}

# The `wait` of this thread's caller, in seconds: API Gateway goes before a function has to.
CALLER = threading.local()

# What Lambda's own environment has beside the variables of the function and of AWS. The home is none of the
# developer's, where credentials would lie. https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
_BASICS = {
    "HOME": "/nonexistent",
    "LANG": "en_US.UTF-8",
    "PATH": os.environ.get("PATH", os.defpath),
    "PYTHONDONTWRITEBYTECODE": "1",
    "TZ": ":UTC",
}


class Processes(Context):
    """The engine "processes": an execution environment is a pair of processes instead of a container."""

    engine = "processes"
    pool = None

    def __init__(self, template_file, **options):
        for name, option in _CONTAINERS_ONLY.items():
            if options.get(name):
                raise UserException(f"{option} needs a container engine: start Docker or Finch, without --no-docker")
        # Environments are warm in any case, and there is nothing to load before the first request.
        options["warm_container_initialization_mode"] = None
        super().__init__(template_file, **options)

    def __enter__(self):
        super().__enter__()
        reasons = {function.full_path: _unsupported(function) for function in self._function_provider.get_all()}
        lines = [f"{name} {reason}" for name, reason in reasons.items() if reason]
        if lines and all(reasons.values()):
            raise UserException("\n".join(lines))
        for line in lines:
            server.say(line)
        return self

    def __exit__(self, *error):
        super().__exit__(*error)
        if Processes.pool:
            Processes.pool.close()

    def describe(self):
        for name in sorted({function.runtime for function in self._function_provider.get_all()}):
            if name and name.startswith("python3."):
                runtime.python(name, server.say)
                found = runtime.version(name)
                if not found.startswith(name.removeprefix("python") + "."):
                    server.say(f"{name} is not on this machine and could not be fetched: the function runs on {found}")
        return "Engine: processes, no container engine needed"

    @staticmethod
    def _get_container_manager(*_):
        return None

    @property
    def lambda_runtime(self):
        if not self._lambda_runtimes:
            if not Processes.pool:
                stream = self._log_file_handle or sys.stderr
                Processes.pool = environments.Pool(_EMULATOR, stream.buffer)
            self._lambda_runtimes = {self._containers_mode: ProcessRuntime(Processes.pool, self.get_cwd())}
        return self._lambda_runtimes[self._containers_mode]


class ProcessRuntime(LambdaRuntime):
    """Stands in for SAM CLI's LambdaRuntime: the same invoke, answered by an execution environment of the pool."""

    def __init__(self, pool, cwd):
        super().__init__(container_manager=None, image_builder=None)
        self._pool = pool
        self._cwd = cwd
        self._sources = {}

    def invoke(self, function_config, event, tenant_id=None, stdout=None, **_):
        event = event.encode()
        if len(event) > environments.PAYLOAD_LIMIT:
            raise TooLarge("the event has more than 6 MB, the most that Lambda takes in one invoke")
        try:
            answer = self._pool.invoke(lambda: self._function(function_config), event, tenant_id, _patience())
        except runtime.InstallError as error:
            raise UserException(f"{function_config.full_path} cannot run: {error}") from None
        stdout.write_str(answer.decode())

    def _function(self, config):
        """The environments.Function of SAM CLI's FunctionConfig, with its files and packages as they are now."""
        mine = self._sources.get(config.full_path) or self._find(config)
        version, interpreter, path = mine.current(config.runtime, server.say)
        environment = {
            **_BASICS,
            **config.env_vars.resolve(),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.runtime}",
            "LAMBDA_TASK_ROOT": mine.code,
            "_HANDLER": config.handler,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(config.timeout),
        }
        debugged, handler = _is_debugged(config), config.handler
        if debugged:
            environment.update(debug_variables(config.handler, "127.0.0.1"))
            handler = debugging.HANDLER
            path += (str(debugging.DIRECTORY), str(runtime.tool(debugging.DEBUGPY, config.runtime, server.say)))
        variables = tuple(sorted(environment.items()))
        return environments.Function(
            config.full_path, handler, str(interpreter), mine.code, path, variables, version, debugged
        )

    def _find(self, config):
        if reason := _unsupported(config):
            raise UserException(f"{config.full_path} {reason}")
        layers = {True: [], False: []}
        for layer in map(self._unarchived_layer, config.layers):
            layers[bool(layer.build_method)].append(resolve_code_path(self._cwd, layer.codeuri))
        code = self._get_code_dir(config.code_abs_path)
        for directory in (code, *layers[True], *layers[False]):
            if not os.path.isdir(directory):
                raise UserException(f"{config.full_path}: the template names {directory}, which does not exist")
        return self._sources.setdefault(config.full_path, Sources(code, layers[False], layers[True]))


class TooLarge(UserException):
    """The event is larger than an invoke may be."""


def _unsupported(function):
    """Why processes cannot run the function (a Function or FunctionConfig of SAM CLI), or None."""
    need = "start Docker or Finch, and run without --no-docker"
    if function.packagetype != "Zip":
        return f"is a container image and needs a container engine: {need}"
    if not str(function.runtime).startswith("python3."):
        return f"has the runtime {function.runtime} and needs a container engine: {need}"
    if function.durable_config:
        return f"is a durable function and needs a container engine: {need}"
    if arns := [layer.arn for layer in function.layers if not layer.is_defined_within_template]:
        return f"uses the layer {arns[0]}, which is not in the template, and needs a container engine: {need}"
    if sys.platform != "linux":
        return f"needs a container engine, since Lambda's emulator runs on Linux only: {need}"
    return None


def _is_debugged(config):
    debugged = Context.current.debugged
    return debugged is not None and debugged.full_path == config.full_path


def _patience():
    """The seconds that the caller waits; nobody is in a hurry who debugs."""
    return None if Context.current.debugged else getattr(CALLER, "wait", None)
