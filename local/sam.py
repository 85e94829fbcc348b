"""SAM CLI, run as a library, and every inner name of it that this project holds on to.

Read from aws-sam-cli 1.170.0, which requirements.txt pins; tests/unit/test_sam.py fails when a name moves. SAM CLI does
the work (template, routes, events, responses, options); here its engine is put in, and what it answers or says where
API Gateway and Lambda would do otherwise is put right.
"""

import atexit
import functools
import io
import json
import logging
import os
import re
import sys
import threading
import time
from pathlib import Path

from flask import jsonify, request
from samcli.cli.main import cli
from samcli.commands.exceptions import UserException
from samcli.commands.local.cli_common import invoke_context
from samcli.commands.local.lib import local_api_service, local_lambda, local_lambda_service
from samcli.commands.local.lib.local_lambda import LocalLambdaRunner
from samcli.lib.telemetry.event import EventTracker
from samcli.lib.utils import version_checker
from samcli.lib.utils.codeuri import resolve_code_path
from samcli.lib.utils.stream_writer import StreamWriter
from samcli.local.apigw.exceptions import LambdaResponseParseException
from samcli.local.apigw.local_apigw_service import LocalApigwService
from samcli.local.apigw.route import Route
from samcli.local.docker.container_client_factory import ContainerClientFactory
from samcli.local.docker.manager import ContainerManager, DockerImagePullFailedException
from samcli.local.lambdafn import runtime as lambda_runtime
from samcli.local.lambdafn.env_vars import EnvironmentVariables
from samcli.local.lambdafn.runtime import LambdaRuntime, WarmLambdaRuntime
from samcli.local.services.base_local_service import BaseLocalService, LambdaOutputParser

from local import debugging, environments, gateway, runtime, server, sources, variables
from local.reaper import Reaper
from local.sources import Sources
from local.watch import Tree

_RAPID = Path(sys.modules["samcli"].__file__).parent / "local" / "rapid"
_EMULATOR = _RAPID / f"aws-lambda-rie-{'arm64' if os.uname().machine in ('arm64', 'aarch64') else 'x86_64'}"

# Options that only a container can honour, and without which the function would answer something else.
_CONTAINERS_ONLY = {
    "add_host": "--add-host",
    "container_dns": "--container-dns",
    "docker_network": "--docker-network",
    "invoke_images": "--invoke-image",
}

_DOCUMENTS = r".*\.(ya?ml|json)"


def container_engine():
    """The name of the container engine that answers, or None."""
    try:
        client = ContainerClientFactory.create_client()
    except Exception:  # each engine's client has its own; whatever it is, no engine answers
        return None
    return type(client).__name__.removesuffix("ContainerClient")


def remove_containers(identifiers):
    """Removes the containers, running or not, and does nothing about those that are gone."""
    client = ContainerClientFactory.create_client()
    for identifier in identifiers:
        try:
            client.api.remove_container(identifier, force=True)
        except Exception:  # gone, or going
            continue


def run(arguments, engine):
    """Runs `sam local ARGUMENTS` with the engine, a subclass of Context, and ends the process as sam does."""
    invoke_context.InvokeContext = engine
    invoke_context.ContainerManager = Containers
    local_api_service.LocalApigwService = Gateway
    local_api_service.LocalApiService._print_routes = staticmethod(lambda *_, **__: None)
    for service in (local_api_service.LocalApiService, local_lambda_service.LocalLambdaService):
        service.__init__ = _remembered(service.__init__)
    local_lambda.EnvironmentVariables = Variables
    LocalLambdaRunner.get_aws_creds = _credentials
    for runs in (LambdaRuntime, WarmLambdaRuntime):
        runs._configure_interrupt = _timed(runs._configure_interrupt)
    BaseLocalService.run = _serve
    LambdaOutputParser.is_lambda_error_response = staticmethod(lambda answer: environments.is_error(_bytes(answer)))
    EventTracker.track_event = staticmethod(lambda *_, **__: None)
    version_checker._inform_newer_version = lambda: None
    if "--debug" not in arguments:
        for name in (local_api_service, local_lambda_service, local_lambda, lambda_runtime):
            logging.getLogger(name.__name__).setLevel(logging.WARNING)
        logging.getLogger("samcli.local.docker").setLevel(logging.WARNING)
        logging.getLogger(LocalApigwService.__module__).setLevel(logging.CRITICAL)
    cli(args=["local", *arguments], prog_name="sam")


class Context(invoke_context.InvokeContext):
    """SAM CLI's context of an invoke; the engine "containers" is this one as it is."""

    # A template that is read again goes on with the same log.
    _setup_log_file = staticmethod(functools.cache(invoke_context.InvokeContext._setup_log_file))

    engine = "containers"
    current = None
    serves = None  # what starts the service again, with another context

    def __init__(self, template_file, **options):
        options["skip_pull_image"] = True  # asks the registry for an image that is missing, and for no other
        if options.get("debug_ports") and self.engine == "containers":
            # The editor attaches before any request: the container is there already, and stays.
            options["warm_container_initialization_mode"] = options.get("warm_container_initialization_mode") or "LAZY"
        options["no_watch"] = bool(options.get("warm_container_initialization_mode"))  # _renew knows of a save sooner
        self._options = {"template_file": template_file, **options}
        super().__init__(template_file, **options)

    def __enter__(self):
        super().__enter__()
        if self._env_vars_value:
            functions = [(_names(function), _declared(function)) for function in self._function_provider.get_all()]
            try:
                variables.check(os.path.relpath(self._env_vars_file), self._env_vars_value, functions)
            except variables.Unfit as error:
                raise UserException(str(error)) from None
        self.debugged = self._find_debugged() if self._debug_ports else None
        self._documents = [Tree(directory, False, _DOCUMENTS) for directory in self._directories()]
        self._seen = self._versions()
        self._code = {}
        Context.current = self
        return self

    @classmethod
    def _get_env_vars_value(cls, filename):
        if filename and filename.endswith(".json"):
            try:
                variables.read(os.path.relpath(filename))
            except variables.Unfit as error:
                raise UserException(str(error)) from None
        return super()._get_env_vars_value(filename)

    def describe(self):
        """Says which engine serves, and makes it ready."""
        return f"Engine: containers ({container_engine()})"

    def refresh(self):
        """Reads template, OpenAPI documents and env.json again when one of them was saved."""
        with _REFRESHING:
            self._renew()
            if Context.current is not self or self._versions() == self._seen:
                return
            self._seen = self._versions()
            if self._containers_mode is invoke_context.ContainersMode.WARM:
                return server.say("template.yaml or env.json has changed: restart ./run.sh, since containers are warm")
            try:
                Context.serves(type(self)(**self._options).__enter__())
            except Exception as error:  # whatever a half-written template makes SAM CLI raise
                Context.current = self
                return server.say(f"not taken over, what was read before goes on: {error}")
            server.say("template and environment variables read again")

    def keep_awake(self):
        """Starts the debugged function before any request and after every save, so that an editor can attach."""
        config = self.local_lambda_runner.get_invoke_config(self.debugged)
        seen = None
        while Context.current is self:
            if seen != (seen := sources.tree(config.code_abs_path).version()):
                with _REFRESHING:
                    self._renew()
                self.local_lambda_runner.invoke(
                    self.debugged.full_path,
                    json.dumps(debugging.WAKE),
                    stdout=StreamWriter(io.StringIO()),
                    stderr=self.stderr,
                )
                server.say(f"Debugger: attach to port {self._debug_ports[0]}; {self.debugged.name} breaks on a request")
            time.sleep(_AWAKE_S)

    def _find_debugged(self):
        """The Function (SAM CLI's) that --debug-port is for."""
        functions = list(self._function_provider.get_all())
        wanted = self._debug_function or self._function_identifier
        found = [function for function in functions if wanted in (None, *_names(function))]
        if len(found) != 1:
            known = ", ".join(function.name for function in functions)
            raise UserException(f"--debug-port needs --debug-function with one of the template's functions: {known}")
        return found[0]

    def _renew(self):
        """Lets a new container answer after a save, while the old one, if warm, finishes what it is at."""
        warm = self.lambda_runtime
        for path, config in list(getattr(warm, "_function_configs", {}).items()):
            version = sources.tree(config.code_abs_path).version()
            if self._code.setdefault(path, version) != version:
                self._code[path] = version
                warm._function_configs.pop(path)
                if container := warm._containers.pop(path, None):
                    retiring = threading.Thread(target=self._retire, args=(container,), daemon=True)
                    retiring.start()
                    if self.debugged:  # the next one needs the same port
                        retiring.join()

    def _retire(self, container):
        # A request that has just been given the container has a moment to begin.
        time.sleep(_AWAKE_S)
        with container._concurrency_semaphore:
            self._container_manager.stop(container)

    def _versions(self):
        return [tree.version() for tree in self._documents]

    def _directories(self):
        files = [stack.location for stack in self._stacks] + [self._env_vars_file or self._template_file]
        for stack in self._stacks:
            base = os.path.dirname(stack.location)
            files += [os.path.join(base, document) for document in _documents(stack.template_dict)]
        return {os.path.dirname(os.path.abspath(file)) for file in files}

    def _add_account_id_to_global(self):
        # For the template's AWS::AccountId. Asking STS takes seconds when offline, and is nobody's wish without real
        # credentials.
        if self._aws_profile:
            super()._add_account_id_to_global()


class Processes(Context):
    """The engine "processes": an execution environment is a pair of processes instead of a container."""

    engine = "processes"
    pool = None

    def __init__(self, template_file, **options):
        for name, option in _CONTAINERS_ONLY.items():
            if options.get(name):
                raise UserException(f"{option} needs a container engine: start Docker or Finch, without --no-docker")
        # Environments are warm in any case, and there is nothing to watch or to load before the first request.
        options.update(warm_container_initialization_mode=None, no_watch=False)
        super().__init__(template_file, **options)

    def _renew(self):
        pass  # the pool does

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
            answer = self._pool.invoke(lambda: self._function(function_config), event, tenant_id, _caller_waits())
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
        # In a terminal a log line is a line; JSON is for the log group.
        environment.pop("AWS_LAMBDA_LOG_FORMAT", None)
        debugged, handler = _is_debugged(config), config.handler
        if debugged:
            environment.update(_debug(config.handler, "127.0.0.1"))
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
        return self._sources.setdefault(config.full_path, Sources(config.full_path, code, layers[False], layers[True]))


class Containers(ContainerManager):
    """SAM CLI's manager of containers, which ends what it has started, and mounts the function's packages."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._reaper = Reaper()
        self._running = {}
        atexit.register(self._remove)

    def create(self, container, context):
        self._equip(container)
        super().create(container, context)
        self._reaper.started(container.id)
        self._running[container.id] = container

    def stop(self, container):
        identifier = container.id
        super().stop(container)
        self._running.pop(identifier, None)
        if identifier:
            self._reaper.ended(identifier)

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
                environment.update(_debug(handler, "0.0.0.0"), AWS_LAMBDA_FUNCTION_HANDLER=debugging.HANDLER)
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
        remove_containers(self._running)


class Variables(EnvironmentVariables):
    """SAM CLI's environment of a function, in which a variable of the developer's shell overrides nothing."""

    def __init__(self, *arguments, **options):
        options["shell_env_values"] = None
        super().__init__(*arguments, **options)

    def _get_aws_variables(self):
        result = super()._get_aws_variables()
        result["AWS_LAMBDA_LOG_GROUP_NAME"] = self.logging_config.get("LogGroup") or f"/aws/lambda/{self.name}"
        return result


class TooLarge(UserException):
    """The event is larger than an invoke may be."""


class FunctionFailed(Exception):
    """The function ended in an error, or its answer is not one that API Gateway takes."""


class Gateway(LocalApigwService):
    """SAM CLI's API Gateway, with the answers that API Gateway gives where SAM CLI gives others."""

    def create(self):
        super().create()
        self._app.config["MAX_CONTENT_LENGTH"] = gateway.REQUEST_LIMIT
        for error, answer in (
            (404, self._no_route),
            (405, self._no_route),
            (413, self._too_large),
            (TooLarge, self._too_large),
            (FunctionFailed, self._failed),
            (environments.StillRunning, self._too_slow),
        ):
            self._app.register_error_handler(error, answer)

    def _invoke_lambda_function(self, lambda_function_name, event, tenant_id=None):
        _CALLER.wait = gateway.WAIT_REST if self._is_rest() else gateway.WAIT_HTTP
        try:
            return super()._invoke_lambda_function(lambda_function_name, event, tenant_id)
        except LambdaResponseParseException:
            raise FunctionFailed from None
        finally:
            _CALLER.wait = None

    @staticmethod
    def _parse_v1_payload_format_lambda_output(lambda_output, binary_types, flask_request, event_type):
        answer = _checked(lambda_output, event_type == Route.API)
        return LocalApigwService._parse_v1_payload_format_lambda_output(answer, binary_types, flask_request, event_type)

    @staticmethod
    def _parse_v2_payload_format_lambda_output(lambda_output, binary_types, flask_request):
        answer = _checked(lambda_output, False)
        return LocalApigwService._parse_v2_payload_format_lambda_output(answer, binary_types, flask_request)

    def _is_rest(self):
        return self._get_current_route(request).event_type == Route.API

    def _no_route(self, _):
        known = ", ".join(f"{method} {path}" for method, path in _routes(self.api.routes))
        server.say(f"no route {request.method} {request.path}; the template has {known}")
        if all(route.event_type == Route.HTTP for route in self.api.routes):
            return jsonify(message="Not Found"), 404
        return jsonify(message="Missing Authentication Token"), 403

    def _too_large(self, _):
        return jsonify(message="Request Too Long"), 413

    def _failed(self, _):
        if self._is_rest():
            return jsonify(message="Internal server error"), 502
        return jsonify(message="Internal Server Error"), 500

    def _too_slow(self, _):
        if self._is_rest():
            return jsonify(message="Endpoint request timed out"), 504
        return jsonify(message="Service Unavailable"), 503


_AWAKE_S = 0.3
_CALLER = threading.local()
_REFRESHING = threading.Lock()

# What Lambda's own environment has beside the variables of the function and of AWS. The home is none of the
# developer's, where credentials would lie. https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
_BASICS = {
    "HOME": "/nonexistent",
    "LANG": "en_US.UTF-8",
    "PATH": os.environ.get("PATH", os.defpath),
    "PYTHONDONTWRITEBYTECODE": "1",
    "TZ": ":UTC",
}


def _caller_waits():
    return None if Context.current.debugged else getattr(_CALLER, "wait", None)


def _is_debugged(config):
    debugged = Context.current.debugged
    return debugged is not None and debugged.full_path == config.full_path


def _debug(handler, host):
    """The variables of a debugged function; one invoke waits for the editor, a server does not."""
    context = Context.current
    return {
        **(context._container_env_vars_value or {}),
        **debugging.variables(handler, host, context._debug_ports[0], wait=Context.serves is None),
    }


def _checked(answer, rest):
    try:
        answer, remark = gateway.checked(answer, rest)
    except gateway.Malformed as error:
        server.say(f"502, malformed answer of the function: {error}")
        raise FunctionFailed from None
    if remark:
        server.say(remark)
    return answer


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


def _image(container):
    """(runtime, architecture) of SAM CLI's container of a Python function, or (None, None)."""
    found = re.search(r"python:(3\.\d+)-(?:rapid-)?(x86_64|arm64)", container.image)
    return (f"python{found[1]}", found[2]) if found else (None, None)


def _names(function):
    """The names that env.json may call a function by, its logical id first."""
    return [function.name, function.function_id, function.functionname, function.full_path]


def _declared(function):
    return (function.environment or {}).get("Variables") or {}


def _documents(template):
    """The OpenAPI documents and included files that a template names."""
    if isinstance(template, dict):
        for key, value in template.items():
            if key in ("DefinitionUri", "Location") and isinstance(value, str):
                yield value
            else:
                yield from _documents(value)
    elif isinstance(template, list):
        for value in template:
            yield from _documents(value)


def _credentials(runner):
    """Placeholders, unless --profile asks for the real ones."""
    if runner.aws_profile:
        return _REAL_CREDENTIALS(runner)
    region = runner.aws_region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return {"region": region} if region else {}


_REAL_CREDENTIALS = LocalLambdaRunner.get_aws_creds


def _timed(configure):
    """Without the signal handler that SAM CLI sets when debugging: in a thread it cannot, and ending is ours."""

    def _configure_interrupt(self, function_full_path, timeout, container, is_debugging):
        return None if is_debugging else configure(self, function_full_path, timeout, container, is_debugging)

    return _configure_interrupt


def _remembered(init):
    def __init__(self, lambda_invoke_context, **options):
        init(self, lambda_invoke_context, **options)
        Context.serves = lambda context: type(self)(context, **options).start()

    return __init__


def _routes(routes):
    """(method, path) of each of SAM CLI's routes."""
    return [(method, route.path) for route in routes for method in sorted(route.methods)]


def _bytes(answer):
    return answer if isinstance(answer, bytes) else answer.encode()


def _serve(service):
    """Stands in for BaseLocalService.run: serves the application, or puts it in the place of the one that is served."""
    for error in (UserException, DockerImagePullFailedException):
        service._app.register_error_handler(error, _cannot_run)
    if server.replace(service._app):
        return
    try:
        port = server.listen(service.host, service.port)
    except server.CannotListen as error:
        raise UserException(str(error)) from None
    base = f"{'https' if service.ssl_context else 'http'}://{service.host}:{port}"
    server.say(Context.current.describe())
    if isinstance(service, Gateway):
        routes = _routes(service.api.routes)
        for method, path in routes:
            server.say(f"{method:7} {base}{path}")
        server.say(f"Try it: {server.curl(base, routes)}")
    else:
        server.say(f"Lambda's Invoke API at {base}: aws lambda invoke --endpoint-url {base} …")
    if Context.current.debugged:
        threading.Thread(target=Context.current.keep_awake, daemon=True).start()
    server.say("Every save counts from the next request on. Ctrl-C ends.")
    server.serve(service.ssl_context, lambda: Context.current.refresh())


def _cannot_run(error):
    server.say(str(error))
    return jsonify(message="Internal server error"), 502
