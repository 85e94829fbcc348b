"""One template with its parameters: conditions decided, intrinsic functions resolved.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
What only AWS knows becomes a placeholder, and a `Guess` that says why.
"""

from __future__ import annotations

import base64
import ipaddress
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.cloudformation import attributes, loops

_VARIABLE = re.compile(r"\$\{(!?)\s*([^}]*?)\s*\}")
_DYNAMIC = re.compile(r"\{\{resolve:[^}]*\}\}")
_LISTS = ("CommaDelimitedList", "List<", "AWS::SSM::Parameter::Value<List<", "AWS::SSM::Parameter::Value<CommaD")
FUNCTIONS = ("AWS::Serverless::Function", "AWS::Lambda::Function")
LAYERS = ("AWS::Serverless::LayerVersion", "AWS::Lambda::LayerVersion")
_APIS = ("AWS::Serverless::Api", "AWS::Serverless::HttpApi", "AWS::ApiGateway::", "AWS::ApiGatewayV2::")
_STACKS = ("AWS::Serverless::Application", "AWS::CloudFormation::Stack")
# The properties that local runs use; guesses for others do not matter.
_USED = frozenset(
    "Architectures BinaryMediaTypes Body Code CodeUri Content ContentUri Cors CorsConfiguration DefinitionBody "
    "DefinitionUri FunctionName Handler HttpMethod ImageUri InlineCode Layers Location LoggingConfig MemorySize "
    "PackageType PathPart RouteKey Runtime StageName StageVariables TemplateURL Timeout Variables".split()
)
# Where readers of the template expect a logical id instead of a reference to a resource.
_ROUTE = ("Path", "Method")
_FUNCTION_LINKS = ("Events", "Layers", "Role")
_API_TEXTS = ("Variables", "StageVariables", "Cors", "CorsConfiguration", "StageName", "Name", "Description")


class _NoValue:
    """The value of AWS::NoValue: the property is absent."""


NO_VALUE = _NoValue()


@dataclass(frozen=True)
class Guess:
    """A value that only AWS knows, with a placeholder at `path` of `resource` ("Conditions" for a condition).

    `reason` is a clause: "shared-table is exported by another stack". `parameter` is the one that would set the
    value, or "".
    """

    resource: str
    path: tuple[str, ...]
    reason: str
    parameter: str = ""


@dataclass
class _Place:
    """The place that a value is read for. `linked`: resources are named by their logical ids there."""

    linked: bool = False
    notes: list[tuple[str, str]] = field(default_factory=list)

    def note(self, reason: str, parameter: str = "") -> None:
        if (reason, parameter) not in self.notes:
            self.notes.append((reason, parameter))


class Template:
    """`pseudo` are the pseudo parameters with one text as their value; `path` is the stack's, "" for the outermost.

    `include` reads a file that AWS::Include names, or raises LookupError with a reason; `nested` gives the template of
    a nested stack by its logical id, or None if it is not available. `physical` are the ids in AWS of the resources
    of a deployed stack, by path and logical id; None without such a stack. With `extensions`,
    AWS::LanguageExtensions in Transform takes effect.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        parameters: Mapping[str, Any],
        pseudo: Mapping[str, str],
        path: str = "",
        include: Callable[[str], Any] | None = None,
        nested: Callable[[str], Template | None] = lambda logical_id: None,
        physical: Mapping[str, str] | None = None,
        extensions: bool = True,
    ) -> None:
        self._document, self._given, self._pseudo, self._path = dict(document), parameters, pseudo, path
        self._include, self._nested, self._physical = include, nested, physical
        self._conditions: dict[str, bool] = {}
        self._under_way: list[str] = []
        self._attributes: dict[tuple[str, str, bool], tuple[Any, list[tuple[str, str]]]] = {}
        self.guesses: list[Guess] = []
        self._handlers: dict[str, Callable[[Any, _Place], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::If": self._if,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Base64": self._base64,
            "Fn::Cidr": self._cidr,
            "Fn::GetAZs": self._get_azs,
            "Fn::ImportValue": self._import_value,
            "Fn::Length": self._length,
            "Fn::ToJsonString": self._to_json_string,
            "Fn::Transform": self._transform,
        }
        self._include_sections()
        if extensions and "AWS::LanguageExtensions" in self._macros():
            for name in ("Conditions", "Resources", "Outputs"):
                self._document[name] = loops.unrolled(self._table(name), self._collection)

    def resolved(self) -> dict[str, Any]:
        """The template with neither conditions nor functions; what remains as {"Ref": …} is a layer of the template."""
        made = {key: value for key, value in self._document.items() if key not in ("Conditions", "Mappings", "Rules")}
        if isinstance(globals_ := self._document.get("Globals"), dict):
            made["Globals"] = {
                kind: self._section(f"Globals {kind}", "AWS::Serverless::" + kind, section)
                for kind, section in globals_.items()
            }
        made["Resources"] = {}
        for name, resource in self.resources.items():
            if isinstance(resource, dict) and isinstance(resource.get("Type"), str):
                if self._holds(resource):
                    made["Resources"][name] = self._resource(name, resource)
            else:
                loop = name.startswith("Fn::ForEach")
                need = "only where Transform names AWS::LanguageExtensions" if loop else "only with a Type"
                self.guesses.append(Guess("Resources", (name,), f"CloudFormation takes it {need}"))
        made.pop("Outputs", None)
        return made

    def output(self, name: str, linked: bool = False) -> tuple[Any, list[tuple[str, str]]]:
        """The value of an output, and what had to be guessed for it. Raises LookupError."""
        output = self._table("Outputs").get(name)
        if not isinstance(output, dict) or not self._holds(output):
            raise LookupError(name)
        place = _Place(linked)
        return self.value(output.get("Value"), place), place.notes

    def parameters_of(self, logical_id: str) -> dict[str, Any]:
        """The parameters that the template passes to a nested stack."""
        properties = self._plain(self.resources[logical_id].get("Properties"))
        return self.value(self._plain(properties.get("Parameters")))

    def variables_of(self, logical_id: str) -> dict[str, Any]:
        """The environment variables that a function declares, whether it is created or not."""
        environment = self._plain(self.resources[logical_id].get("Properties")).get("Environment")
        return self._plain(self._plain(environment).get("Variables"))

    def linked(self, logical_id: str, key: str, node: Any) -> Any:
        """The value that a property would have with this content, with resources named by their logical ids."""
        return self._told(logical_id, (key,), node, linked=True)

    def value(self, node: Any, place: _Place | None = None) -> Any:
        """What a node of the template resolves to; NO_VALUE for AWS::NoValue."""
        place = place or _Place()
        if isinstance(node, dict):
            if len(node) == 1:
                ((name, argument),) = node.items()
                if handler := self._handlers.get(name):
                    try:
                        return handler(argument, place)
                    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                        place.note(f"{name} does not take {text(argument)[:80]}")
                        return text(argument)
            made: dict[str, Any] = {}
            for key, one in node.items():
                if key == "Fn::Transform":
                    included = self._transform(one, place)
                    made = {**(included if isinstance(included, dict) else {}), **made}
                elif (found := self.value(one, place)) is not NO_VALUE:
                    made[key] = found
            return made
        if isinstance(node, list):
            return [found for one in node if (found := self.value(one, place)) is not NO_VALUE]
        return node

    def condition(self, name: Any) -> bool:
        """Whether a condition of the template holds."""
        name = text(name)
        if name not in self._conditions:
            if name in self._under_way:
                raise ValueError(f"the condition {name} depends on itself")
            self._under_way.append(name)
            place = _Place()
            if name in self._table("Conditions"):
                self._conditions[name] = self._decide(self._table("Conditions")[name], place)
            else:
                place.note(f"{name} is not among the template's Conditions")
                self._conditions[name] = False
            self._under_way.remove(name)
            self.guesses += [Guess("Conditions", (name,), *note) for note in place.notes]
        return self._conditions[name]

    def _include_sections(self) -> None:
        """Reads AWS::Include at the top, and in place of entries of a section."""
        for macro in self._macros():
            called = text(macro.get("Name") if isinstance(macro, dict) else macro)
            if isinstance(macro, dict) and called == "AWS::Include":
                for name, section in self._included("Transform", macro).items():
                    self._document[name] = {**section, **self._table(name)}
            elif called and not called.startswith("AWS::"):
                self.guesses.append(Guess("the template", ("Transform",), f"the macro {called} runs only on AWS"))
        for name in ("Parameters", "Mappings", "Conditions", "Resources", "Outputs"):
            if macro := self._table(name).get("Fn::Transform"):
                own = {key: value for key, value in self._table(name).items() if key != "Fn::Transform"}
                self._document[name] = {**self._included(name, macro), **own}
        # YAML does not read a name such as On or 1 as text.
        for name in ("Conditions", "Resources"):
            self._document[name] = {text(key): one for key, one in self._table(name).items()}

    def _macros(self) -> list[Any]:
        macros = self._document.get("Transform") or []
        return macros if isinstance(macros, list) else [macros]

    def _collection(self, key: str, node: Any) -> list[str]:
        """The values of a loop. A text with commas comes from a parameter whose type is not a list."""
        place = _Place()
        found = self.value(node, place)
        self.guesses += [Guess("Resources", (key,), *note) for note in place.notes]
        values = found if isinstance(found, list) else text(found).split(",")
        return [part for one in values for part in map(text, one if isinstance(one, list) else [one])]

    def _included(self, name: str, macro: Any) -> dict[str, Any]:
        place = _Place()
        found = self._transform(macro, place, resolve=False)
        self.guesses += [Guess(name, ("Fn::Transform",), *note) for note in place.notes]
        return found if isinstance(found, dict) else {}

    @property
    def resources(self) -> dict[str, Any]:
        """The resources as they are written, after AWS::Include."""
        return self._table("Resources")

    def _table(self, name: str) -> dict[str, Any]:
        found = self._document.get(name)
        return found if isinstance(found, dict) else {}

    def _holds(self, part: Mapping[str, Any]) -> bool:
        name = part.get("Condition")
        return not isinstance(name, (str, bool)) or self.condition(name)

    def _plain(self, node: Any) -> dict[str, Any]:
        """The table itself, or the branch of an Fn::If in place of it, with what AWS::Include adds."""
        while isinstance(node, dict) and len(node) == 1 and isinstance(branches := node.get("Fn::If"), list):
            node = branches[1 if self.condition(branches[0]) else 2] if len(branches) == 3 else None
        if isinstance(node, dict) and "Fn::Transform" in node:
            own = {key: one for key, one in node.items() if key != "Fn::Transform"}
            node = {**self._included("the template", node["Fn::Transform"]), **own}
        return node if isinstance(node, dict) and "Ref" not in node else {}

    def _resource(self, name: str, resource: Mapping[str, Any]) -> dict[str, Any]:
        made = {key: value for key, value in resource.items() if key not in ("Condition", "DependsOn")}
        if "Properties" in made:
            made["Properties"] = self._section(name, made["Type"], self._plain(made["Properties"]))
        if "Metadata" in made:
            made["Metadata"] = self.value(self._plain(made["Metadata"]))
        return made

    def _section(self, name: str, kind: str, properties: Any) -> dict[str, Any]:
        """The properties of a resource, or those of its kind in Globals."""
        function, api = kind in FUNCTIONS, kind.startswith(_APIS)
        made: dict[str, Any] = {}
        found: Any
        for key, node in self._plain(properties).items():
            if function and key == "Environment":
                found = {"Variables": self._variables(name, self._plain(self._plain(node).get("Variables")))}
            elif key == "Events" and (function or kind == "AWS::Serverless::StateMachine"):
                found = self._events(name, self._plain(node))
            elif kind in _STACKS and key == "Parameters":
                found = {one: self._told(name, (key, one), value) for one, value in self._plain(node).items()}
                found = {one: value for one, value in found.items() if value is not NO_VALUE}
            else:
                linked = key in _FUNCTION_LINKS if function else api and key not in _API_TEXTS
                used = key in _USED and (function or api or kind in LAYERS + _STACKS)
                found = self._told(name, (key,), node, linked) if used else self.value(node, _Place(linked))
            if found is not NO_VALUE:
                made[key] = found
        return made

    def _variables(self, name: str, nodes: Mapping[str, Any]) -> dict[str, Any]:
        made = {}
        for key, node in nodes.items():
            found = self._told(name, ("Environment", "Variables", key), node, plain=True)
            if found is not NO_VALUE and found is not None:
                made[key] = found
        return made

    def _told(self, name: str, path: tuple[str, ...], node: Any, linked: bool = False, plain: bool = False) -> Any:
        """The value of a property, whose guesses are kept; a single text, number or boolean if `plain`."""
        place = _Place(linked)
        found = self.value(node, place)
        if plain and isinstance(found, (list, dict)):
            place.note(f"a {'list' if isinstance(found, list) else 'mapping'} is not a value that Lambda accepts")
            found = text(found)
        elif plain and found is None:
            place.note("null is not a value that CloudFormation accepts")
        self.guesses += [Guess(name, path, *note) for note in (*place.notes, *_dynamic(found))]
        return found

    def _events(self, name: str, nodes: Mapping[str, Any]) -> dict[str, Any]:
        made = {}
        for key, node in nodes.items():
            event = self._plain(node)
            if not event or not self._holds(event):
                continue
            own = {part: one for part, one in event.items() if part != "Condition"}
            made[key] = self.value({**own, "Properties": self._plain(event.get("Properties"))}, _Place(linked=True))
            if event.get("Type") in ("Api", "HttpApi"):
                used = {part: one for part, one in self._plain(event.get("Properties")).items() if part in _ROUTE}
                self._told(name, ("Events", key), used)
        return made

    def _decide(self, node: Any, place: _Place) -> bool:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-conditions.html"""
        if isinstance(node, dict) and len(node) == 1:
            ((name, argument),) = node.items()
            if name == "Condition":
                return self.condition(argument)
            if name in ("Fn::And", "Fn::Or") and isinstance(argument, list):
                return (all if name == "Fn::And" else any)(self._decide(one, place) for one in argument)
            if name == "Fn::Not" and isinstance(argument, list) and len(argument) == 1:
                return not self._decide(argument[0], place)
            if name == "Fn::Equals" and isinstance(argument, list) and len(argument) == 2:
                first, second = (self.value(one, place) for one in argument)
                return text(first) == text(second)
        found = self.value(node, place)
        if text(found) not in ("true", "false"):
            place.note("CloudFormation accepts only condition functions")
        return text(found) == "true"

    def _ref(self, name: Any, place: _Place) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name == "AWS::NotificationARNs":
            return []
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self._table("Parameters"):
            return self._parameter(name, place)
        return self._attribute(str(name), "", place)

    def _parameter(self, name: str, place: _Place) -> Any:
        definition = self._table("Parameters")[name]
        definition = definition if isinstance(definition, dict) else {}
        kind = str(definition.get("Type", "String"))
        if name in self._given:
            value = self._given[name]
        elif "Default" in definition:
            value = definition["Default"]
            if kind.startswith("AWS::SSM::Parameter::Value"):
                place.note(f"{value} is in the Parameter Store on AWS", name)
        else:
            allowed = definition.get("AllowedValues")
            value = allowed[0] if isinstance(allowed, list) and allowed else definition.get("MinValue", 0)
            if kind not in ("Number", "List<Number>") and not allowed:
                value = name
            place.note(f"the parameter {name} has no default", name)
        if kind.startswith(_LISTS):
            return [one.strip() for one in text(value).split(",")] if not isinstance(value, list) else value
        # SAM CLI calculates with numbers, and YAML may have read a default as one.
        return int(value) if kind == "Number" and isinstance(value, str) and str(_int(value)) == value else value

    def _attribute(self, name: str, attribute: str, place: _Place) -> Any:
        """The value of Ref ("") or Fn::GetAtt."""
        key = (name, attribute, place.linked)
        if key not in self._attributes:
            alone = _Place(place.linked)
            self._attributes[key] = self._returned(name, attribute, alone), alone.notes
        found, notes = self._attributes[key]
        for note in notes:
            place.note(*note)
        return found

    def _returned(self, name: str, attribute: str, place: _Place) -> Any:
        if name not in self.resources and "." in name and not attribute:
            name, _, attribute = name.partition(".")  # SAM's own: !Ref Function.Alias
        resource = self.resources.get(name) or self._made_by_sam(name)
        if not isinstance(resource, dict):
            place.note(f"{name} is not in the template")
            return attributes.of("", attribute, name, name, lambda key: None, self._pseudo)[0]
        if not self._holds(resource):
            place.note(f"{name} is not created, since its condition {resource['Condition']} is false")
        kind = str(resource.get("Type", ""))
        if attribute.startswith("Outputs."):
            return self._output(name, attribute.partition(".")[2], place)
        properties = self._plain(resource.get("Properties"))
        if place.linked and (link := self._link(name, kind, attribute, properties, place)):
            return link

        def known(key: str) -> Any:
            found = self.value(properties.get(key))
            return None if found is NO_VALUE else found

        path = f"{self._path}/{name}" if self._path else name
        physical = None if self._physical is None or place.linked else self._physical.get(path)
        if self._physical is not None and not place.linked and physical is None:
            place.note(f"{name} is not in the stack {self._pseudo['AWS::StackName']}")
        found, documented = attributes.of(kind, attribute, name, path, known, self._pseudo, physical)
        if not documented:
            place.note(f"{name}.{attribute} is known only on AWS")
        return found

    def _link(self, name: str, kind: str, attribute: str, properties: Mapping[str, Any], place: _Place) -> Any:
        """The name by which readers of the template know the resource, or None if they need its value on AWS."""
        if kind in LAYERS:
            return {"Ref": name}
        if kind in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
            target = text(self.value(properties.get("FunctionName"), place))
            return target if ":function:" in target else self._function_arn(target)
        if kind in FUNCTIONS and attribute in ("Arn", "Alias", "Version"):
            return self._function_arn(name)
        if attribute == "RootResourceId":
            return "/"
        if not attribute and not kind.endswith("Stage"):
            return name
        if attribute in ("ApiId", "RestApiId", "AuthorizerId", "ResourceId", "UserPoolId"):
            return name
        return None

    def _function_arn(self, name: str) -> str:
        pseudo = self._pseudo
        return (
            f"arn:{pseudo['AWS::Partition']}:lambda:{pseudo['AWS::Region']}:{pseudo['AWS::AccountId']}:function:{name}"
        )

    def _made_by_sam(self, name: str) -> dict[str, Any] | None:
        """A resource that SAM generates, by its documented name.

        https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-generated-resources.html
        """
        known = {"ServerlessRestApi": "AWS::Serverless::Api", "ServerlessHttpApi": "AWS::Serverless::HttpApi"}
        if name in known:
            return {"Type": known[name], "Properties": {"StageName": "Prod"}}
        for ending, kind in (
            ("Role", "AWS::IAM::Role"),
            ("Url", "AWS::Lambda::Url"),
            ("Stage", "AWS::ApiGateway::Stage"),
        ):
            owner = name.removesuffix(ending) if name.endswith(ending) else ""
            stage = owner.removeprefix("ServerlessRestApi") if ending == "Stage" else ""
            if owner in self.resources or stage:
                return {"Type": kind, "Properties": {"StageName": stage or "Prod"}}
        for owner, resource in self.resources.items():
            if name.startswith(f"{owner}Alias"):
                return {
                    **resource,
                    "Type": "AWS::Lambda::Alias",
                    "Properties": {"FunctionName": owner, "Name": name[len(owner) + 5 :]},
                }
            api_stage = self._plain(resource.get("Properties")).get("StageName") if isinstance(resource, dict) else None
            if isinstance(api_stage, str) and name == f"{owner}{api_stage}Stage":
                return {"Type": "AWS::ApiGateway::Stage", "Properties": {"StageName": api_stage}}
        return None

    def _output(self, stack: str, name: str, place: _Place) -> Any:
        try:
            child = self._nested(stack)
            if child is None:
                raise LookupError(name)
            found, notes = child.output(name, place.linked)
            if isinstance(found, dict):  # a layer of another stack is named by its ARN
                found, notes = child.output(name)
        except LookupError:
            place.note(f"{stack} has no output {name} here")
            return f"{stack}.{name}"
        for note in notes:
            place.note(*note)
        return found

    def _get_att(self, argument: Any, place: _Place) -> Any:
        parts = argument.split(".", 1) if isinstance(argument, str) else [text(self.value(a, place)) for a in argument]
        return self._attribute(parts[0], ".".join(parts[1:]), place)

    def _sub(self, argument: Any, place: _Place) -> Any:
        template, given = (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])

        def replaced(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in given:
                return text(self.value(given[name], place))
            if "." in name and name not in self._table("Parameters"):
                return text(self._get_att(name, place))
            return text(self._ref(name, place))

        return _VARIABLE.sub(replaced, str(template))

    def _join(self, argument: Any, place: _Place) -> Any:
        delimiter, items = argument
        items = self.value(items, place)
        return text(delimiter).join(map(text, items if isinstance(items, list) else [items]))

    def _if(self, argument: Any, place: _Place) -> Any:
        name, then, otherwise = argument
        return self.value(then if self.condition(name) else otherwise, place)

    def _select(self, argument: Any, place: _Place) -> Any:
        index, items = (self.value(one, place) for one in argument)
        items = items if isinstance(items, list) else [items]
        if (number := _int(index)) is not None and 0 <= number < len(items):
            return items[number]
        place.note(f"Fn::Select finds no element {text(index)} among {len(items)}")
        return items[-1] if items else text(index)

    def _split(self, argument: Any, place: _Place) -> Any:
        delimiter, source = (text(self.value(one, place)) for one in argument)
        return source.split(delimiter)

    def _find_in_map(self, argument: Any, place: _Place) -> Any:
        name, first, second = (text(self.value(one, place)) for one in argument[:3])
        try:
            return self.value(_entry(_entry(self._table("Mappings")[name], first), second), place)
        except (KeyError, TypeError):
            if len(argument) > 3 and isinstance(argument[3], dict) and "DefaultValue" in argument[3]:
                return self.value(argument[3]["DefaultValue"], place)
        place.note(f"Fn::FindInMap finds no {name}, {first}, {second}")
        return second

    def _base64(self, argument: Any, place: _Place) -> Any:
        return base64.b64encode(text(self.value(argument, place)).encode()).decode()

    def _cidr(self, argument: Any, place: _Place) -> Any:
        block, count, *bits = (text(self.value(one, place)) for one in argument)
        try:
            network = ipaddress.ip_network(block)
            prefix = network.max_prefixlen - int(bits[0] if bits else 8)
            return [str(one) for one in itertools.islice(network.subnets(new_prefix=prefix), int(count))]
        except ValueError:
            place.note(f"Fn::Cidr cannot divide {block}")
            return [block] * (_int(count) or 1)

    def _get_azs(self, argument: Any, place: _Place) -> Any:
        region = text(self.value(argument, place)) or self._pseudo["AWS::Region"]
        return [region + zone for zone in "abc"]

    def _import_value(self, argument: Any, place: _Place) -> Any:
        name = text(self.value(argument, place))
        place.note(f"{name} is exported by another stack")
        return name

    def _length(self, argument: Any, place: _Place) -> Any:
        found = self.value(argument, place)
        return len(found) if isinstance(found, list) else 1

    def _to_json_string(self, argument: Any, place: _Place) -> Any:
        return _json(self.value(argument, place))

    def _transform(self, argument: Any, place: _Place, resolve: bool = True) -> Any:
        """AWS::Include; any other macro runs on AWS only."""
        macro = argument if isinstance(argument, dict) else {}
        name = text(macro.get("Name", ""))
        if name != "AWS::Include" or not self._include:
            place.note(f"the macro {name} runs only on AWS")
            return {}
        location = text(self.value(self._plain(macro.get("Parameters")).get("Location"), place))
        try:
            found = self._include(location)
            return self.value(found, place) if resolve else found
        except LookupError as error:
            place.note(f"AWS::Include cannot read {location}: {error}")
            return {}


def text(value: Any) -> str:
    """A value as CloudFormation writes it into a string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(text, value))
    if isinstance(value, dict):
        return _json(value)
    return "" if value is None or value is NO_VALUE else str(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)


def _dynamic(value: Any) -> Iterator[tuple[str, str]]:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html"""
    if isinstance(value, str) and (found := _DYNAMIC.search(value)):
        yield f"{found[0]} is read by CloudFormation on AWS", ""


def _entry(table: Any, key: str) -> Any:
    """The entry with the key, which YAML may have read as a number."""
    return table[key] if key in table else table[{text(one): one for one in table}[key]]


def _int(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
