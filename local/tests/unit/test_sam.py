"""The inner names of SAM CLI that local/sam holds on to: an upgrade that moves one fails here, and says which."""

import ast
import importlib
import inspect
import re
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# What is called, overridden or replaced, with the parameters that it has.
CALLED = {
    "samcli.commands.local.cli_common.invoke_context": {
        "InvokeContext.__enter__": "self",
        "InvokeContext.__exit__": "self args",
        "InvokeContext._add_account_id_to_global": "self",
        "InvokeContext._get_container_manager": "docker_network skip_pull_image shutdown",
        "InvokeContext._get_env_vars_value": "filename",
        "InvokeContext._setup_log_file": "log_file",
        "InvokeContext.get_cwd": "self",
        "InvokeContext.lambda_runtime": None,
        "InvokeContext.local_lambda_runner": None,
        "InvokeContext.stderr": None,
        "ContainerManager": "docker_network_id skip_pull_image do_shutdown_event",
        "ContainersMode.WARM": None,
        "WarmLambdaRuntime": "container_manager image_builder observer mount_symlinks no_mem_limit no_watch",
    },
    "samcli.commands.local.lib.local_api_service": {
        "LocalApigwService.create": "self",
        "LocalApiService.__init__": "self lambda_invoke_context port host static_dir disable_authorizer ssl_context",
        "LocalApiService.start": "self",
        "LocalApiService._print_routes": "routes host port ssl_enabled",
    },
    "samcli.commands.local.lib.local_lambda": {
        "EnvironmentVariables.__init__": "self function_name function_memory function_timeout function_handler "
        "function_logging_config variables shell_env_values override_values aws_creds capacity_provider_configuration "
        "is_debugging",
        "EnvironmentVariables.name": None,
        "EnvironmentVariables._get_aws_variables": "self",
        "EnvironmentVariables.resolve": "self",
        "LocalLambdaRunner.MAX_DEBUG_TIMEOUT": None,
        "LocalLambdaRunner.get_aws_creds": "self",
        "LocalLambdaRunner.get_invoke_config": "self function override_runtime",
        "LocalLambdaRunner.invoke": "self function_identifier event tenant_id stdout stderr override_runtime "
        "invocation_type durable_execution_name function",
    },
    "samcli.commands.local.lib.local_lambda_service": {
        "LocalLambdaService.__init__": "self lambda_invoke_context port host ssl_context",
        "LocalLambdaService.start": "self",
    },
    "samcli.lib.providers.provider": {"Cors.cors_to_headers": "cors request_origin event_type"},
    "samcli.lib.telemetry.event": {
        "EventTracker.track_event": "event_name event_value session_id thread_id exception_name"
    },
    "samcli.lib.utils.codeuri": {"resolve_code_path": "cwd codeuri"},
    "samcli.lib.utils.stream_writer": {
        "StreamWriter": "stream stream_bytes auto_flush",
        "StreamWriter.write_str": "self output",
    },
    "samcli.lib.utils.version_checker": {"_inform_newer_version": "force_check"},
    "samcli.local.apigw.local_apigw_service": {
        "LocalApigwService._get_current_route": "self flask_request",
        "LocalApigwService._create_method_arn": "self flask_request event_type",
        "LocalApigwService._generate_lambda_event": "self flask_request route method endpoint",
        "LocalApigwService._invoke_lambda_function": "self lambda_function_name event tenant_id",
        "LocalApigwService._invoke_parse_lambda_authorizer": "self lambda_authorizer auth_lambda_event "
        "route_lambda_event route",
        "LocalApigwService._parse_v1_payload_format_lambda_output": "lambda_output binary_types flask_request "
        "event_type",
        "LocalApigwService._parse_v2_payload_format_lambda_output": "lambda_output binary_types flask_request",
        "LocalApigwService._should_base64_decode_body": "binary_types flask_request lamba_response_headers "
        "is_base_64_encoded",
        "Route.API": None,
        "Route.HTTP": None,
    },
    "samcli.local.apigw.authorizers.lambda_authorizer": {
        "LambdaAuthorizer._is_resource_authorized": "self response method_arn",
    },
    "samcli.local.docker.container": {"Container._handle_data_writing": "output_stream output_data event"},
    "samcli.local.docker.lambda_container": {"LambdaContainer._get_default_entry_point": ""},
    "samcli.local.docker.container_client_factory": {"ContainerClientFactory.create_client": ""},
    "samcli.local.docker.manager": {
        "ContainerManager.create": "self container context",
        "ContainerManager.stop": "self container",
    },
    "samcli.local.lambdafn.runtime": {
        "LambdaRuntime": "container_manager image_builder mount_symlinks no_mem_limit",
        "LambdaRuntime.invoke": "self function_config event tenant_id invocation_type durable_execution_name "
        "debug_context stdout stderr container_host container_host_interface extra_hosts container_dns",
        "LambdaRuntime._configure_interrupt": "self function_full_path timeout container is_debugging",
        "LambdaRuntime._get_code_dir": "self code_path",
        "LambdaRuntime._unarchived_layer": "self layer",
        "WarmLambdaRuntime.create": "self function_config debug_context container_host container_host_interface "
        "extra_hosts container_dns",
        "WarmLambdaRuntime._configure_interrupt": "self function_full_path timeout container is_debugging",
    },
    "samcli.local.services.base_local_service": {
        "BaseLocalService.run": "self",
        "LambdaOutputParser.is_lambda_error_response": "lambda_response",
    },
}

# What __init__ puts into an object.
KEPT = {
    "samcli.commands.local.cli_common.invoke_context:InvokeContext": "_aws_profile _container_env_vars_value "
    "_container_manager _containers_mode _debug_function _debug_ports _env_vars_file _env_vars_value "
    "_function_identifier _function_provider _lambda_runtimes _log_file_handle _stacks _template_file",
    "samcli.commands.local.lib.local_lambda:LocalLambdaRunner": "aws_profile aws_region",
    "samcli.local.apigw.local_apigw_service:LocalApigwService": "api",
    "samcli.local.docker.container:Container": "_additional_volumes _entrypoint _env_vars _host_dir _labels "
    "debug_options id",
    "samcli.local.lambdafn.config:FunctionConfig": "code_abs_path durable_config env_vars full_path handler layers "
    "packagetype runtime timeout",
    "samcli.local.lambdafn.env_vars:EnvironmentVariables": "logging_config",
    "samcli.local.lambdafn.runtime:WarmLambdaRuntime": "_container_lock _containers _function_configs",
    "samcli.local.services.base_local_service:BaseLocalService": "_app host port ssl_context",
}

# These take the names that are replaced when they run, not when they are imported.
COMMANDS = ("invoke", "start_api", "start_lambda")


def find(module, path=""):
    found = importlib.import_module(module)
    for name in filter(None, path.split(".")):
        found = getattr(found, name)
    return found


def test_version_is_the_one_that_the_names_were_read_from():
    pinned = re.search(r"^aws-sam-cli==(.+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)[1]
    text = ast.get_docstring(ast.parse((ROOT / "local" / "sam" / "__init__.py").read_text()))

    assert f"Read from aws-sam-cli {pinned}," in text
    assert metadata.version("aws-sam-cli") == pinned


@pytest.mark.parametrize("module", CALLED)
def test_what_is_called_or_replaced_has_the_same_parameters(module):
    for path, parameters in CALLED[module].items():
        found = find(module, path)
        if parameters is not None:
            assert (path, " ".join(inspect.signature(found).parameters)) == (path, parameters)


@pytest.mark.parametrize("place", KEPT)
def test_what_objects_keep_has_the_same_names(place):
    names = find(*place.split(":")).__init__.__code__.co_names

    assert set(KEPT[place].split()) - set(names) == set()


def test_function_of_a_template_has_the_same_fields():
    fields = "durable_config environment full_path function_id functionname layers name packagetype runtime".split()
    function = find("samcli.lib.providers.provider", "Function")

    assert [name for name in fields if not hasattr(function, name)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_command_takes_the_context_when_it_runs(command):
    module = find(f"samcli.commands.local.{command}.cli")

    assert "InvokeContext" not in vars(module)
    assert "invoke_context import InvokeContext" in inspect.getsource(module)


def test_every_inner_name_that_local_sam_uses_is_listed_here():
    used, own, listed = set(), set(), set(" ".join(KEPT.values()).split())
    for file in (ROOT / "local" / "sam").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute):
                (own if isinstance(node.ctx, ast.Store) else used).add(node.attr)
            elif isinstance(node, ast.FunctionDef):
                own.add(node.name)
    for names in CALLED.values():
        listed |= {path.rpartition(".")[2] for path in names}

    assert {name for name in used - own - listed if re.match("_[a-z]", name)} == set()


def test_emulator_is_where_it_is_run_from():
    package = Path(find("samcli").__file__).parent

    assert (package / "local" / "rapid" / "aws-lambda-rie-x86_64").is_file()
    assert (package / "local" / "rapid" / "aws-lambda-rie-arm64").is_file()
