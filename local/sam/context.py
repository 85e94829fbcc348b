"""One reading of the template by SAM CLI: functions, APIs, environment variables, and the options of the start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

from samcli.commands.exceptions import UserException
from samcli.commands.local.cli_common.invoke_context import ContainersMode, InvokeContext
from samcli.commands.local.lib.local_lambda import LocalLambdaRunner
from samcli.lib.providers.provider import Function as SamFunction
from samcli.lib.providers.provider import LayerVersion, Stack
from samcli.lib.utils.codeuri import resolve_code_path
from samcli.local.docker.lambda_image import LambdaImage
from samcli.local.lambdafn.env_vars import EnvironmentVariables
from samcli.local.lambdafn.runtime import LambdaRuntime
from samcli.local.lambdafn.zip import unzip
from samcli.local.layers.layer_downloader import LayerDownloader

from local import debugging, recording, variables
from local.aws import ENDPOINT, Aws
from local.cloudformation.template import Circular
from local.deployed import Deployed
from local.engine import CannotRun, Function, Invoke, TooLarge
from local.gateway.routes import Ambiguous, Routes
from local.identifier import request_id, trace
from local.pool import Pool
from local.project import Project
from local.sam import stacks
from local.sam.containers import Log, Manager
from local.sam.warm import Cold, Warm
from local.terminal import say
from local.watch import Tree

_DOCUMENTS = r".*\.(ya?ml|json)"
_ACCOUNT = "123456789012"

# Options that only containers support and that change the function's answers.
_CONTAINERS_ONLY = {
    "add_host": "--add-host",
    "container_dns": "--container-dns",
    "docker_network": "--docker-network",
    "invoke_images": "--invoke-image",
}

_ARCHIVES = (".zip", ".jar")

# SAM CLI sets these for the emulator in a container; Lambda has none of them.
_EMULATORS = ("AWS_ACCOUNT_ID", "AWS_LAMBDA_FUNCTION_HANDLER", "AWS_LAMBDA_FUNCTION_TIMEOUT")
# What processes can use of a layer, through PYTHONPATH, PATH and LD_LIBRARY_PATH.
_SEARCHED = {"python", "bin", "lib"}


@dataclass
class Once:
    """What exists once in a run, however often the template is read; shared by all contexts."""

    containers: bool
    serves: bool  # until it is ended; `invoke` runs one event only
    aws: Aws = Aws("us-east-1")
    deployed: Deployed | None = None
    recorder: recording.Recorder | None = None
    keys: tuple[str, ...] = ()
    platform_log: bool = False
    authorize: bool = True
    log: TextIO | None = None
    manager: Manager | None = None
    runtime: LambdaRuntime | None = None
    unpacked: dict[tuple[str, int], tempfile.TemporaryDirectory[str]] = field(default_factory=dict)


class Context(InvokeContext):
    """SAM CLI's context of an invoke, as a run.Reading."""

    def __init__(self, once: Once, **options: Any) -> None:
        self.once, self._given = once, options
        options = {**options, "skip_pull_image": True}  # asks the registry only for an image that is missing
        if not once.containers:
            for name, option in _CONTAINERS_ONLY.items():
                if options.get(name):
                    raise UserException(
                        f"{option} needs a container engine: start Docker or Finch, and run without --no-docker"
                    )
            # Environments stay warm anyway, and there is nothing to load before the first request.
            options["warm_container_initialization_mode"] = None
        elif options.get("debug_ports"):
            # The editor attaches before any request, so the container must exist by then, and stay.
            options["warm_container_initialization_mode"] = options.get("warm_container_initialization_mode") or "LAZY"
        options["no_watch"] = bool(options.get("warm_container_initialization_mode"))  # Warm notices a save sooner
        if not options.get("env_vars_file") and os.path.exists("env.json"):
            options["env_vars_file"] = "env.json"
        super().__init__(**options)

    def __enter__(self) -> Context:
        super().__enter__()
        functions = list(self._function_provider.get_all())
        if self._env_vars_value:
            known = [(stacks.names(one), (one.environment or {}).get("Variables") or {}) for one in functions]
            known += self._read.absent(functions)
            try:
                variables.check(os.path.relpath(str(self._env_vars_file)), self._env_vars_value, known)
            except variables.Unfit as error:
                raise UserException(str(error)) from None
        self.debugged = self._find_debugged(functions) if self._debug_ports else None
        made = {}
        for function in functions:
            try:
                made[function.full_path] = self.function(function)
            except Exception as error:  # whatever one function makes it raise
                self._read.remarks.append(f"{function.full_path} is left out: {error}")
        functions = [function for function in functions if function.full_path in made]
        asked = self.once.serves  # a single event reaches its function without an API
        apis = self._read.apis(functions, self.region, self.account, self.once.authorize) if asked else ()
        self.remarks = self._read.told(functions, self._env_vars_value or {})
        self.remarks += tuple(self._unlike_aws(functions, made))
        by_name = {name: made[function.full_path] for function in functions for name in stacks.names(function)}
        try:
            self.project = Project(made, {**by_name, **made}, apis, Routes(apis))
        except Ambiguous as error:
            raise UserException(str(error)) from None
        files = {*self._read.files, os.path.abspath(self._env_vars_file or self._template_file)}
        self._documents = [
            Tree(directory, False, _DOCUMENTS) for directory in {os.path.dirname(file) for file in files}
        ]
        self._seen = self._versions()
        return self

    def _get_stacks(self) -> list[Stack]:
        given, extensions = self._parameter_overrides or {}, self._given.get("language_extensions") is not False
        pseudo, deployed = stacks.pseudo(self.region, self.account), self.once.deployed
        physical = None
        if deployed:
            pseudo, physical = {**pseudo, **deployed.pseudo}, deployed.names
        try:
            self._read = stacks.read(self._template_file, given, pseudo, extensions, physical)
        except Circular as error:
            raise UserException(f"{os.path.relpath(self._template_file)}: {error}") from None
        except RecursionError:
            file = os.path.relpath(self._template_file)
            raise UserException(f"{file}: values refer to each other in a circle") from None
        known = self._read.stacks[0].template_dict.get("Parameters") or {}
        for name in given:
            if name not in known and not name.startswith("AWS::"):
                names = f"; it has {', '.join(known)}" if known else ""
                self._read.remarks.append(f"--parameter-overrides {name}: the template has no such parameter{names}")
        return self._read.stacks

    @property
    def function_identifier(self) -> str:
        names = [function.full_path for function in self._function_provider.get_all()]
        if not self._function_identifier and len(names) > 1:
            commands = "".join(f"\n  ./run.sh invoke {name}" for name in names)
            raise UserException(f"the template has {len(names)} functions; name the one to invoke:{commands}")
        return super().function_identifier

    @property
    def debug_port(self) -> int | None:
        return self._debug_ports[0] if self.debugged else None

    @property
    def region(self) -> str:
        """The region of SAM CLI's own options, which may be in samconfig.toml, else the one that aws.of found."""
        return self._aws_region or self.once.aws.region

    @property
    def account(self) -> str:
        return str((self._global_parameter_overrides or {}).get("AWS::AccountId", _ACCOUNT))

    def arn(self, function_name: str) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{function_name}"

    def outdated(self) -> bool:
        seen, self._seen = self._seen, self._versions()
        return seen != self._seen

    def again(self) -> Context:
        return Context(self.once, **self._given).__enter__()

    @property
    def local_lambda_runner(self) -> Runner:
        if not self._local_lambda_runner:
            self._local_lambda_runner = Runner(
                self,
                local_runtime=self.lambda_runtime if self.once.containers else None,
                function_provider=self._function_provider,
                cwd=self.get_cwd(),
                real_path=os.path.dirname(os.path.abspath(self._template_file)),
                aws_profile=self._aws_profile,
                aws_region=self._aws_region,
                env_vars_values=self._env_vars_value,
                debug_context=self._debug_context,
                container_host=self._container_host,
                container_host_interface=self._container_host_interface,
                extra_hosts=self._extra_hosts,
                container_dns=self._container_dns,
            )
        return self._local_lambda_runner

    def function(self, found: SamFunction, override_runtime: str | None = None) -> Function:
        """Our Function made from SAM CLI's; `override_runtime` is the runtime given to `sam local invoke`."""
        config = self.local_lambda_runner.get_invoke_config(found, override_runtime)
        layers = [layer for layer in config.layers if isinstance(layer, LayerVersion) and layer.codeuri]
        name = found.functionname or found.name
        handler, given = found.handler or "", config.env_vars.resolve()
        own = {key: value for key, value in given.items() if key in config.env_vars.variables or key not in _EMULATORS}
        if debugged := found == self.debugged:
            own |= self._container_env_vars_value or {}
            own |= debugging.variables(handler, "127.0.0.1", self._debug_ports[0], wait=not self.once.serves)
        return Function(
            name=found.full_path,
            function_name=name,
            arn=self.arn(name),
            handler=handler,
            runtime=config.runtime or "",
            code=self._directory(config.code_abs_path) if config.code_abs_path else "",
            timeout=config.timeout,
            memory=config.memory,
            variables=tuple(own.items()),
            layers=tuple(self._directory(resolve_code_path(self.get_cwd(), layer.codeuri)) for layer in layers),
            unbuilt=tuple(str(layer.codeuri) for layer in layers if layer.build_method),
            log_group=_log_group(found, name),
            tenants=bool(found.tenancy_config),
            storage=self._storage(found),
            debugged=debugged,
            container_only=_container_only(found),
        )

    def _unlike_aws(self, functions: list[SamFunction], made: dict[str, Function]) -> Iterator[str]:
        """Lines about what functions have on AWS but not here."""
        layers = {layer.arn: layer for function in functions for layer in function.layers}
        makes = [one.full_path for one in functions if (one.metadata or {}).get("BuildMethod") == "makefile"]
        makes += [f"the layer {layer.name}" for layer in layers.values() if layer.build_method == "makefile"]
        if makes and ".aws-sam" not in os.path.abspath(self._template_file).split(os.sep):
            built = ".tools/bin/sam build && ./run.sh --template .aws-sam/build/template.yaml"
            yield f"makefiles do not run here, the source is used as it is: {', '.join(makes)}. To use a build: {built}"
        for arn, layer in layers.items():
            users = ", ".join(one.full_path for one in functions if arn in [each.arn for each in one.layers])
            if not layer.is_defined_within_template and not self.once.containers:
                yield f"{users} without the layer {arn}: only a container engine gets one that is not in the template"
            elif not layer.is_defined_within_template and not self._aws_profile:
                yield f"{users} cannot run: the layer {arn} is fetched with your credentials; ./run.sh --profile NAME"
        if self.once.containers:
            return
        for name, one in made.items():
            if one.container_only:
                yield f"{name} {one.container_only}"
        for layer in layers.values():
            if layer.codeuri and not layer.build_method:
                with contextlib.suppress(OSError):
                    found = os.listdir(self._directory(resolve_code_path(self.get_cwd(), layer.codeuri)))
                    if others := ", ".join(sorted(set(found) - _SEARCHED)):
                        yield f"the layer {layer.name} holds {others}, which only a container engine puts into /opt"

    def _storage(self, found: SamFunction) -> int:
        (stack,) = (stack for stack in self._stacks if stack.stack_path == found.stack_path)
        properties = (stack.resources.get(found.function_id) or {}).get("Properties") or {}
        size = (properties.get("EphemeralStorage") or {}).get("Size")
        return int(size) if str(size).isdecimal() else Function.storage

    def _directory(self, path: str) -> str:
        """The path, or the directory into which the archive at that path is unpacked."""
        if not (path.lower().endswith(_ARCHIVES) and os.path.isfile(path)):
            return path
        key = (path, os.stat(path).st_mtime_ns)
        if key not in self.once.unpacked:
            self.once.unpacked[key] = tempfile.TemporaryDirectory(prefix="unpacked-")
            unzip(path, self.once.unpacked[key].name)
        return self.once.unpacked[key].name

    def _find_debugged(self, functions: list[SamFunction]) -> SamFunction:
        """The function that --debug-port is for."""
        wanted = self._debug_function or self._function_identifier
        found = [function for function in functions if wanted in (None, *stacks.names(function))]
        if len(found) != 1:
            known = ", ".join(function.name for function in functions)
            raise UserException(f"--debug-port needs --debug-function with one of the template's functions: {known}")
        return found[0]

    def _versions(self) -> list[int]:
        return [tree.version() for tree in self._documents]

    @staticmethod
    def _get_env_vars_value(filename: str | None) -> dict[str, Any] | None:
        if not filename:
            return None
        try:
            return variables.read(os.path.relpath(filename))
        except variables.Unfit as error:
            if filename.endswith(".json"):
                raise UserException(str(error)) from None
            return InvokeContext._parse_dotenv_file(filename)

    def _setup_log_file(self, log_file: str | None) -> TextIO | None:  # type: ignore[override]
        if log_file and not self.once.log:
            # Only the owner may read what a function prints.
            self.once.log = open(os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf8")
        return self.once.log

    def _add_account_id_to_global(self) -> None:
        # For the template's AWS::AccountId. Asking STS takes seconds when offline, and makes no sense without real
        # credentials.
        if self._aws_profile:
            super()._add_account_id_to_global()

    def _get_container_manager(self, *options: Any) -> Any:  # type: ignore[override]
        if self.once.containers and not self.once.manager:
            self.once.manager = Manager(*options)
        return self.once.manager

    @property
    def lambda_runtime(self) -> LambdaRuntime:
        if not self.once.runtime:
            layers = LayerDownloader(self._layer_cache_basedir, self.get_cwd(), self._stacks)
            images = LambdaImage(layers, True, self._force_image_build, invoke_images=self._invoke_images)
            made = Warm if self._containers_mode is ContainersMode.WARM else Cold
            self.once.runtime = made(self.once.manager, images, no_mem_limit=self._no_mem_limit)
        return self.once.runtime


class Runner(LocalLambdaRunner):
    """SAM CLI's runner, except that nothing of the developer's shell reaches a function."""

    def __init__(self, context: Context, **options: Any) -> None:
        super().__init__(**options)
        self.context = context

    def get_aws_creds(self) -> dict[str, str]:
        """Placeholders, unless --profile asks for the real ones."""
        if self.aws_profile:
            return super().get_aws_creds()
        return {"region": self.context.region}

    def invoke(self, function_identifier: str, event: str, tenant_id: str | None = None, **options: Any) -> Any:
        """With processes, runs the engine's only invoke; the option `stdout` gets the answer."""
        event = recording.event_in(event)
        if not self.context.once.serves:
            for remark in self.context.remarks:
                say(remark)
        if self.local_runtime:
            if not isinstance(options["stderr"], Log):
                options["stderr"] = Log(options["stderr"])
            return super().invoke(function_identifier, event, tenant_id, **options)
        found = self.get_function(function_identifier, tenant_id)
        function = self.context.function(found, options.get("override_runtime"))
        payload = asyncio.run(self._once(function, event.encode(), tenant_id))
        options["stdout"].write_str(f"{payload.decode()}\n")
        return None

    async def _once(self, function: Function, event: bytes, tenant: str | None) -> bytes:
        try:
            pool = Pool(self.context.stderr.stream.buffer, verbose=self.context.once.platform_log)
            try:
                id = request_id()
                return (await pool.invoke(Invoke(function, event, id, trace("", id, time.time()), tenant))).payload
            finally:
                await pool.close()
        except (CannotRun, TooLarge) as error:
            raise UserException(str(error)) from None

    def _make_env_vars(self, function: SamFunction) -> EnvironmentVariables:
        made = super()._make_env_vars(function)
        made.shell_env_values = {}
        given = {name: "" for name in made.override_values if name.startswith(ENDPOINT)}  # declared or not
        made.variables = {**given, **self.context.once.aws.endpoints, **made.variables}
        made.name = function.functionname or function.name
        if self.context.once.containers and str(function.runtime).startswith("python"):
            made.variables["FUNCTION_ARN"] = self.context.arn(made.name)  # for inside/container/sitecustomize.py
        # A terminal shows plain lines; JSON is for the log group.
        made.logging_config = {"LogGroup": _log_group(function, made.name)}
        return made


def _log_group(function: SamFunction, name: str) -> str:
    return str((function.logging_config or {}).get("LogGroup") or f"/aws/lambda/{name}")


def _container_only(function: SamFunction) -> str:
    need = "start Docker or Finch, and run without --no-docker"
    if function.packagetype != "Zip":
        return f"is a container image and needs a container engine: {need}"
    if not re.fullmatch(r"python3\.\d\d", str(function.runtime)):  # AWS's runtime client supports 3.10 and newer
        return f"has the runtime {function.runtime} and needs a container engine: {need}"
    if function.durable_config:
        return f"is a durable function and needs a container engine: {need}"
    return ""
