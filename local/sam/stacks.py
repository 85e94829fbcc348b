"""The stacks of a template, each resolved before SAM CLI's providers see it.

A part that cannot be used is left out, and named in a remark; everything else is served.
"""

from __future__ import annotations

import copy
import os
import posixpath
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from samcli.commands._utils.template import TemplateFailedParsingException, TemplateNotFoundException, get_template_data
from samcli.commands.validate.lib.exceptions import InvalidSamDocumentException
from samcli.lib.cfn_language_extensions.sam_integration import expand_language_extensions
from samcli.lib.providers.provider import Function as SamFunction
from samcli.lib.providers.provider import Stack
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samcli.lib.samlib.resource_metadata_normalizer import ResourceMetadataNormalizer

from local.cloudformation import apis, remarks
from local.cloudformation.template import Guess, Template
from local.gateway.model import Api

_FUNCTIONS = ("AWS::Serverless::Function", "AWS::Lambda::Function")
_NESTED = {"AWS::Serverless::Application": "Location", "AWS::CloudFormation::Stack": "TemplateURL"}
_DOCUMENTS = {
    "AWS::Serverless::Api": ("DefinitionUri", "DefinitionBody"),
    "AWS::Serverless::HttpApi": ("DefinitionUri", "DefinitionBody"),
    "AWS::ApiGateway::RestApi": ("BodyS3Location", "Body"),
    "AWS::ApiGatewayV2::Api": ("BodyS3Location", "Body"),
}


@dataclass
class Stacks:
    """What a template holds: its stacks, the outermost first, and what had to be guessed or left out.

    `files` are the templates and documents that were read.
    """

    stacks: list[Stack] = field(default_factory=list)
    guesses: list[Guess] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    files: set[str] = field(default_factory=set)

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
        return tuple(found)

    def told(self, functions: Sequence[SamFunction], variables: Mapping[str, Any]) -> tuple[str, ...]:
        """Everything that is to be said of the template; `variables` are those of env.json."""
        known = {function.full_path: names(function) for function in functions}

        def given(function: str, variable: str) -> bool:
            return any(variable in variables.get(name, {}) for name in (*known.get(function, ()), "Parameters"))

        return tuple(dict.fromkeys((*self.remarks, *remarks.told(self.guesses, given))))


def names(function: SamFunction) -> list[str]:
    """The names that a function goes by, its logical id first."""
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


def read(file: str, parameters: Mapping[str, Any], pseudo: Mapping[str, str], extensions: bool = True) -> Stacks:
    """Reads a template and those nested in it; with `extensions`, AWS::LanguageExtensions in Transform counts."""
    found = Stacks()
    _Source(found, file, parameters, pseudo, extensions).collect()
    for stack in found.stacks:
        _leave_out_invalid(stack, found)
    for stack in found.stacks:
        _leave_out_unusable(stack, found)
    return found


class _Source:
    """One template on its way to a stack."""

    def __init__(
        self,
        found: Stacks,
        file: str,
        parameters: Mapping[str, Any],
        pseudo: Mapping[str, str],
        extensions: bool,
        parent: str = "",
        name: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._found, self._file, self._extensions = found, file, extensions
        self._pseudo, self._parent, self._name, self._metadata = pseudo, parent, name, metadata or {}
        self._parameters = {**pseudo, **parameters}
        self._children: dict[str, _Source | None] = {}
        document = get_template_data(file)
        found.files.add(os.path.abspath(file))
        expanded = expand_language_extensions(document, parameter_values=self._parameters, enabled=extensions)
        self._document: dict[str, Any] = expanded.expanded_template
        path = posixpath.join(parent, name)
        self.template = Template(self._document, parameters, pseudo, path, self._include, self._nested)

    def collect(self) -> None:
        """Appends the stack, and those nested in it, to what was found."""
        resolved = self.template.resolved()
        ResourceMetadataNormalizer.normalize(resolved)
        resources = resolved["Resources"]
        for name, resource in list(resources.items()):
            if resource.get("Type") in _NESTED:
                self._nested(name)
                del resources[name]  # SAM CLI would look for it in the Serverless Application Repository
            elif resource.get("Type") in _DOCUMENTS:
                self._read_document(name, resource)
            elif resource.get("Type") == "AWS::Serverless::Function":
                self._leave_out_strays(name, resource, resources)
        path = posixpath.join(self._parent, self._name)
        self._found.guesses += [
            guess if guess.resource == "Conditions" else replace(guess, resource=posixpath.join(path, guess.resource))
            for guess in self.template.guesses
        ]
        stack = Stack(self._parent, self._name, self._file, self._parameters, resolved, dict(self._metadata))
        self._found.stacks.append(stack)
        for child in filter(None, self._children.values()):
            child.collect()

    def _nested(self, logical_id: str) -> Template | None:
        if logical_id not in self._children:
            self._children[logical_id] = self._child(logical_id)
        child = self._children[logical_id]
        return child.template if child else None

    def _child(self, logical_id: str) -> _Source | None:
        resource = self._document.get("Resources", {}).get(logical_id, {})
        properties, metadata = resource.get("Properties", {}), resource.get("Metadata") or {}
        location = metadata.get("aws:asset:path") or properties.get(_NESTED.get(resource.get("Type", ""), ""))
        location = self.template.value(location)
        if not isinstance(location, str) or SamLocalStackProvider.is_remote_url(location):
            return self._leave_out(logical_id, "the nested stack's template is not in this folder")
        file = SamLocalStackProvider.normalize_resource_path(self._file, location.removeprefix("file://"))
        name = ResourceMetadataNormalizer.get_resource_id(resource, logical_id)
        parameters, parent = self.template.parameters_of(logical_id), posixpath.join(self._parent, self._name)
        try:
            return _Source(
                self._found, file, parameters, self._pseudo, self._extensions, parent, name, {"SamResourceId": name}
            )
        except (TemplateNotFoundException, TemplateFailedParsingException) as error:
            return self._leave_out(logical_id, str(error))

    def _leave_out(self, logical_id: str, reason: str) -> None:
        self._found.remarks.append(f"{posixpath.join(self._parent, self._name, logical_id)} is left out: {reason}")

    def _leave_out_strays(self, name: str, resource: dict[str, Any], resources: Mapping[str, Any]) -> None:
        """Leaves out events of an API that is not in this template, for which SAM refuses the whole of it."""
        events = resource.get("Properties", {}).get("Events", {})
        for key, event in list(events.items()):
            given = {"Api": "RestApiId", "HttpApi": "ApiId"}.get(event.get("Type"), "")
            api = (event.get("Properties") or {}).get(given)
            if api is not None and api not in (*resources, "ServerlessRestApi", "ServerlessHttpApi"):
                del events[key]
                self._leave_out(f"{name}, event {key},", f"its API {api} is not in the template")

    def _read_document(self, name: str, resource: dict[str, Any]) -> None:
        """Puts an API's OpenAPI document in the place of the name of its file."""
        properties = resource.get("Properties", {})
        uri, body = _DOCUMENTS[resource["Type"]]
        if properties.get(body) or uri not in properties:
            return
        location = properties.pop(uri)
        try:
            document = self._include(location if isinstance(location, str) else "")
            # AWS takes this document as it is; one with functions of CloudFormation is better served than refused.
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
            return get_template_data(file)
        except (TemplateNotFoundException, TemplateFailedParsingException) as error:
            raise LookupError(str(error)) from None


def _leave_out_invalid(stack: Stack, found: Stacks) -> None:
    """Leaves out the resources for which SAM's plugins refuse the whole template."""
    resources = stack.template_dict["Resources"]
    while resources:
        try:
            _ = stack.resources
            return
        except InvalidSamDocumentException as error:
            refused = {
                one: name for one in getattr(error.__cause__, "causes", ()) if (name := _culprit(one)) in resources
            }
            if not refused:
                raise
            for cause, name in refused.items():
                resources.pop(name, None)
                found.remarks.append(f"{posixpath.join(stack.stack_path, name)} is left out: {cause.message}")
    stack._resources = {}


def _culprit(cause: Any) -> str:
    return getattr(cause, "_logical_id", "")


def _leave_out_unusable(stack: Stack, found: Stacks) -> None:
    """Leaves out the functions that SAM CLI cannot read, and names those that it passes over."""
    try:
        usable = _functions(stack, stack.resources)
    except Exception:  # whatever one function makes it raise
        usable = {}
        for name in _function_ids(stack):
            try:
                usable |= _functions(
                    stack, {**stack.resources, **dict.fromkeys(set(_function_ids(stack)) - {name}, {})}
                )
            except Exception as error:
                del stack.resources[name]
                found.remarks.append(f"{posixpath.join(stack.stack_path, name)} is left out: {error}")
    names = {function.name: function for function in usable.values()}
    for name in _function_ids(stack):
        path = posixpath.join(stack.stack_path, name)
        if name not in names:
            found.remarks.append(f"{path} is left out: its code is not in this folder, but in S3 or a registry")
        elif names[name].inlinecode:
            found.remarks.append(
                f"{path} cannot run here: its code is in the template; put it into a file, with CodeUri"
            )


def _function_ids(stack: Stack) -> list[str]:
    return [name for name, resource in stack.resources.items() if resource.get("Type") in _FUNCTIONS]


def _functions(stack: Stack, resources: dict[str, Any]) -> dict[str, SamFunction]:
    alone = copy.copy(stack)
    alone._resources = resources
    return SamFunctionProvider([alone], ignore_code_extraction_warnings=True).functions
