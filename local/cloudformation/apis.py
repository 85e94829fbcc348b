"""The APIs and routes of a resolved template: SAM's events, OpenAPI documents, and API Gateway's own resources.

https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-resources-and-properties.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApiGateway.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApiGatewayV2.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from local.cloudformation import openapi
from local.cloudformation.openapi import table
from local.cloudformation.template import text
from local.gateway.model import Api, Authorizer, Cors, Kind, Route

_KINDS: dict[str, Kind] = {
    "AWS::Serverless::Api": "rest",
    "AWS::ApiGateway::RestApi": "rest",
    "AWS::Serverless::HttpApi": "http",
    "AWS::ApiGatewayV2::Api": "http",
}
# In a function's ARN, even within an integration's URI, or in a URI that has only the name.
_FUNCTION_NAMES = (re.compile(r":function:([^:/]+)"), re.compile(r"/functions/([^:/]+)/"))
_STAGE_VARIABLE = re.compile(r"\$\{stageVariables\.(\w+)\}")
_SOURCE = re.compile(r"(?:method\.|\$)?(request\.header|request\.querystring|context|stageVariables)\.(.+)")
_PARAMETER = re.compile(r"method\.request\.(querystring|header|path)\.(.+)")
_PLACES = {
    "request.header": "header",
    "request.querystring": "query",
    "querystring": "query",
    "stageVariables": "stage",
}
_IDENTITY = {"QueryStrings": "query", "Headers": "header", "Context": "context", "StageVariables": "stage"}
_PART = re.compile(r"[\w.:-]*|\{[\w.:-]+\+?\}", re.ASCII)
_ANY = ("ANY", "X-AMAZON-APIGATEWAY-ANY-METHOD")


@dataclass(frozen=True)
class _Access:
    """What a method requires of its caller. `unchecked` names what only AWS checks."""

    authorizer: Authorizer | None = None
    api_key: bool = False
    unchecked: str = ""


@dataclass
class _Event:
    """An Api or HttpApi event of a function."""

    function: str
    method: str
    path: str
    properties: Mapping[str, Any]


@dataclass
class Found:
    """The APIs, and lines about them for the terminal."""

    apis: list[Api] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class Reader:
    """Reads one stack: its path, its resources, and `function`, which finds a function's full path from the stack's and
    its name. Without `authorize`, no route requires anything of its caller.
    """

    def __init__(
        self,
        path: str,
        resources: Mapping[str, Any],
        function: Callable[[str, str], str | None],
        region: str,
        account: str,
        authorize: bool = True,
    ) -> None:
        self._path, self._resources, self._function = path, resources, function
        self._region, self._account, self._authorize = region, account, authorize
        self._remarks: list[str] = []

    def read(self) -> Found:
        found = Found(remarks=self._remarks)
        for name, resource in self._resources.items():
            type, properties = resource.get("Type", ""), resource.get("Properties") or {}
            if type == "AWS::Serverless::WebSocketApi" or text(properties.get("ProtocolType")).upper() == "WEBSOCKET":
                self._say(f"{self._full(name)} is a WebSocket API, which does not run here")
            elif (kind := _KINDS.get(type)) and (api := self._api(name, kind, properties)).routes:
                found.apis.append(api)
            elif type == "AWS::Lambda::Url" or "FunctionUrlConfig" in properties:
                function = _function_in(properties.get("TargetFunctionArn")) or name
                self._say(f"the function URL of {function} is not served here; ./run.sh invoke {function} runs it")
        return found

    def _api(self, name: str, kind: Kind, properties: Mapping[str, Any]) -> Api:
        http = kind == "http"
        stage = {"StageName": "$default" if http else "Prod", **self._stage(name), **properties}
        given = table(stage, "StageVariables") or table(stage, "Variables")
        variables = {key: text(value) for key, value in given.items()}
        document = table(properties, "DefinitionBody") or table(properties, "Body")
        one = _One(self, name, kind, properties, document, variables)
        types = [
            *_list(properties.get("BinaryMediaTypes")),
            *_list(document.get("x-amazon-apigateway-binary-media-types")),
        ]
        cors = _cors_http(properties, document) if http else _cors_rest(properties)
        routes = tuple(dict.fromkeys(one.routes()))
        one.say_unchecked(routes)
        if not http:
            one.say_refused(routes)
            cors = cors and replace(cors, authorizer=one.preflight_authorizer())
        return Api(
            id=self._full(name),
            kind=kind,
            stage=text(stage["StageName"]),
            routes=routes,
            binary_types=tuple(dict.fromkeys(text(one).replace("~1", "/") for one in types)),
            variables=variables,
            cors=cors,
            region=self._region,
            account=self._account,
        )

    def _stage(self, name: str) -> dict[str, Any]:
        """The properties of the stage, if it is a separate resource."""
        for resource in self._resources.values():
            properties = table(resource, "Properties")
            if name in (properties.get("RestApiId"), properties.get("ApiId")) and "StageName" in properties:
                return properties
        return {}

    def _full(self, name: str) -> str:
        return f"{self._path}/{name}" if self._path else name

    def _say(self, remark: str) -> None:
        if remark not in self._remarks:
            self._remarks.append(remark)

    def of_type(self, kind: str, **properties: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The resources of a type with these properties: their names and all their properties."""
        for name, resource in self._resources.items():
            found = resource.get("Properties") or {}
            if resource.get("Type") == kind and all(found.get(key) == value for key, value in properties.items()):
                yield name, found


class _One:
    """One API, from which its routes are read."""

    def __init__(
        self,
        reader: Reader,
        name: str,
        kind: Kind,
        properties: Mapping[str, Any],
        document: Mapping[str, Any],
        variables: Mapping[str, str],
    ) -> None:
        self._reader, self._name, self._kind = reader, name, kind
        self._properties, self._document, self._variables = properties, document, variables
        self._auth = table(properties, "Auth")
        self._unchecked: dict[str, list[str]] = {}
        self._bodies: list[str] = []

    def routes(self) -> Iterator[Route]:
        """The API's routes in the template's order."""
        events = list(self._events())
        if self._document and not self._properties.get("__MANAGE_SWAGGER"):
            own = {(event.method, event.path): event for event in events}
            for operation in openapi.operations(self._document):
                yield from self._of_document(operation, own.pop((operation.method, operation.path), None))
            for event in own.values():
                self._say(
                    f"{event.method} {event.path} of {event.function} is not served, here as on AWS: "
                    f"it is not in the OpenAPI document of {self._name}"
                )
        else:
            for event in events:
                yield self._of_event(event)
        yield from self._of_methods()
        yield from self._of_routes()

    def say_unchecked(self, routes: tuple[Route, ...]) -> None:
        """Says what API Gateway would check, but is not checked here."""
        for what, places in self._unchecked.items():
            self._say(f"{what} is not checked here, every caller is let through: {', '.join(places)}")
        if "ResourcePolicy" in self._auth or "Policy" in self._properties:
            self._say(f"the resource policy of {self._name} is not checked here")
        if self._bodies:
            self._say(f"request bodies are not compared with their models here: {', '.join(self._bodies)}")
        if keys := [f"{route.method} {route.path}" for route in routes if route.api_key]:
            self._say(f"the header X-Api-Key is required, any key unless --api-key is given: {', '.join(keys)}")

    def say_refused(self, routes: tuple[Route, ...]) -> None:
        """Says which paths a REST API cannot have on AWS: serverless/serverless 3075, aws/aws-sam-cli 1010."""
        parameters: dict[str, str] = {}
        for route in routes:
            above = ""
            for part in route.path.split("/")[1:]:
                if part.startswith("{") and (known := parameters.setdefault(above, part)) != part:
                    self._say(f"AWS refuses {route.path}: {part} is where another path has {known}; use the same name")
                if not _PART.fullmatch(part):
                    self._say(
                        f"AWS refuses {route.path}: {part} is neither a parameter nor made of letters, digits and ._-:"
                    )
                above += f"/{part}"

    def preflight_authorizer(self) -> Authorizer | None:
        """The authorizer of the OPTIONS methods that SAM generates for Cors."""
        return self._access({}, "OPTIONS").authorizer

    def _say(self, remark: str) -> None:
        self._reader._say(remark)

    def _path_of(self, path: Any, owner: str) -> str:
        found = text(path)
        if found.startswith("/") or found == "$default":
            return found
        self._say(f"the path {found} of {owner} is served as /{found}; begin it with a slash")
        return f"/{found}"

    def _events(self) -> Iterator[_Event]:
        wanted, given = ("Api", "RestApiId") if self._kind == "rest" else ("HttpApi", "ApiId")
        implicit = "ServerlessRestApi" if self._kind == "rest" else "ServerlessHttpApi"
        for function, resource in self._reader._resources.items():
            if resource.get("Type") not in ("AWS::Serverless::Function", "AWS::Serverless::StateMachine"):
                continue
            for name, event in table(resource.get("Properties"), "Events").items():
                properties = table(event, "Properties")
                owner = properties.get(given, implicit)
                owner = owner.get("Ref") if isinstance(owner, dict) else owner
                if event.get("Type") != wanted or owner != self._name:
                    continue
                if self._kind == "rest" and not {"Path", "Method"} <= properties.keys():
                    self._say(f"{function}, event {name}, is left out: it needs Path and Method")
                    continue
                if resource["Type"] == "AWS::Serverless::StateMachine":
                    self._say(f"{function}, event {name}, is left out: state machines do not run here")
                    continue
                method = text(properties.get("Method", "ANY")).upper()
                path = self._path_of(properties.get("Path", "$default"), function)
                yield _Event(function, "ANY" if method in _ANY else method, path, properties)

    def _of_event(self, event: _Event) -> Route:
        model = table(event.properties, "RequestModel")
        required = []
        if model.get("ValidateParameters") in (True, "true"):
            for one in _list(event.properties.get("RequestParameters")):
                for name in one if isinstance(one, dict) else ():
                    if table(one, name).get("Required") in (True, "true"):
                        required.append(name)
        if model.get("ValidateBody") in (True, "true"):
            self._bodies.append(f"{event.method} {event.path}")
        return self._route(
            event.method,
            event.path,
            self._full(event.function),
            self._access(table(event.properties, "Auth"), event.method),
            payload=event.properties.get("PayloadFormatVersion"),
            required=tuple(found for name in required if (found := _parameter(name))),
        )

    def _of_document(self, operation: openapi.Operation, event: _Event | None) -> Iterator[Route]:
        path = self._path_of(operation.path if operation.path != "/$default" else "$default", self._name)
        if operation.security is not None and not (event and "Auth" in event.properties):
            access = self._secured(operation.security)
        elif event or self._auth:
            access = self._access(table(event.properties if event else {}, "Auth"), operation.method)
        else:
            access = self._secured(openapi.security(self._document) or ())
        if operation.checks_body:
            self._bodies.append(f"{operation.method} {path}")
        integration = operation.integration or ({"type": "aws_proxy", "function": event.function} if event else {})
        yield from self._integrated(
            operation.method, path, integration, access, operation.required, operation.id, self._name
        )

    def _of_methods(self) -> Iterator[Route]:
        """Of AWS::ApiGateway::Method."""
        for name, properties in self._reader.of_type("AWS::ApiGateway::Method", RestApiId=self._name):
            method = text(properties.get("HttpMethod")).upper()
            validator = table(self._reader._resources.get(text(properties.get("RequestValidatorId"))), "Properties")
            required = []
            if validator.get("ValidateRequestParameters") in (True, "true"):
                given = table(properties, "RequestParameters")
                required = [_parameter(key) for key, value in given.items() if value in (True, "true")]
            path = self._resource_path(text(properties.get("ResourceId")))
            if validator.get("ValidateRequestBody") in (True, "true"):
                self._bodies.append(f"{method} {path}")
            yield from self._integrated(
                method,
                path,
                _as_extension(table(properties, "Integration")),
                self._method_access(properties),
                tuple(filter(None, required)),
                properties.get("OperationName"),
                name,
            )

    def _of_routes(self) -> Iterator[Route]:
        """The routes of AWS::ApiGatewayV2::Route, and of an API with its own target."""
        if target := self._properties.get("Target"):
            key = text(self._properties.get("RouteKey", "$default"))
            yield from self._keyed(key, {"type": "aws_proxy", "uri": target}, _Access(), None, self._name)
        for name, properties in self._reader.of_type("AWS::ApiGatewayV2::Route", ApiId=self._name):
            integration = self._reader._resources.get(text(properties.get("Target")).rpartition("/")[2])
            found = _as_extension(table(integration, "Properties"))
            access, operation = self._method_access(properties), properties.get("OperationName")
            yield from self._keyed(text(properties.get("RouteKey")), found, access, operation, name)

    def _keyed(
        self, key: str, integration: Mapping[str, Any], access: _Access, operation: str | None, owner: str
    ) -> Iterator[Route]:
        method, _, path = key.rpartition(" ") if key != "$default" else ("ANY", "", key)
        yield from self._integrated(method.strip().upper() or "ANY", path, integration, access, (), operation, owner)

    def _integrated(
        self,
        method: str,
        path: str,
        integration: Mapping[str, Any],
        access: _Access,
        required: tuple[tuple[str, str], ...],
        operation: str | None,
        owner: str,
    ) -> Iterator[Route]:
        kind = text(integration.get("type")).lower()
        path = self._path_of(path, owner)
        uri, service = integration.get("uri"), text(integration.get("integrationSubtype"))
        if kind == "mock":
            answer, certain = openapi.mock(integration)
            if not certain:
                self._say(f"mapping templates are not evaluated here: the mock answer of {method} {path} is incomplete")
            route = self._route(method, path, "", access, operation=operation, required=required)
            yield replace(route, mock=answer)
        elif kind == "aws_proxy" and (function := integration.get("function") or self._function_of(uri)):
            full = self._full(function, f"{method} {path} of {self._name} cannot be answered")
            payload = integration.get("payloadFormatVersion")
            yield self._route(method, path, full, access, payload, operation, required)
        else:
            what = f"an integration of the type {service or kind}" if kind else "no integration"
            self._say(f"{method} {path} of {self._name} is not served: it has {what}, and here only functions answer")

    def _route(
        self,
        method: str,
        path: str,
        function: str,
        access: _Access,
        payload: Any = None,
        operation: str | None = None,
        required: tuple[tuple[str, str], ...] = (),
    ) -> Route:
        if access.unchecked:
            self._unchecked.setdefault(access.unchecked, []).append(f"{method} {path}")
        return Route(
            method=method,
            path=path,
            function=function,
            payload="2.0" if self._kind == "http" and text(payload) not in ("1.0", "1") else "1.0",
            authorizer=access.authorizer,
            operation=operation,
            api_key=access.api_key,
            required=required if self._kind == "rest" and self._reader._authorize else (),
        )

    def _access(self, auth: Mapping[str, Any], method: str) -> _Access:
        """The access of SAM's Auth, on an event and on its API."""
        if not self._reader._authorize:
            return _Access()
        name = auth.get("Authorizer")
        preflight = self._auth.get("AddDefaultAuthorizerToCorsPreflight", True) in (True, "true")
        if name is None and (preflight or method != "OPTIONS"):
            name = self._auth.get("DefaultAuthorizer")
        key = auth.get("ApiKeyRequired", self._auth.get("ApiKeyRequired")) in (True, "true")
        if not name or name == "NONE":
            return _Access(api_key=key)
        if name == "AWS_IAM":
            return _Access(api_key=key, unchecked="the caller's IAM signature")
        found = table(table(self._auth, "Authorizers"), text(name))
        if "FunctionArn" in found:
            return _Access(self._sam_authorizer(text(name), found), key)
        what = "Cognito" if "UserPoolArn" in found else "JWT" if self._kind == "http" else "unknown"
        return _Access(api_key=key, unchecked=f"the {what} authorizer {name}")

    def _sam_authorizer(self, name: str, properties: Mapping[str, Any]) -> Authorizer:
        identity = table(properties, "Identity")
        token = self._kind == "rest" and text(properties.get("FunctionPayloadType", "TOKEN")).upper() == "TOKEN"
        if token:
            sources = [("header", text(identity.get("Header", "Authorization")))]
        else:
            sources = [(place, text(one)) for key, place in _IDENTITY.items() for one in _list(identity.get(key))]
        own = {"AuthorizerUri": properties["FunctionArn"]}
        own["IdentityValidationExpression"] = identity.get("ValidationExpression")
        return self._authorizer(name, token, sources, {**properties, **own})

    def _authorizer(
        self, name: str, token: bool, sources: list[tuple[str, str]], properties: Mapping[str, Any]
    ) -> Authorizer:
        """`properties` are those of AWS::ApiGateway::Authorizer or AWS::ApiGatewayV2::Authorizer."""
        uri, validation = properties.get("AuthorizerUri"), properties.get("IdentityValidationExpression")
        two = text(properties.get("AuthorizerPayloadFormatVersion")) in ("2.0", "2")
        return Authorizer(
            name=name,
            function=self._full(
                self._function_of(uri) or text(uri), f"the authorizer {name} of {self._name} refuses everybody"
            ),
            type="token" if token else "request",
            payload="2.0" if self._kind == "http" and two else "1.0",
            sources=tuple(sources),
            simple=properties.get("EnableSimpleResponses") in (True, "true"),
            validation=None if validation is None else text(validation),
        )

    def _secured(self, names: tuple[str, ...]) -> _Access:
        """The access of an OpenAPI document's security schemes."""
        access = _Access()
        if not self._reader._authorize:
            return access
        for name in names:
            scheme = table(openapi.schemes(self._document), name)
            extension = table(scheme, "x-amazon-apigateway-authorizer")
            kind = text(extension.get("type")).lower()
            if not scheme and name in table(self._auth, "Authorizers"):
                access = replace(self._access({"Authorizer": name}, "ANY"), api_key=access.api_key)
            elif kind in ("token", "request"):
                header = scheme.get("name") if scheme.get("in") == "header" else None
                sources = _sources(extension.get("identitySource"))
                if kind == "token":
                    sources = [("header", text(header or "Authorization"))]
                made = self._authorizer(name, kind == "token", sources, _capitalized(extension))
                access = replace(access, authorizer=made)
            elif text(scheme.get("name")).lower() == "x-api-key" and not extension:
                access = replace(access, api_key=True)
            elif name != "NONE":
                iam = text(scheme.get("x-amazon-apigateway-authtype")).lower() == "awssigv4"
                what = "Cognito" if kind == "cognito_user_pools" else "JWT" if kind == "jwt" else "unknown"
                access = replace(
                    access, unchecked="the caller's IAM signature" if iam else f"the {what} authorizer {name}"
                )
        return access

    def _method_access(self, properties: Mapping[str, Any]) -> _Access:
        """The access of an AWS::ApiGateway::Method or AWS::ApiGatewayV2::Route."""
        if not self._reader._authorize:
            return _Access()
        key = properties.get("ApiKeyRequired") in (True, "true")
        kind = text(properties.get("AuthorizationType", "NONE")).upper()
        if kind == "NONE":
            return _Access(api_key=key)
        if kind == "AWS_IAM":
            return _Access(api_key=key, unchecked="the caller's IAM signature")
        name = text(properties.get("AuthorizerId"))
        found = table(self._reader._resources.get(name), "Properties")
        if kind == "CUSTOM" and "AuthorizerUri" in found:
            token = text(found.get("Type", found.get("AuthorizerType"))).upper() == "TOKEN"
            sources = _sources(found.get("IdentitySource"))
            return _Access(self._authorizer(text(found.get("Name", name)), token, sources, found), key)
        what = {"COGNITO_USER_POOLS": "Cognito", "JWT": "JWT"}.get(kind, "unknown")
        return _Access(api_key=key, unchecked=f"the {what} authorizer {found.get('Name', name)}".rstrip())

    def _function_of(self, uri: Any) -> str:
        """The function's name in its ARN or in an integration's URI, or ""."""
        return _function_in(_STAGE_VARIABLE.sub(lambda match: self._variables.get(match[1], match[0]), text(uri)))

    def _resource_path(self, name: str) -> str:
        """The path of an AWS::ApiGateway::Resource; "/" of the root."""
        path = ""
        for _ in range(len(self._reader._resources)):
            properties = table(self._reader._resources.get(name), "Properties")
            if "PathPart" not in properties:
                break
            path, name = f"/{text(properties['PathPart'])}{path}", text(properties.get("ParentId"))
        return path or "/"

    def _full(self, function: str, without: str = "") -> str:
        """The function's full path. `without` is the consequence if the template has no such function."""
        known = self._reader._function(self._reader._path, function)
        if without and not known:
            self._say(f"{without}: the template has no function {function}")
        return known or self._reader._full(function)


def _function_in(uri: Any) -> str:
    return next((found[1] for one in _FUNCTION_NAMES if (found := one.search(text(uri)))), "")


def _as_extension(integration: Mapping[str, Any]) -> dict[str, Any]:
    """CloudFormation's Integration in the form of OpenAPI's extension."""
    responses = {}
    for one in _list(integration.get("IntegrationResponses")):
        if isinstance(one, dict):
            responses[text(one.get("SelectionPattern")) or "default"] = {
                "statusCode": one.get("StatusCode"),
                "responseParameters": one.get("ResponseParameters"),
                "responseTemplates": one.get("ResponseTemplates"),
            }
    return {
        "type": text(integration.get("Type", integration.get("IntegrationType"))).lower(),
        "uri": integration.get("Uri", integration.get("IntegrationUri")),
        "integrationSubtype": integration.get("IntegrationSubtype"),
        "payloadFormatVersion": integration.get("PayloadFormatVersion"),
        "requestTemplates": integration.get("RequestTemplates"),
        "responses": responses,
    }


def _capitalized(extension: Mapping[str, Any]) -> dict[str, Any]:
    """An OpenAPI extension in CloudFormation's spelling."""
    return {text(key)[:1].upper() + text(key)[1:]: one for key, one in extension.items()}


def _sources(given: Any) -> list[tuple[str, str]]:
    """Identity sources such as method.request.header.Authorization: a list, or a text with commas."""
    given = given.split(",") if isinstance(given, str) else _list(given)
    found = [match for one in given if (match := _SOURCE.fullmatch(text(one).strip()))]
    return [(_PLACES.get(match[1], match[1]), match[2]) for match in found]


def _parameter(name: str) -> tuple[str, str] | None:
    """("query", "q") of method.request.querystring.q."""
    found = _PARAMETER.fullmatch(name)
    return (_PLACES.get(found[1], found[1]), found[2]) if found else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _cors_rest(properties: Mapping[str, Any]) -> Cors | None:
    """The settings of `Cors`: a string is the origin, and each value is in quotes, as in API Gateway's mappings."""
    given = properties.get("Cors")
    if not given:
        return None
    given = given if isinstance(given, dict) else {"AllowOrigin": given}

    def listed(name: str) -> tuple[str, ...]:
        value = given.get(name)
        return tuple(part.strip() for part in value.strip("'").split(",")) if isinstance(value, str) else ()

    age = text(given.get("MaxAge")).strip("'")
    return Cors(
        origins=listed("AllowOrigin"),
        methods=listed("AllowMethods"),
        headers=listed("AllowHeaders"),
        credentials=text(given.get("AllowCredentials")).strip("'").lower() == "true",
        max_age=int(age) if age.isdecimal() else None,
    )


def _cors_http(properties: Mapping[str, Any], document: Mapping[str, Any]) -> Cors | None:
    """The settings of `CorsConfiguration`, where true means every origin, or of the document's extension."""
    given = properties.get("CorsConfiguration") or _capitalized(table(document, "x-amazon-apigateway-cors"))
    if not given or given == "false":
        return None
    given = given if isinstance(given, dict) else {"AllowOrigins": ["*"]}

    def listed(name: str) -> tuple[str, ...]:
        return tuple(map(text, _list(given.get(name))))

    age = text(given.get("MaxAge"))
    return Cors(
        origins=listed("AllowOrigins"),
        methods=listed("AllowMethods"),
        headers=listed("AllowHeaders"),
        expose=listed("ExposeHeaders"),
        credentials=given.get("AllowCredentials") in (True, "true"),
        max_age=int(age) if age.isdecimal() else None,
    )
