"""What one start of SAM CLI knows: template, environment variables, options; and how it reads them again."""

import functools
import io
import json
import os
import threading
import time

from samcli.commands.exceptions import UserException
from samcli.commands.local.cli_common import invoke_context
from samcli.commands.local.lib.local_lambda import LocalLambdaRunner
from samcli.lib.utils.stream_writer import StreamWriter
from samcli.local.lambdafn.env_vars import EnvironmentVariables

from local import debugging, server, sources, variables
from local.sam.engine import container_engine
from local.watch import Tree

_DOCUMENTS = r".*\.(ya?ml|json)"
_AWAKE_S = 0.3
_REFRESHING = threading.Lock()
_REAL_CREDENTIALS = LocalLambdaRunner.get_aws_creds


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
        if not options.get("env_vars_file") and os.path.exists("env.json"):
            options["env_vars_file"] = "env.json"
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
            versions = self._versions()
            if Context.current is not self or versions == self._seen:
                return
            self._seen = versions
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
        """Lets new containers answer after a save, if they are warm."""
        if self._containers_mode is invoke_context.ContainersMode.WARM:
            self.lambda_runtime.renew(wait=bool(self.debugged))  # the next one needs the debugger's port

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


class Variables(EnvironmentVariables):
    """SAM CLI's environment of a function, in which a variable of the developer's shell overrides nothing."""

    def __init__(self, *arguments, **options):
        options["shell_env_values"] = None
        super().__init__(*arguments, **options)

    def _get_aws_variables(self):
        result = super()._get_aws_variables()
        result["AWS_LAMBDA_LOG_GROUP_NAME"] = self.logging_config.get("LogGroup") or f"/aws/lambda/{self.name}"
        # In a terminal a log line is a line; JSON is for the log group.
        result.pop("AWS_LAMBDA_LOG_FORMAT", None)
        return result


def debug_variables(handler, host):
    """The variables of a debugged function; one invoke waits for the editor, a server does not."""
    context = Context.current
    return {
        **(context._container_env_vars_value or {}),
        **debugging.variables(handler, host, context._debug_ports[0], wait=Context.serves is None),
    }


def credentials(runner):
    """Placeholders, unless --profile asks for the real ones."""
    if runner.aws_profile:
        return _REAL_CREDENTIALS(runner)
    region = runner.aws_region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return {"region": region} if region else {}


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
