"""What a template says of functions and APIs, read by SAM CLI's providers: our values of theirs."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from samcli.lib.providers.api_collector import ApiCollector
from samcli.lib.providers.cfn_api_provider import CfnApiProvider
from samcli.lib.providers.provider import Stack
from samcli.lib.providers.sam_api_provider import SamApiProvider
from samcli.local.apigw.authorizers.lambda_authorizer import LambdaAuthorizer
from samcli.local.apigw.route import Route as SamRoute

from local.gateway.model import Api, Authorizer, Cors, Route

_ANY = set(SamRoute.ANY_HTTP_METHODS)
_PLACES = {
    "HeaderIdentitySource": "header",
    "QueryIdentitySource": "query",
    "ContextIdentitySource": "context",
    "StageVariableIdentitySource": "stage",
}


class _Collector(ApiCollector):
    """SAM CLI's collector of one stack's APIs, which keeps each one's binary types apart."""

    def __init__(self) -> None:
        super().__init__()
        self.binary: dict[str, list[str]] = defaultdict(list)

    def add_binary_media_types(self, logical_id: str, binary_media_types: list[Any] | None) -> None:
        types = [self.normalize_binary_media_type(value) for value in binary_media_types or []]
        self.binary[logical_id] += filter(None, types)


def apis(stacks: list[Stack], cwd: str, authorize: bool, region: str, account: str) -> tuple[Api, ...]:
    """The APIs of the template and of those nested in it; without authorizers unless `authorize`."""
    return tuple(api for stack in stacks for api in _of_stack(stack, cwd, authorize, region, account))


def _of_stack(stack: Stack, cwd: str, authorize: bool, region: str, account: str) -> Iterator[Api]:
    collector = _Collector()
    for provider in (SamApiProvider(), CfnApiProvider()):
        provider.extract_resources([stack], collector, cwd=cwd, disable_authorizer=not authorize)
    collector._link_authorizers()
    for logical_id, routes in collector:
        if not routes:
            continue
        http = routes[0].event_type == SamRoute.HTTP
        properties = stack.resources.get(logical_id, {}).get("Properties", {})
        stage = {"StageName": "$default" if http else "Prod", **_stage(stack, logical_id), **properties}
        variables = stage.get("StageVariables" if http else "Variables")
        yield Api(
            id=_full_path(stack.stack_path, logical_id),
            kind="http" if http else "rest",
            stage=str(stage["StageName"]),
            routes=tuple(dict.fromkeys(one for route in routes for one in _routes(route))),
            binary_types=tuple(dict.fromkeys(collector.binary[logical_id])),
            variables={name: str(value) for name, value in variables.items()} if isinstance(variables, dict) else {},
            cors=_cors_http(properties) if http else _cors_rest(properties),
            region=region,
            account=account,
        )


def _stage(stack: Stack, logical_id: str) -> dict[str, Any]:
    """The properties of the stage, where it is a resource of its own."""
    for resource in stack.resources.values():
        properties = resource.get("Properties", {})
        if logical_id in (properties.get("RestApiId"), properties.get("ApiId")) and "StageName" in properties:
            return properties
    return {}


def _routes(route: SamRoute) -> Iterator[Route]:
    # SAM CLI writes ANY out.
    for method in ["ANY"] if _ANY <= set(route.methods) else sorted(set(route.methods)):
        yield Route(
            method=method,
            path=route.path,
            function=_full_path(route.stack_path, route.function_name),
            payload="2.0" if route.event_type == SamRoute.HTTP and route.payload_format_version != "1.0" else "1.0",
            authorizer=_authorizer(route),
            operation=route.operation_name,
        )


def _full_path(stack: str, logical_id: str) -> str:
    return f"{stack}/{logical_id}" if stack else logical_id


def _authorizer(route: SamRoute) -> Authorizer | None:
    made = route.authorizer_object
    if not isinstance(made, LambdaAuthorizer):
        return None
    return Authorizer(
        name=made.authorizer_name,
        function=_full_path(route.stack_path, made.lambda_name),
        type="token" if made.type == LambdaAuthorizer.TOKEN else "request",
        payload="2.0" if made.payload_version == "2.0" else "1.0",
        sources=tuple((_PLACES[type(one).__name__], one.identity_source) for one in made.identity_sources),
        simple=bool(made.use_simple_response),
        validation=made.validation_string,
    )


def _cors_rest(properties: dict[str, Any]) -> Cors | None:
    """Of `Cors`: a string is the origin, and each value has quotes of its own, as in a mapping of API Gateway."""
    given = properties.get("Cors")
    if not given:
        return None
    given = given if isinstance(given, dict) else {"AllowOrigin": given}

    def listed(name: str) -> tuple[str, ...]:
        value = given.get(name)
        return tuple(part.strip() for part in value.strip("'").split(",")) if isinstance(value, str) else ()

    age = str(given.get("MaxAge", "")).strip("'")
    return Cors(
        origins=listed("AllowOrigin"),
        methods=listed("AllowMethods"),
        headers=listed("AllowHeaders"),
        credentials=str(given.get("AllowCredentials")).strip("'").lower() == "true",
        max_age=int(age) if age.isdecimal() else None,
    )


def _cors_http(properties: dict[str, Any]) -> Cors | None:
    """Of `CorsConfiguration`: true stands for every origin."""
    given = properties.get("CorsConfiguration")
    if not given:
        return None
    given = given if isinstance(given, dict) else {"AllowOrigins": ["*"]}

    def listed(name: str) -> tuple[str, ...]:
        value = given.get(name) or ()
        return tuple(map(str, value if isinstance(value, (list, tuple)) else [value]))

    age = given.get("MaxAge")
    return Cors(
        origins=listed("AllowOrigins"),
        methods=listed("AllowMethods"),
        headers=listed("AllowHeaders"),
        expose=listed("ExposeHeaders"),
        credentials=given.get("AllowCredentials") in (True, "true"),
        max_age=int(age) if str(age).isdecimal() else None,
    )


def documents(stacks: list[Stack]) -> set[str]:
    """The paths of the templates, and of the OpenAPI documents and files that they name."""
    found = {os.path.abspath(stack.location) for stack in stacks}
    for stack in stacks:
        base = os.path.dirname(os.path.abspath(stack.location))
        found |= {os.path.join(base, name) for name in _named(stack.template_dict)}
    return found


def _named(template: Any) -> Iterator[str]:
    if isinstance(template, dict):
        for key, value in template.items():
            if key in ("DefinitionUri", "Location") and isinstance(value, str):
                yield value
            else:
                yield from _named(value)
    elif isinstance(template, list):
        for value in template:
            yield from _named(value)
