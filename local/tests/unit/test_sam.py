"""SAM CLI's internal names that local/sam relies on: an upgrade that moves one fails here, and says which."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from local.sam import _FAR_AWAY, light

ROOT = Path(__file__).parents[3]

# What is called, overridden or replaced, with the parameters that it has.
CALLED = {
    "samcli.commands.local.cli_common.invoke_context": {
        "InvokeContext.__enter__": "self",
        "InvokeContext._add_account_id_to_global": "self",
        "InvokeContext._get_container_manager": "docker_network skip_pull_image shutdown",
        "InvokeContext._get_env_vars_value": "filename",
        "InvokeContext._parse_dotenv_file": "filename",
        "InvokeContext._setup_log_file": "log_file",
        "InvokeContext.get_cwd": "self",
        "InvokeContext.lambda_runtime": None,
        "InvokeContext.local_lambda_runner": None,
        "InvokeContext.stderr": None,
        "ContainersMode.WARM": None,
    },
    "samcli.commands.local.lib.local_api_service": {
        "LocalApiService.__init__": "self lambda_invoke_context port host static_dir disable_authorizer ssl_context",
        "LocalApiService.start": "self",
    },
    "samcli.commands.local.lib.local_lambda": {
        "LocalLambdaRunner.__init__": "self local_runtime function_provider cwd real_path aws_profile aws_region "
        "env_vars_values debug_context container_host container_host_interface extra_hosts container_dns",
        "LocalLambdaRunner.MAX_DEBUG_TIMEOUT": None,
        "LocalLambdaRunner._make_env_vars": "self function",
        "LocalLambdaRunner.get_aws_creds": "self",
        "LocalLambdaRunner.get_function": "self function_identifier tenant_id",
        "LocalLambdaRunner.get_invoke_config": "self function override_runtime",
        "LocalLambdaRunner.invoke": "self function_identifier event tenant_id stdout stderr override_runtime "
        "invocation_type durable_execution_name function",
    },
    "samcli.commands.local.lib.local_lambda_service": {
        "LocalLambdaService.__init__": "self lambda_invoke_context port host ssl_context",
        "LocalLambdaService.start": "self",
    },
    "samcli.commands._utils.template": {"get_template_data": "template_file"},
    "samcli.lib.providers.provider": {
        "Stack.__init__": "self parent_stack_path name location parameters template_dict metadata "
        "original_template_dict",
        "Stack.resources": None,
        "Stack.stack_path": None,
    },
    "samcli.lib.providers.sam_function_provider": {
        "SamFunctionProvider": "stacks use_raw_codeuri ignore_code_extraction_warnings locate_layer_nested "
        "function_logical_ids",
    },
    "samcli.lib.providers.sam_stack_provider": {
        "SamLocalStackProvider.is_remote_url": "url",
        "SamLocalStackProvider.normalize_resource_path": "stack_file_path path",
    },
    "samcli.lib.samlib.resource_metadata_normalizer": {
        "ResourceMetadataNormalizer.get_resource_id": "resource_properties logical_id",
        "ResourceMetadataNormalizer.normalize": "template_dict normalize_parameters",
    },
    "samtranslator.plugins.globals.globals_plugin": {
        "GlobalsPlugin.on_before_transform_template": "self template_dict"
    },
    "samcli.lib.utils.codeuri": {"resolve_code_path": "cwd codeuri"},
    "samcli.lib.utils.stream_writer": {
        "StreamWriter": "stream stream_bytes auto_flush",
        "StreamWriter.stream": None,
        "StreamWriter.write_bytes": "self output",
        "StreamWriter.write_str": "self output",
    },
    "samcli.cli.global_config": {"GlobalConfig.last_version_check": None},
    "samcli.local.docker.container": {"requests.post": None, "Container._make_http_request": "self event tenant_id"},
    "samcli.local.docker.lambda_container": {"LambdaContainer._get_default_entry_point": ""},
    "samcli.local.docker.container_client_factory": {"ContainerClientFactory.create_client": ""},
    "samcli.local.docker.lambda_image": {
        "LambdaImage": "layer_downloader skip_pull_image force_image_build docker_client invoke_images",
    },
    "samcli.local.docker.manager": {
        "ContainerManager": "docker_network_id skip_pull_image do_shutdown_event",
        "ContainerManager.create": "self container context",
        "ContainerManager.stop": "self container",
    },
    "samcli.local.lambdafn.runtime": {
        "LambdaRuntime": "container_manager image_builder mount_symlinks no_mem_limit",
        "LambdaRuntime._configure_interrupt": "self function_full_path timeout container is_debugging",
        "WarmLambdaRuntime": "container_manager image_builder observer mount_symlinks no_mem_limit no_watch",
        "WarmLambdaRuntime.create": "self function_config debug_context container_host container_host_interface "
        "extra_hosts container_dns",
        "WarmLambdaRuntime._configure_interrupt": "self function_full_path timeout container is_debugging",
    },
    "samcli.local.lambdafn.env_vars": {"EnvironmentVariables.name": None},
    "samcli.local.lambdafn.zip": {"unzip": "zip_file_path output_dir permission mount_symlinks"},
    "samcli.local.layers.layer_downloader": {"LayerDownloader": "layer_cache cwd stacks lambda_client mount_symlinks"},
}

# What __init__ puts into an object.
KEPT = {
    "samcli.commands.local.cli_common.invoke_context:InvokeContext": "_aws_profile _aws_region "
    "_container_env_vars_value _container_host _container_host_interface _containers_mode _container_dns "
    "_debug_context _debug_function _debug_ports _env_vars_file _env_vars_value _extra_hosts _force_image_build "
    "_function_identifier _function_provider _global_parameter_overrides _invoke_images _layer_cache_basedir "
    "_local_lambda_runner _no_mem_limit _parameter_overrides _stacks _template_file",
    "samcli.commands.local.lib.local_lambda:LocalLambdaRunner": "aws_profile aws_region local_runtime",
    "samcli.lib.providers.provider:Stack": "_resources template_dict",
    "samcli.local.docker.container:Container": "_additional_volumes _entrypoint _env_vars _host_dir _labels "
    "debug_options id",
    "samcli.local.lambdafn.config:FunctionConfig": "code_abs_path env_vars layers memory runtime timeout",
    "samcli.local.lambdafn.env_vars:EnvironmentVariables": "logging_config shell_env_values",
    "samcli.local.lambdafn.runtime:LambdaRuntime": "_container_manager",
    "samcli.local.lambdafn.runtime:WarmLambdaRuntime": "_container_lock _containers _function_configs",
}

# These take the names that are replaced when they run, not when they are imported.
COMMANDS = ("invoke", "start_api", "start_lambda")


@pytest.fixture(autouse=True)
def whole(monkeypatch):
    """SAM CLI with all that a start leaves out."""
    for name in (*light.REPLACED, light.ABSENT, light.LATER):
        monkeypatch.delitem(sys.modules, name)


def find(module, path=""):
    found = importlib.import_module(module)
    for name in filter(None, path.split(".")):
        found = getattr(found, name)
    return found


def test_version_is_the_one_that_the_names_were_read_from():
    pinned = re.search(r"^aws-sam-cli==(.+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)[1]
    text = ast.get_docstring(ast.parse((ROOT / "local" / "sam" / "__init__.py").read_text()))

    assert f"Written for aws-sam-cli {pinned}," in text
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
    fields = "durable_config environment full_path function_id functionname handler layers logging_config name "
    fields += "packagetype runtime tenancy_config"
    function = find("samcli.lib.providers.provider", "Function")

    assert [name for name in fields.split() if not hasattr(function, name)] == []


def test_check_for_a_newer_version_is_never_due():
    due = find("samcli.lib.utils.version_checker", "is_version_check_overdue")

    assert (type(_FAR_AWAY), due(_FAR_AWAY), due(None)) == (float, False, True)


@pytest.mark.parametrize("module", light.REPLACED)
def test_what_stays_out_has_the_names_that_are_replaced(module):
    for name in light.REPLACED[module]:
        find(module, name)


def test_what_a_start_does_not_need_stays_out():
    heavy = "OpenSSL flask.app jsonschema.validators pydantic samtranslator.translator.translator"
    command = f"import local.sam, sys; print([one for one in '{heavy}'.split() if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
    for module in heavy.split():
        find(module)


def test_what_is_needed_later_is_there_then():
    """`--hook-name` checks the hook's configuration with it."""
    command = "import local.sam, jsonschema; jsonschema.validate(1, {'type': 'string'})"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert "jsonschema.exceptions.ValidationError: 1 is not of type 'string'" in done.stderr


def test_nothing_but_the_providers_asks_for_the_transform():
    package = Path(find("samcli").__file__).parent
    asking = [file for file in package.rglob("*.py") if "from samcli.lib.samlib.wrapper import" in file.read_text()]

    assert [str(file.relative_to(package)) for file in asking] == ["lib/providers/sam_base_provider.py"]


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
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                own.add(node.name)
    for names in CALLED.values():
        listed |= {path.rpartition(".")[2] for path in names}

    assert {name for name in used - own - listed if re.match("_[a-z]", name)} == set()
