"""What Ref and Fn::GetAtt return for a resource that exists only on AWS: a placeholder of the documented form.

Each resource type's page has a section "Return values":
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
A name that AWS would invent is the logical id, as in SAM CLI.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from local.identifier import identifier

_PORTS = {"postgres": "5432", "mysql": "3306", "mariadb": "3306", "oracle": "1521", "sqlserver": "1433"}


def _arn(service: str, rest: str) -> str:
    return f"arn:{{partition}}:{service}:{{region}}:{{account}}:{rest}"


_FUNCTION = {"": "{name}", "Arn": _arn("lambda", "function:{name}")}
_FUNCTION |= {
    "Alias": _arn("lambda", "function:{name}:{AutoPublishAlias}"),
    "Version": _arn("lambda", "function:{name}:1"),
}
_TABLE = {"": "{name}", "Arn": _arn("dynamodb", "table/{name}"), "TableId": "{uuid}"}
_TABLE |= {"StreamArn": _arn("dynamodb", "table/{name}/stream/2015-11-30T20:10:00.000")}
_LAYER = {"": _arn("lambda", "layer:{name}:1"), "LayerVersionArn": _arn("lambda", "layer:{name}:1")}
_REST_API = {
    "": "{id10}",
    "RootResourceId": "{id10}",
    "RestApiId": "{id10}",
    "Stage": "{StageName}",
    "Deployment": "{id6}",
}
_API_URL = "https://{id10}.execute-api.{region}.{suffix}"
_HTTP_API = {"": "{id10}", "ApiId": "{id10}", "ApiEndpoint": _API_URL, "Stage": "{StageName}"}
_MACHINE = {"": _arn("states", "stateMachine:{name}"), "Arn": _arn("states", "stateMachine:{name}"), "Name": "{name}"}
_STACK = {"": _arn("cloudformation", "stack/{stack}-{name}/{uuid}")}

# By type: the property that holds the name, and the form of each attribute; "" is Ref.
_TYPES: dict[str, tuple[str, dict[str, str]]] = {
    "AWS::Serverless::Function": ("FunctionName", _FUNCTION),
    "AWS::Lambda::Function": ("FunctionName", _FUNCTION),
    "AWS::Lambda::Alias": ("Name", {"": "{function}:{name}", "AliasArn": "{function}:{name}"}),
    "AWS::Lambda::Version": ("", {"": "{function}:1", "FunctionArn": "{function}:1", "Version": "1"}),
    "AWS::Lambda::Url": ("", {"": "{name}", "FunctionUrl": "https://{id32}.lambda-url.{region}.on.aws/"}),
    "AWS::Serverless::LayerVersion": ("LayerName", _LAYER),
    "AWS::Lambda::LayerVersion": ("LayerName", _LAYER),
    "AWS::Serverless::Api": ("", _REST_API),
    "AWS::ApiGateway::RestApi": ("", _REST_API),
    "AWS::ApiGateway::Stage": ("", {"": "{StageName}"}),
    "AWS::ApiGateway::ApiKey": ("", {"": "{id10}", "APIKeyId": "{id10}"}),
    "AWS::Serverless::HttpApi": ("", _HTTP_API),
    "AWS::ApiGatewayV2::Api": ("", _HTTP_API),
    "AWS::ApiGatewayV2::Stage": ("", {"": "{StageName}"}),
    "AWS::Serverless::SimpleTable": ("TableName", _TABLE),
    "AWS::DynamoDB::Table": ("TableName", _TABLE),
    "AWS::DynamoDB::GlobalTable": ("TableName", _TABLE),
    "AWS::SQS::Queue": (
        "QueueName",
        {
            "": "https://sqs.{region}.{suffix}/{account}/{name}",
            "QueueUrl": "https://sqs.{region}.{suffix}/{account}/{name}",
            "Arn": _arn("sqs", "{name}"),
            "QueueName": "{name}",
        },
    ),
    "AWS::SNS::Topic": (
        "TopicName",
        {"": _arn("sns", "{name}"), "TopicArn": _arn("sns", "{name}"), "TopicName": "{name}"},
    ),
    "AWS::S3::Bucket": (
        "BucketName",
        {
            "": "{name}",
            "Arn": "arn:{partition}:s3:::{name}",
            "DomainName": "{name}.s3.{suffix}",
            "RegionalDomainName": "{name}.s3.{region}.{suffix}",
            "DualStackDomainName": "{name}.s3.dualstack.{region}.{suffix}",
            "WebsiteURL": "http://{name}.s3-website.{region}.{suffix}",
        },
    ),
    "AWS::Logs::LogGroup": ("LogGroupName", {"": "{name}", "Arn": _arn("logs", "log-group:{name}:*")}),
    "AWS::Serverless::StateMachine": ("Name", _MACHINE),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", _MACHINE),
    "AWS::StepFunctions::Activity": ("Name", {"": _arn("states", "activity:{name}"), "Name": "{name}"}),
    "AWS::Events::EventBus": ("Name", {"": "{name}", "Arn": _arn("events", "event-bus/{name}"), "Name": "{name}"}),
    "AWS::Events::Rule": ("Name", {"": "{name}", "Arn": _arn("events", "rule/{name}")}),
    "AWS::Kinesis::Stream": ("Name", {"": "{name}", "Arn": _arn("kinesis", "stream/{name}")}),
    "AWS::KinesisFirehose::DeliveryStream": (
        "DeliveryStreamName",
        {"": "{name}", "Arn": _arn("firehose", "deliverystream/{name}")},
    ),
    "AWS::SecretsManager::Secret": (
        "Name",
        {"": _arn("secretsmanager", "secret:{name}-{id6}"), "Id": _arn("secretsmanager", "secret:{name}-{id6}")},
    ),
    "AWS::SSM::Parameter": ("Name", {"": "{name}", "Value": "{Value}", "Type": "{Type}"}),
    "AWS::KMS::Key": ("", {"": "{uuid}", "KeyId": "{uuid}", "Arn": _arn("kms", "key/{uuid}")}),
    "AWS::KMS::Alias": ("AliasName", {"": "{name}"}),
    "AWS::IAM::Role": (
        "RoleName",
        {"": "{name}", "Arn": "arn:{partition}:iam::{account}:role/{name}", "RoleId": "AROA{upper17}"},
    ),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", {"": "arn:{partition}:iam::{account}:policy/{name}"}),
    "AWS::Cognito::UserPool": (
        "",
        {
            "": "{region}_{id9}",
            "UserPoolId": "{region}_{id9}",
            "Arn": _arn("cognito-idp", "userpool/{region}_{id9}"),
            "ProviderName": "cognito-idp.{region}.{suffix}/{region}_{id9}",
            "ProviderURL": "https://cognito-idp.{region}.{suffix}/{region}_{id9}",
        },
    ),
    "AWS::Cognito::UserPoolClient": ("", {"": "{id26}", "ClientId": "{id26}", "Name": "{ClientName}"}),
    "AWS::Cognito::UserPoolDomain": ("Domain", {"": "{name}"}),
    "AWS::Cognito::IdentityPool": ("IdentityPoolName", {"": "{region}:{uuid}", "Name": "{name}"}),
    "AWS::AppSync::GraphQLApi": (
        "",
        {
            "": _arn("appsync", "apis/{id26}"),
            "Arn": _arn("appsync", "apis/{id26}"),
            "ApiId": "{id26}",
            "GraphQLUrl": "https://{id26}.appsync-api.{region}.{suffix}/graphql",
        },
    ),
    "AWS::CloudFront::Distribution": (
        "",
        {"": "E{upper13}", "Id": "E{upper13}", "DomainName": "d{id13}.cloudfront.net"},
    ),
    "AWS::RDS::DBInstance": (
        "DBInstanceIdentifier",
        {
            "": "{lower}",
            "DBInstanceArn": _arn("rds", "db:{lower}"),
            "Endpoint.Address": "{lower}.{id12}.{region}.rds.{suffix}",
            "Endpoint.Port": "{port}",
        },
    ),
    "AWS::RDS::DBCluster": (
        "DBClusterIdentifier",
        {
            "": "{lower}",
            "DBClusterArn": _arn("rds", "cluster:{lower}"),
            "Endpoint.Address": "{lower}.cluster-{id12}.{region}.rds.{suffix}",
            "ReadEndpoint.Address": "{lower}.cluster-ro-{id12}.{region}.rds.{suffix}",
            "Endpoint.Port": "{port}",
        },
    ),
    "AWS::OpenSearchService::Domain": (
        "DomainName",
        {
            "": "{lower}",
            "Arn": _arn("es", "domain/{lower}"),
            "DomainEndpoint": "search-{lower}-{id26}.{region}.es.{suffix}",
        },
    ),
    "AWS::CloudFormation::Stack": ("", _STACK),
    "AWS::Serverless::Application": ("", _STACK),
    "AWS::EC2::VPC": ("", {"": "vpc-{hex17}", "VpcId": "vpc-{hex17}", "CidrBlock": "{CidrBlock}"}),
    "AWS::EC2::Subnet": ("", {"": "subnet-{hex17}", "SubnetId": "subnet-{hex17}", "CidrBlock": "{CidrBlock}"}),
    "AWS::EC2::SecurityGroup": ("", {"": "sg-{hex17}", "GroupId": "sg-{hex17}"}),
}


class _Fields(dict[str, str]):
    """The words of a form: given ones, parts of a hash that is the same at every start, or a property."""

    def __init__(self, key: str, known: Callable[[str], Any], given: Mapping[str, str]) -> None:
        super().__init__(given)
        self._key, self._known = key, known

    def __missing__(self, word: str) -> str:
        length = int(word.lstrip("iduperhx") or 0) if word[-1].isdecimal() else 0
        if word == "uuid":
            return str(uuid.uuid5(uuid.NAMESPACE_OID, self._key))
        if word == f"hex{length}":
            return hashlib.sha256(self._key.encode()).hexdigest()[:length]
        if word in (f"id{length}", f"upper{length}"):
            made = identifier(self._key, length)
            return made if word.startswith("id") else made.upper()
        if word == "port":
            engine = str(self._known("Engine"))
            return str(self._known("Port") or next((port for name, port in _PORTS.items() if name in engine), "3306"))
        value = self._known(word)
        return word if value is None else str(value)


def of(
    kind: str,
    attribute: str,
    logical_id: str,
    path: str,
    known: Callable[[str], Any],
    pseudo: Mapping[str, str],
    physical: str | None = None,
) -> tuple[str, bool]:
    """The attribute ("" for Ref) of a resource, and whether its form is documented.

    `path` is the resource's place among nested stacks, which makes its ids unique; `known` gives a property's value or
    None. `physical` is the id that a deployed resource has in AWS, which Ref returns there.
    """
    named, forms = _TYPES.get(kind, ("", {}))
    name = str((named and known(named)) or logical_id)
    if kind == "AWS::S3::Bucket":
        name = name.lower()
    if kind in ("AWS::SQS::Queue", "AWS::SNS::Topic") and (known("FifoQueue") or known("FifoTopic")) in (True, "true"):
        name = name.removesuffix(".fifo") + ".fifo"
    given = {
        "name": name,
        "lower": name.lower(),
        "region": pseudo["AWS::Region"],
        "account": pseudo["AWS::AccountId"],
        "partition": pseudo["AWS::Partition"],
        "suffix": pseudo["AWS::URLSuffix"],
        "stack": pseudo["AWS::StackName"],
    }
    if kind in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
        function = str(known("FunctionName"))
        arn = _arn("lambda", "function:{function}").format_map({**given, "function": function})
        given["function"] = function if function.startswith("arn:") else arn
    if physical is not None:
        if not attribute:
            return physical, True
        given |= _words(forms.get("", "{name}"), physical)
    if attribute in forms:
        return forms[attribute].format_map(_Fields(path, known, given)), True
    if attribute == "Arn":
        service = kind.split("::")[1].lower() if kind.count("::") == 2 else "service"
        return _arn(service, "{name}").format_map(given), False
    return f"{logical_id}.{attribute}" if attribute else name, not attribute


def _words(form: str, made: str) -> dict[str, str]:
    """The words of a form, read from what has been made with it."""
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(form))
    found = re.fullmatch(pattern, made)
    # An emulated AWS has different addresses.
    words = found.groupdict() if found else {"name": re.split("[/:]", made)[-1]}
    return {**words, "lower": words["name"]} if "name" in words else words
