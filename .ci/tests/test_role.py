"""The pipeline's role, against what CloudFormation calls for the template, for the examples and for usual resources."""

import re
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import boto3
import iam
import pytest
import readme
import yaml
from faults import Proxy
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

ROOT = Path(__file__).parents[2]
FACTS = yaml.safe_load((Path(__file__).parent / "handlers.yaml").read_text())
ROLE = yaml.load((ROOT / ".github" / "deploy-role.yaml").read_text(), iam.Template)
ACCOUNT, STACK = "111122223333", "my-app"
BOUNDARY = "<FunctionBoundary>"

# The parameter that a resource of this type needs.
PARAMETERS = {
    "AWS::ApiGatewayV2::Api": {"HttpApis": "true"},
    "AWS::DynamoDB::Table": {"Tables": "true"},
    "AWS::Events::Rule": {"Schedules": "true"},
    "AWS::Lambda::LayerVersion": {"Layers": "true"},
    "AWS::S3::Bucket": {"Buckets": STACK},
    "AWS::SQS::Queue": {"Queues": "true"},
}
ALL = {"Secrets": "my-app/*", **{name: value for given in PARAMETERS.values() for name, value in given.items()}}

# Additions to the template, each below the line that it names.
BASE = (ROOT / "template.yaml").read_text()
VARIANTS = {
    "as it is": ("Resources:", ""),
    "VpcConfig": ("      Handler:", "      VpcConfig: {SubnetIds: [subnet-1], SecurityGroupIds: [sg-1]}"),
    "Tracing": ("      Handler:", "      Tracing: Active"),
    "ReservedConcurrentExecutions": ("      Handler:", "      ReservedConcurrentExecutions: 5"),
    "schedule": ("      Events:", "        Nightly: {Type: Schedule, Properties: {Schedule: rate(1 day)}}"),
    "HTTP API": ("      Events:", "        Http: {Type: HttpApi, Properties: {Path: /http, Method: GET}}"),
    "layer": (
        "Resources:",
        "  Shared:\n    Type: AWS::Serverless::LayerVersion\n"
        "    Properties: {LayerName: !Sub '${AWS::StackName}-shared', ContentUri: layer/, RetentionPolicy: Delete}",
    ),
    "table": ("Resources:", "  Table: {Type: AWS::Serverless::SimpleTable}"),
    "table of CloudFormation's": (
        "Resources:",
        "  Table:\n    Type: AWS::DynamoDB::Table\n    Properties:\n      BillingMode: PAY_PER_REQUEST\n"
        "      TimeToLiveSpecification: {AttributeName: expires, Enabled: true}\n"
        "      PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}",
    ),
    "bucket": (
        "Resources:",
        "  Bucket:\n    Type: AWS::S3::Bucket\n    Properties:\n      VersioningConfiguration: {Status: Enabled}",
    ),
    "queue": ("Resources:", "  Queue: {Type: AWS::SQS::Queue}"),
    "queue with its function": (
        "      Events:",
        "        Job: {Type: SQS, Properties: {Queue: !GetAtt Queue.Arn}}\n",
    ),
    "policy": ("      Policies: []", "      Policies: [{DynamoDBCrudPolicy: {TableName: any}}]"),
    "policy of AWS's": ("      Policies: []", "      Policies: [AmazonDynamoDBReadOnlyAccess]"),
}


def variant(name):
    place, addition = VARIANTS[name]
    text = BASE
    if name == "queue with its function":
        text = text.replace("\nResources:\n", "\nResources:\n  Queue: {Type: AWS::SQS::Queue}\n")
    if name.startswith("policy"):
        return text.replace(place, addition)
    line = next(line for line in text.splitlines() if line.startswith(place))
    return text.replace(f"{line}\n", f"{line}\n{addition}\n", 1)


def translated(text, region="eu-west-1"):
    """The resources that SAM makes of a template, as {logical id: resource}."""
    template = yaml_parse(text)
    for resource in template["Resources"].values():
        for key in {"CodeUri", "ContentUri"} & set(resource.get("Properties", {})):
            resource["Properties"][key] = "s3://bucket/key"
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=region))
    return translator.translate(template, {"AWS::Region": region})["Resources"]


def statements(parameters, partition="aws", region="eu-west-1"):
    pseudo = {"AWS::Partition": partition, "AWS::Region": region, "AWS::AccountId": ACCOUNT}
    given = {"StackName": STACK, "SubjectPrefix": "repo:o/r", **parameters}
    (policy,) = ROLE["Resources"]["DeployRole"]["Properties"]["Policies"]
    return iam.Resolver(ROLE, pseudo, given)(policy["PolicyDocument"]["Statement"])


def calls(resources, partition="aws", region="eu-west-1"):
    """(logical id, action, ARN, condition keys) of every call that the handlers make for the resources."""
    for logical, resource in resources.items():
        kind, properties = resource["Type"], resource.get("Properties", {})
        name = f"{STACK}-{logical}-0123456789AB"
        layer = properties.get("LayerName") or next(
            (r["Properties"]["LayerName"] for r in resources.values() if r["Type"] == "AWS::Lambda::LayerVersion"), ""
        )
        if isinstance(layer, dict):
            layer = layer["Fn::Sub"].replace("${AWS::StackName}", STACK)
        values = {"partition": partition, "region": region, "account": ACCOUNT, "stack": STACK, "layer": layer}
        values["name"] = name.lower() if kind == "AWS::S3::Bucket" else name
        actions = {action for handler in FACTS["calls"][kind].values() for action in handler}
        actions |= set(FACTS["also"].get(kind, []))
        for action in sorted(actions - set(FACTS["never"])):
            if (needed := first(FACTS["only_with"].get(kind, {}), action)) and not set(needed) & set(properties):
                continue
            function = f"arn:{partition}:lambda:{region}:{ACCOUNT}:function:{STACK}-Function-0123456789AB"
            context = {"iam:PassedToService": "lambda.amazonaws.com", "lambda:FunctionArn": function}
            if "PermissionsBoundary" in properties:
                context["iam:PermissionsBoundary"] = properties["PermissionsBoundary"]
            attached = properties.get("ManagedPolicyArns", [""]) if action == "iam:AttachRolePolicy" else [""]
            for arn in first(FACTS["acts_on"], action) or FACTS["resources"][kind]:
                for policy in attached:
                    yield logical, action, arn.format(**values), {**context, "iam:PolicyARN": policy}


def first(patterns, action):
    return next((value for pattern, value in patterns.items() if fnmatchcase(action, pattern)), None)


def denied(resources, parameters, partition="aws", region="eu-west-1"):
    policy = statements(parameters, partition, region)
    return sorted(
        {
            (logical, action, arn, context["iam:PolicyARN"])
            for logical, action, arn, context in calls(resources, partition, region)
            if not iam.allows(policy, action, arn, context)
        }
    )


def needed(resources):
    return {
        name: value for resource in resources.values() for name, value in PARAMETERS.get(resource["Type"], {}).items()
    }


def bounded(resources):
    """With the boundary that the role requires for a function with its own policy."""
    for resource in resources.values():
        properties = resource.get("Properties", {})
        if "Policies" in properties or "AmazonDynamoDBReadOnlyAccess" in str(properties.get("ManagedPolicyArns")):
            properties["PermissionsBoundary"] = BOUNDARY
    return resources


@pytest.mark.parametrize("name", VARIANTS)
def test_role_allows_every_call_for(name):
    resources = bounded(translated(variant(name)))

    assert denied(resources, needed(resources)) == []


def actions_of(resource):
    """What the policies of a role allow."""
    for policy in resource.get("Properties", {}).get("Policies", []):
        for statement in policy["PolicyDocument"]["Statement"]:
            yield from iam.as_list(statement["Action"])


@pytest.mark.parametrize("title", readme.examples())
def test_role_allows_every_call_for_example_with_what_the_readme_says(title, project):
    example = readme.examples()[title]
    readme.apply(project, example)
    resources = translated((project / "template.yaml").read_text())
    said = " ".join(re.findall(r"Pipeline: [^.]*\.", example.prose))
    parameters = dict(re.findall(r"`(\w+)=([^`]*)`", said))
    if "PermissionsBoundary" in said:
        resources = bounded(resources)

    assert denied(resources, parameters) == []
    allowed = parameters.get("FunctionActions", "").split(",")
    asked = {action for resource in resources.values() for action in actions_of(resource)}
    assert {action for action in asked if not any(fnmatchcase(action, one) for one in allowed)} == set()
    assert needed(resources).items() <= parameters.items()


@pytest.mark.parametrize(("partition", "region"), [("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")])
@pytest.mark.parametrize("name", ["Tracing", "VpcConfig", "queue with its function"])
def test_role_allows_every_call_elsewhere(name, partition, region):
    resources = translated(variant(name), region)

    assert denied(resources, needed(resources), partition, region) == []


@pytest.mark.parametrize("name", ["schedule", "HTTP API", "layer", "table", "bucket", "queue with its function"])
def test_role_allows_none_of_it_until_asked(name):
    new = set(translated(variant(name))) - set(translated(BASE))

    assert new & {logical for logical, *_ in denied(translated(variant(name)), {})}


@pytest.mark.parametrize(
    ("name", "action"), [("policy", "iam:PutRolePolicy"), ("policy of AWS's", "iam:AttachRolePolicy")]
)
def test_policies_without_boundary_are_denied(name, action):
    assert {action for _, action, *_ in denied(translated(variant(name)), {})} == {action}


def test_one_wrong_letter_in_any_action_is_noticed():
    resources = {}
    for name in VARIANTS:
        resources |= {f"{name}{logical}": r for logical, r in bounded(translated(variant(name))).items()}
    asked = [(action.lower(), arn, context) for _, action, arn, context in calls(resources)]

    unnoticed = []
    policy = statements(ALL)
    for statement in policy:
        if statement["Sid"] in ("Stack", "Transform", "Bucket", "Secrets"):  # tests of their own, below
            continue
        for action in iam.as_list(statement["Action"]):
            misspelt = {**statement, "Action": [a for a in iam.as_list(statement["Action"]) if a != action]}
            others = [misspelt if other is statement else other for other in policy]
            if all(iam.allows(others, *call) for call in asked if call[0] == action.lower()):
                unnoticed.append((statement["Sid"], action))

    assert unnoticed == []


@pytest.fixture(scope="module")
def calls_of_script(new_project, new_machine, emulator):
    """The actions that ./deploy.sh calls itself: in a first deployment, another, a failing one and the next."""
    project, proxy, made = new_project(), Proxy(emulator.url), []
    environment = {**new_machine, **emulator.environment("eu-west-1"), "AWS_ENDPOINT_URL": proxy.url}

    def deploy(status, **options):
        proxy.begin(**options)
        environment["SAM_CLI_POLL_DELAY"] = "0.2"
        done = subprocess.run([project / "deploy.sh"], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        made.extend(proxy.calls)

    try:
        template = project / "template.yaml"
        failing = (
            "\nResources:\n  Broken: {Type: AWS::SSM::Parameter, Properties: {Type: String, Value: any, Name: /taken}}"
        )
        emulator.client("ssm", "eu-west-1").put_parameter(Name="/taken", Value="elsewhere", Type="String")
        template.write_text(BASE.replace("\nResources:", failing))
        deploy(1)
        template.write_text(BASE)
        deploy(0)
        template.write_text(BASE.replace("Timeout: 10", "Timeout: 11"))
        deploy(0)
        template.write_text(BASE)
        deploy(1, every={"cloudformation:CreateChangeSet": "ValidationError"})
    finally:
        proxy.stop()
    return set(made)


def arns_of_script(action):
    bucket = f"arn:aws:s3:::{STACK}-{ACCOUNT}-eu-west-1"
    if action.startswith("cloudformation:"):
        transform = "arn:aws:cloudformation:eu-west-1:aws:transform/Serverless-2016-10-31"
        stack = f"arn:aws:cloudformation:eu-west-1:{ACCOUNT}:stack/{STACK}/0123456789"
        return [stack, transform] if action.endswith(":CreateChangeSet") else [stack]
    return [f"{bucket}/{STACK}/0123456789"] if action in ("s3:GetObject", "s3:PutObject") else [bucket]


def test_role_allows_every_call_of_the_script(calls_of_script):
    # Everybody may ask who they are.
    asked = {action for action in calls_of_script if action != "sts:GetCallerIdentity"}

    assert "cloudformation:DescribeEvents" in asked
    policy = statements({})
    assert [a for a in asked if not all(iam.allows(policy, a, arn, {}) for arn in arns_of_script(a))] == []


def test_role_allows_the_script_nothing_that_it_does_not_call(calls_of_script):
    allowed = {
        action
        for statement in statements({})
        if statement["Sid"] in ("Stack", "Transform", "Bucket")
        for action in iam.as_list(statement["Action"])
    }

    # The one is for artifacts of more than 8 MB, the other for a stack whose resources outlived a failure.
    assert allowed - calls_of_script == {"s3:AbortMultipartUpload", "cloudformation:GetTemplate"}


def test_secrets_are_read_when_asked():
    arn = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:my-app/token-AbCdEf"
    read = ("secretsmanager:GetSecretValue", arn, {})

    assert iam.allows(statements({"Secrets": "my-app/*"}), *read)
    assert not iam.allows(statements({"Secrets": "other/*"}), *read)
    assert not iam.allows(statements({}), *read)


def test_policy_with_everything_fits_into_the_role():
    # Characters, without white space, of a role's inline policies:
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    size = len(re.sub(r"\s", "", str(statements(ALL)).replace("'", '"')))

    assert size < 10_240


def test_names_that_cloudformation_would_change_are_refused():
    given = ROLE["Parameters"]["StackName"]
    takes = re.compile(given["AllowedPattern"]).fullmatch

    assert given["MaxLength"] == 25
    assert [bool(takes(name)) for name in ("my-app", "my--app", "my-app-")] == [True, False, False]


def test_provider_survives_its_stack_but_not_a_creation_that_failed():
    assert ROLE["Resources"]["Provider"]["DeletionPolicy"] == "RetainExceptOnCreate"
