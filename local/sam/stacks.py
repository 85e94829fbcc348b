"""The stacks of a template, each resolved before SAM CLI's providers see it.

A part that cannot be used is left out and named in a remark; everything else is served.
"""

from __future__ import annotations

import copy
import os
import posixpath
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from samcli.commands._utils.template import TemplateFailedParsingException, TemplateNotFoundException, get_template_data
from samcli.commands.validate.lib.exceptions import InvalidSamDocumentException
from samcli.lib.providers.provider import Function as SamFunction
from samcli.lib.providers.provider import Stack
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samcli.lib.samlib.resource_metadata_normalizer import ResourceMetadataNormalizer
from samtranslator.plugins.globals.globals_plugin import GlobalsPlugin
from samtranslator.public.exceptions import InvalidDocumentException

from local.cloudformation import apis, remarks
from local.cloudformation.template import FUNCTIONS, LAYERS, Guess, Template, text
from local.gateway.model import Api
from local.identifier import identifier

_NESTED = {"AWS::Serverless::Application": "Location", "AWS::CloudFormation::Stack": "TemplateURL"}
_IMPLICIT = {
    "ServerlessRestApi": {"Type": "AWS::Serverless::Api", "Properties": {"StageName": "Prod"}},
    "ServerlessHttpApi": {"Type": "AWS::Serverless::HttpApi", "Properties": {}},
}
_DOCUMENTS = {
    "AWS::Serverless::Api": ("DefinitionUri", "DefinitionBody"),
    "AWS::Serverless::HttpApi": ("DefinitionUri", "DefinitionBody"),
    "AWS::ApiGateway::RestApi": ("BodyS3Location", "Body"),
    "AWS::ApiGatewayV2::Api": ("BodyS3Location", "Body"),
}


@dataclass
class Stacks:
    """What a template holds: its stacks, the outermost first, and what had to be guessed or left out.

    `files` are the templates and documents that were read; `declared` are all functions, left out or not.
    """

    stacks: list[Stack] = field(default_factory=list)
    guesses: list[Guess] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)  # by ARN
    declared: list[tuple[list[str], dict[str, Any]]] = field(default_factory=list)  # functions' names and variables

    def apis(self, functions: Sequence[SamFunction], region: str, account: str, authorize: bool) -> tuple[Api, ...]:
        """The APIs of all stacks; without authorizers, keys and required parameters unless `authorize`."""

        def path(stack: str, name: str) -> str | None:
            known = [function for function in functions if name in names(function)]
            return next((one.full_path for one in sorted(known, key=lambda one: one.stack_path != stack)), None)

        found: list[Api] = []
        for stack in self.stacks:
            read = apis.Reader(stack.stack_path, stack.resources, path, region, account, authorize).read()
            found += read.apis
            self.remarks += read.remarks
        first: dict[tuple[str, str], Api] = {}
        for api in found:
            for route in api.routes:
                if (other := first.setdefault((route.method, route.path), api)) is not api:
                    staged = api.stage not in ("$default", other.stage)
                    way = (
                        f"here it is /{api.stage}{route.path}"
                        if staged
                        else "it cannot be reached here, since its API has no stage of its own"
                    )
                    self.remarks.append(f"{route.method} {route.path} of {api.id} is also a route of {other.id}: {way}")
        return tuple(found)

    def absent(self, functions: Sequence[SamFunction]) -> list[tuple[list[str], dict[str, Any]]]:
        """Names and variables of the functions that the template declares besides these."""
        known = {function.full_path for function in functions}
        return [one for one in self.declared if one[0][-1] not in known]

    def told(self, functions: Sequence[SamFunction], variables: Mapping[str, Any]) -> tuple[str, ...]:
        """All lines about the template for the terminal; `variables` are those of env.json."""
        known = {function.full_path: names(function) for function in functions}

        def given(function: str, variable: str) -> bool:
            return any(variable in variables.get(name, {}) for name in (*known.get(function, ()), "Parameters"))

        return tuple(dict.fromkeys((*self.remarks, *remarks.told(self.guesses, given))))


def names(function: SamFunction) -> list[str]:
    """All names of a function, its logical id first."""
    return [function.name, function.function_id, function.functionname, function.full_path]


def pseudo(region: str, account: str) -> dict[str, str]:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/pseudo-parameter-reference.html"""
    return {
        "AWS::Region": region,
        "AWS::AccountId": account,
        "AWS::Partition": next((f"aws-{part}" for part in ("cn", "us-gov") if region.startswith(part)), "aws"),
        "AWS::URLSuffix": "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com",
        "AWS::StackName": "local",
        "AWS::StackId": f"arn:aws:cloudformation:{region}:{account}:stack/local/{uuid.UUID(int=0)}",
    }


def read(
    file: str,
    parameters: Mapping[str, Any],
    pseudo: Mapping[str, str],
    extensions: bool = True,
    physical: Mapping[str, str] | None = None,
) -> Stacks:
    """Reads a template and those nested in it; `extensions`: AWS::LanguageExtensions in Transform takes effect.

    `physical` are the ids in AWS of the resources of a deployed stack.
    """
    found = Stacks()
    _Source(found, file, parameters, pseudo, extensions, physical).collect()
    _share_layers(found)
    for stack in list(found.stacks):
        try:
            _merge_globals(stack)
        except InvalidSamDocumentException as error:
            if not stack.stack_path:
                raise
            found.stacks.remove(stack)
            found.remarks.append(f"{stack.stack_path} is left out: {error}")
        else:
            _leave_out_unusable(stack, found)
    return found


class _Source:
    """One template that becomes a stack."""

    def __init__(
        self,
        found: Stacks,
        file: str,
        parameters: Mapping[str, Any],
        pseudo: Mapping[str, str],
        extensions: bool,
        physical: Mapping[str, str] | None,
        parent: str = "",
        name: str = "",
        around: tuple[str, ...] = (),
    ) -> None:
        self._found, self._file, self._extensions = found, file, extensions
        self._around = (*around, os.path.realpath(file))
        self._pseudo, self._physical, self._parent, self._name = pseudo, physical, parent, name
        self._parameters = {**pseudo, **parameters}
        self._children: dict[str, _Source | None] = {}
        document = _document(file)
        if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
            raise InvalidSamDocumentException(f"{file} is not a template: it has no Resources")
        found.files.add(os.path.abspath(file))
        path = self._path = posixpath.join(parent, name)
        self.template = Template(document, parameters, pseudo, path, self._include, self._nested, physical, extensions)

    def collect(self) -> None:
        """Adds the stack and those nested in it to what was found."""
        resolved = self.template.resolved()
        ResourceMetadataNormalizer.normalize(resolved)
        resources = resolved["Resources"]
        for name, resource in self.template.resources.items():
            if isinstance(resource, dict) and resource.get("Type") in FUNCTIONS:
                variables = self.template.variables_of(name)
                self._found.declared.append(([name, posixpath.join(self._path, name)], variables))
        nested = [name for name, resource in resources.items() if resource.get("Type") in _NESTED]
        for name, resource in list(resources.items()):
            if name in nested:
                self._nested(name)
                del resources[name]  # SAM CLI would look for it in the Serverless Application Repository
            elif resource.get("Type") in _DOCUMENTS:
                self._read_document(name, resource)
            elif resource.get("Type") in LAYERS:
                properties = resource.get("Properties", {})
                content = properties.get("ContentUri", properties.get("Content"))
                if isinstance(content, dict) or text(content).startswith("s3://"):
                    self._leave_out(name, "its content is in S3; to use it here, set its path to a local folder")
                self._found.layers.setdefault(self.template.value({"Ref": name}), self._anywhere(resource))
            elif resource.get("Type") == "AWS::Serverless::Function":
                self._leave_out_strays(name, resource, resources)
        for guess in self.template.guesses:
            place = "" if guess.resource == "Conditions" else self._path
            self._found.guesses.append(replace(guess, resource=posixpath.join(place, guess.resource)))
        metadata = {"SamResourceId": self._name} if self._name else {}
        stack = Stack(self._parent, self._name, self._file, self._parameters, resolved, metadata)
        self._found.stacks.append(stack)
        for child in filter(None, (self._children[name] for name in nested)):
            child.collect()

    def _nested(self, logical_id: str) -> Template | None:
        if logical_id not in self._children:
            self._children[logical_id] = self._child(logical_id)
        child = self._children[logical_id]
        return child.template if child else None

    def _child(self, logical_id: str) -> _Source | None:
        resource = self.template.resources[logical_id]
        properties, metadata = resource.get("Properties", {}), resource.get("Metadata") or {}
        location = metadata.get("aws:asset:path") or properties.get(_NESTED.get(resource.get("Type", ""), ""))
        location = self.template.value(location)
        if not isinstance(location, str) or SamLocalStackProvider.is_remote_url(location):
            return self._leave_out(logical_id, "the nested stack's template is not in this folder")
        file = SamLocalStackProvider.normalize_resource_path(self._file, location.removeprefix("file://"))
        if os.path.realpath(file) in self._around:
            return self._leave_out(logical_id, "its template contains itself")
        name = ResourceMetadataNormalizer.get_resource_id(resource, logical_id)
        parameters = self.template.parameters_of(logical_id)
        options = (self._pseudo, self._extensions, self._physical, self._path, name, self._around)
        try:
            return _Source(self._found, file, parameters, *options)
        except (TemplateNotFoundException, TemplateFailedParsingException, InvalidSamDocumentException) as error:
            return self._leave_out(logical_id, str(error))

    def _leave_out(self, logical_id: str, reason: str) -> None:
        self._found.remarks.append(f"{posixpath.join(self._path, logical_id)} is left out: {reason}")

    def _anywhere(self, layer: Mapping[str, Any]) -> dict[str, Any]:
        """The layer with an absolute path, for functions of other stacks."""
        properties = dict(layer.get("Properties", {}))
        for key in {"ContentUri", "Content"} & properties.keys():
            if isinstance(properties[key], str):
                properties[key] = os.path.abspath(
                    SamLocalStackProvider.normalize_resource_path(self._file, properties[key])
                )
        return {**layer, "Properties": properties}

    def _leave_out_strays(self, name: str, resource: dict[str, Any], resources: Mapping[str, Any]) -> None:
        """Leaves out events of an API that is not in this template: SAM would refuse the whole template."""
        events = resource.get("Properties", {}).get("Events", {})
        for key, event in list(events.items()):
            given = {"Api": "RestApiId", "HttpApi": "ApiId"}.get(event.get("Type"), "")
            api = (event.get("Properties") or {}).get(given)
            if api is not None and api not in (*resources, "ServerlessRestApi", "ServerlessHttpApi"):
                del events[key]
                self._leave_out(f"{name}, event {key},", f"its API {api} is not in the template")

    def _read_document(self, name: str, resource: dict[str, Any]) -> None:
        """Replaces the file name of an API's OpenAPI document with its content."""
        properties = resource.get("Properties", {})
        uri, body = _DOCUMENTS[resource["Type"]]
        if properties.get(body) or uri not in properties:
            return
        location = properties.pop(uri)
        try:
            document = self._include(location if isinstance(location, str) else "")
            # AWS does not resolve intrinsic functions in this document, but serving them is better than refusing it.
            properties[body] = self.template.linked(name, body, document)
        except LookupError as error:
            self._leave_out(name, f"its OpenAPI document {location} cannot be read: {error}")

    def _include(self, location: str) -> Any:
        """Raises LookupError."""
        if not location or SamLocalStackProvider.is_remote_url(location):
            raise LookupError("it is not in this folder")
        file = SamLocalStackProvider.normalize_resource_path(self._file, location.removeprefix("file://"))
        self._found.files.add(os.path.abspath(file))
        try:
            return _document(file)
        except (TemplateNotFoundException, TemplateFailedParsingException) as error:
            raise LookupError(str(error)) from None


def _document(file: str) -> Any:
    if os.path.exists(file) and not os.path.isfile(file):  # reading a FIFO would block for ever
        raise TemplateFailedParsingException(f"{file} is not a file")
    return get_template_data(file)


def _share_layers(found: Stacks) -> None:
    """Adds to each stack the layers of other stacks whose ARNs its functions get, through parameters or outputs."""
    for stack in found.stacks:
        resources = stack.template_dict["Resources"]
        for resource in list(resources.values()):
            properties = resource.get("Properties", {})
            if resource.get("Type") in FUNCTIONS and isinstance(properties.get("Layers"), list):
                for index, arn in enumerate(properties["Layers"]):
                    if isinstance(arn, str) and arn in found.layers:
                        name = "Layer" + identifier(arn, 10)
                        resources[name] = found.layers[arn]
                        properties["Layers"][index] = {"Ref": name}


def _merge_globals(stack: Stack) -> None:
    """Puts Globals into the resources, and adds the APIs that SAM creates for events that name none.

    SAM's other plugins build OpenAPI documents from events and check policies. They take most of a start, and stop at
    the first part that they refuse.
    """
    given = stack.template_dict["Resources"]
    for name in {name: None for resource in given.values() for name in _implicit(resource) if name not in given}:
        given[name] = copy.deepcopy(_IMPLICIT[name])
    try:
        GlobalsPlugin().on_before_transform_template(stack.template_dict)
    except InvalidDocumentException as error:
        raise InvalidSamDocumentException(" ".join(cause.message for cause in error.causes)) from None
    stack._resources = given


def _implicit(resource: Mapping[str, Any]) -> Iterator[str]:
    """The names of the APIs that SAM creates for events that name none."""
    if resource.get("Type") in ("AWS::Serverless::Function", "AWS::Serverless::StateMachine"):
        for event in resource.get("Properties", {}).get("Events", {}).values():
            properties = event.get("Properties") or {}
            if event.get("Type") == "Api" and "RestApiId" not in properties:
                yield "ServerlessRestApi"
            if event.get("Type") == "HttpApi" and "ApiId" not in properties:
                yield "ServerlessHttpApi"


def _leave_out_unusable(stack: Stack, found: Stacks) -> None:
    """Leaves out the functions that SAM CLI cannot read or run."""
    layers = {name: one for name, one in stack.resources.items() if one.get("Type") in LAYERS}
    for name, resource in list(stack.resources.items()):
        if resource.get("Type") in FUNCTIONS and (reason := _unusable(stack, {name: resource, **layers})):
            del stack.resources[name]
            found.remarks.append(f"{posixpath.join(stack.stack_path, name)} is left out: {reason}")


def _unusable(stack: Stack, resources: dict[str, Any]) -> str:
    """Why the only function among the resources does not run, or an empty text."""
    alone = copy.copy(stack)
    alone._resources = resources
    try:
        functions = list(SamFunctionProvider([alone], ignore_code_extraction_warnings=True).get_all())
    except Exception as error:  # whatever a function makes it raise
        return str(error)
    if not functions:
        return "its code is in S3 or in a registry; to run it here, set its path to the folder with the source"
    return "its code is in the template; to run it here, put it into a file" if functions[0].inlinecode else ""
