"""SAM CLI, run as a library, and every inner name of it that this project holds on to.

Read from aws-sam-cli 1.170.0, which requirements.txt pins; tests/unit/test_sam.py fails when a name moves. SAM CLI does
the work (template, routes, events, responses, options); here its engine is put in, and what it answers or says where
API Gateway and Lambda would do otherwise is put right. Nothing outside this package names anything of SAM CLI.
"""

import logging

from samcli.cli.main import cli
from samcli.commands.local.cli_common import invoke_context
from samcli.commands.local.lib import local_api_service, local_lambda, local_lambda_service
from samcli.commands.local.lib.local_lambda import LocalLambdaRunner
from samcli.lib.providers.provider import Cors
from samcli.lib.telemetry.event import EventTracker
from samcli.lib.utils import version_checker
from samcli.local.apigw import local_apigw_service
from samcli.local.apigw.authorizers.lambda_authorizer import LambdaAuthorizer
from samcli.local.docker.container import Container
from samcli.local.lambdafn import runtime as lambda_runtime
from samcli.local.lambdafn.runtime import LambdaRuntime, WarmLambdaRuntime
from samcli.local.services.base_local_service import BaseLocalService, LambdaOutputParser

from local import authorizer
from local.sam import api
from local.sam.containers import Containers, without_last_words
from local.sam.context import Context, Variables, credentials
from local.sam.engine import container_engine, remove_containers
from local.sam.processes import Processes
from local.sam.warm import Warm

__all__ = ["Context", "Processes", "container_engine", "remove_containers", "run"]


def run(arguments, engine):
    """Runs `sam local ARGUMENTS` with the engine, a subclass of Context, and ends the process as sam does."""
    invoke_context.InvokeContext = engine
    invoke_context.ContainerManager = Containers
    invoke_context.WarmLambdaRuntime = Warm
    Container._handle_data_writing = staticmethod(without_last_words(Container._handle_data_writing))
    local_api_service.LocalApigwService = api.Gateway
    local_api_service.LocalApiService._print_routes = staticmethod(lambda *_, **__: None)
    for service in (local_api_service.LocalApiService, local_lambda_service.LocalLambdaService):
        service.__init__ = _remembered(service.__init__)
    local_lambda.EnvironmentVariables = Variables
    LocalLambdaRunner.get_aws_creds = credentials
    for runs in (LambdaRuntime, WarmLambdaRuntime):
        runs._configure_interrupt = _timed(runs._configure_interrupt)
    BaseLocalService.run = api.serve
    LambdaOutputParser.is_lambda_error_response = staticmethod(api.is_error)
    LambdaAuthorizer._is_resource_authorized = staticmethod(lambda answer, arn: authorizer.permits(answer, arn) is True)
    local_apigw_service.LocalApigwService._should_base64_decode_body = staticmethod(api.decodes)
    Cors.cors_to_headers = staticmethod(api.cors_headers)
    EventTracker.track_event = staticmethod(lambda *_, **__: None)
    version_checker._inform_newer_version = lambda: None
    if "--debug" not in arguments:
        for name in (local_api_service, local_lambda_service, local_lambda, lambda_runtime):
            logging.getLogger(name.__name__).setLevel(logging.WARNING)
        logging.getLogger("samcli.local.docker").setLevel(logging.WARNING)
        logging.getLogger(local_apigw_service.__name__).setLevel(logging.CRITICAL)
    cli(args=["local", *arguments], prog_name="sam")


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
