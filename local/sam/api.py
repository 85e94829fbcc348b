"""SAM CLI's API Gateway, and how it is served."""

import threading

from flask import jsonify, request
from samcli.commands.exceptions import UserException
from samcli.lib.providers.provider import Cors
from samcli.local.apigw.exceptions import (
    AuthorizerUnauthorizedRequest,
    InvalidLambdaAuthorizerResponse,
    LambdaResponseParseException,
)
from samcli.local.apigw.local_apigw_service import LocalApigwService
from samcli.local.apigw.route import Route
from samcli.local.docker.manager import DockerImagePullFailedException

from local import authorizer, environments, gateway, server
from local.sam.context import Context
from local.sam.processes import CALLER, TooLarge

_CORS_HEADERS = Cors.cors_to_headers
_DECODES = LocalApigwService._should_base64_decode_body


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
            (authorizer.Refused, self._refused),
            (environments.StillRunning, self._too_slow),
        ):
            self._app.register_error_handler(error, answer)

    def _generate_lambda_event(self, flask_request, route, method, endpoint):
        event = super()._generate_lambda_event(flask_request, route, method, endpoint)
        if event.get("version") == "2.0":  # that of HTTP APIs has the names of headers in lower case
            event["headers"] = {name.lower(): value for name, value in event["headers"].items()}
        return event

    def _invoke_lambda_function(self, lambda_function_name, event, tenant_id=None):
        CALLER.wait = gateway.WAIT_REST if self._is_rest() else gateway.WAIT_HTTP
        try:
            return super()._invoke_lambda_function(lambda_function_name, event, tenant_id)
        except LambdaResponseParseException:
            raise FunctionFailed from None
        finally:
            CALLER.wait = None

    def _invoke_parse_lambda_authorizer(self, lambda_authorizer, auth_lambda_event, route_lambda_event, route):
        rest = self._is_rest()
        try:
            super()._invoke_parse_lambda_authorizer(lambda_authorizer, auth_lambda_event, route_lambda_event, route)
        except AuthorizerUnauthorizedRequest:
            arn = self._create_method_arn(request, route.event_type)
            raise authorizer.denied(CALLER.answer, arn, rest) from None
        except FunctionFailed:
            raise authorizer.failed(CALLER.answer, rest) from None
        except (InvalidLambdaAuthorizerResponse, AttributeError) as error:  # the latter when it is no object
            server.say(f"500, malformed answer of the authorizer: {error}")
            raise authorizer.failed(CALLER.answer, rest) from None

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
        # A client that is still sending would see a broken connection instead of the answer.
        while request.environ["wsgi.input"].read(2**20):
            pass
        return jsonify(message="Request Too Long"), 413

    def _failed(self, _):
        if self._is_rest():
            return jsonify(message="Internal server error"), 502
        return jsonify(message="Internal Server Error"), 500

    def _refused(self, refusal):
        return jsonify(refusal.body), refusal.status

    def _too_slow(self, _):
        if self._is_rest():
            return jsonify(message="Endpoint request timed out"), 504
        return jsonify(message="Service Unavailable"), 503


def _checked(answer, rest):
    try:
        answer, remark = gateway.checked(answer, rest)
    except gateway.Malformed as error:
        server.say(f"502, malformed answer of the function: {error}")
        raise FunctionFailed from None
    if remark:
        server.say(remark)
    return answer


def is_error(answer):
    """Whether a function's answer (text or bytes) is an error; it is kept as this thread's CALLER.answer."""
    CALLER.answer = answer if isinstance(answer, bytes) else answer.encode()
    return environments.is_error(CALLER.answer)


def decodes(binary_types, flask_request, headers, is_base64):
    """Whether a REST API turns the body into bytes: with "*/*" in any case, whatever the client says it accepts."""
    return is_base64 if "*/*" in binary_types else _DECODES(binary_types, flask_request, headers, is_base64)


def cors_headers(cors, origin, kind):
    """Those of SAM CLI for a preflight or an HTTP API; in a REST API's proxy integration the function gives its own."""
    return {} if kind == Route.API and request.method != "OPTIONS" else _CORS_HEADERS(cors, origin, kind)


def _routes(routes):
    """(method, path) of each of SAM CLI's routes."""
    return [(method, route.path) for route in routes for method in sorted(route.methods)]


def serve(service):
    """Stands in for BaseLocalService.run: serves the application, or puts it in the place of the one that is served."""
    for error in (UserException, DockerImagePullFailedException):
        service._app.register_error_handler(error, _cannot_run)
    if server.replace(service._app):
        return
    try:
        port = server.listen(service.host, service.port, service.ssl_context)
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
    server.serve(lambda: Context.current.refresh())
    # Past SAM CLI's advice on what to do next, and past threads that still wait for a function.
    raise SystemExit(0)


def _cannot_run(error):
    server.say(str(error))
    return jsonify(message="Internal server error"), 502
