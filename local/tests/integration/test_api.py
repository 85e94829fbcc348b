"""Processes serve what `sam local start-api` serves: every kind of API, with API Gateway's answers."""

import json
import time

import pytest
from server import answering, only_processes, run

HANDLERS = '''
import base64, json, os

count = 0

def echo(event, context):
    return {"statusCode": 200, "body": json.dumps(event)}

def returns(event, context):
    """What the request asks for."""
    return json.loads(event["body"])

def bare(event, context):
    return {"made": "without a statusCode"}

def message(event, context):
    return {"statusCode": 200, "body": json.dumps(os.environ["MESSAGE"])}

def image(event, context):
    body = base64.b64encode(bytes(range(256))).decode()
    return {"statusCode": 200, "headers": {"Content-Type": "image/png"}, "isBase64Encoded": True, "body": body}

def counts(event, context):
    global count
    count += 1
    return {"statusCode": 200, "body": json.dumps([context.tenant_id, count])}

def token(event, context):
    arn = event["methodArn"]
    statements = {
        "good": [("Allow", "execute-api:Invoke", arn)],
        "wide": [("Allow", "execute-api:*", "arn:aws:execute-api:*/GET/*")],
        "other": [("Allow", "execute-api:Invoke", arn + "/other")],
        "bad": [("Allow", "*", "*"), ("Deny", "execute-api:Invoke", arn)],
        "none": [],
    }
    if event["authorizationToken"] not in statements:
        raise Exception(event["authorizationToken"])
    document = [dict(zip(("Effect", "Action", "Resource"), each)) for each in statements[event["authorizationToken"]]]
    policy = {"Version": "2012-10-17", "Statement": document}
    return {"principalId": "me", "policyDocument": policy, "context": {"plan": "free"}}

def simple(event, context):
    if event["headers"]["x-key"] == "broken":
        return ["no object"]
    return {"isAuthorized": event["headers"]["x-key"] == "good", "context": {"plan": "free"}}
'''

HEAD = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.13, CodeUri: src/, Timeout: 5}
"""

engine = only_processes


@pytest.fixture
def server(server):
    server.save("src/handlers.py", HANDLERS)
    return server


@pytest.fixture
def template(server):
    """Saves a template of functions in src/handlers.py; the text is what comes after "Globals: Function:"."""
    return lambda text: server.save("template.yaml", HEAD + text)


def test_http_api_hands_over_payload_2_and_answers_as_http_apis_do(server, template):
    template("""
Resources:
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Handler: handlers.echo
      Events: {Item: {Type: HttpApi, Properties: {Path: "/items/{id}", Method: GET}}}
  Bare:
    Type: AWS::Serverless::Function
    Properties:
      Handler: handlers.bare
      Events: {Bare: {Type: HttpApi, Properties: {Path: /bare, Method: GET}}}
  Failing:
    Type: AWS::Serverless::Function
    Properties:
      Handler: handlers.message
      Events: {Failing: {Type: HttpApi, Properties: {Path: /failing, Method: GET}}}
""")
    status, event = server.get("/items/7?a=1&a=2", headers={"Cookie": "b=3; c=4", "X-Key": "Good"})

    keys = "version routeKey rawPath rawQueryString pathParameters queryStringParameters cookies".split()
    assert (status, {key: event[key] for key in keys}) == (
        200,
        {
            "version": "2.0",
            "routeKey": "GET /items/{id}",
            "rawPath": "/items/7",
            "rawQueryString": "a=1&a=2",
            "pathParameters": {"id": "7"},
            "queryStringParameters": {"a": "1,2"},
            "cookies": ["b=3", "c=4"],
        },
    )
    assert event["headers"]["x-key"] == "Good"
    assert server.get("/bare") == (200, {"made": "without a statusCode"})
    assert server.get("/failing") == (500, {"message": "Internal Server Error"})
    assert server.get("/nowhere") == (404, {"message": "Not Found"})


OPENAPI = """
openapi: 3.0.1
info: {title: API, version: "1"}
paths:
  /described:
    get:
      x-amazon-apigateway-integration:
        type: aws_proxy
        httpMethod: POST
        uri:
          Fn::Sub: arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Echo.Arn}/invocations
"""

DESCRIBED = """
Resources:
  Echo:
    Type: AWS::Serverless::Function
    Properties: {Handler: handlers.echo}
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: Prod
"""


def test_openapi_body_in_the_template_gives_the_routes(server, template):
    template(DESCRIBED + "      DefinitionBody:" + OPENAPI.replace("\n", "\n        "))

    status, event = server.get("/described")

    assert (status, event["resource"], event["requestContext"]["stage"]) == (200, "/described", "Prod")
    assert server.get("/my-endpoint") == (403, {"message": "Missing Authentication Token"})


def test_openapi_file_gives_the_routes_and_its_edit_is_live(server, template):
    server.save("api/openapi.yaml", OPENAPI)
    template(DESCRIBED + "      DefinitionUri: api/openapi.yaml\n")

    assert server.get("/described")[0] == 200
    server.replace("api/openapi.yaml", "/described", "/renamed")
    assert server.get("/renamed")[0] == 200
    assert server.get("/described") == (403, {"message": "Missing Authentication Token"})


def test_cors_answers_the_preflight_and_leaves_headers_to_the_function(server):
    cors = """{AllowOrigin: "'https://page.example'", AllowMethods: "'GET,OPTIONS'", AllowHeaders: "'X-Key'"}"""
    server.replace("template.yaml", "    OpenApiVersion: 3.0.1\n", f"    OpenApiVersion: 3.0.1\n    Cors: {cors}\n")
    asks = {"Origin": "https://page.example", "Access-Control-Request-Method": "GET"}

    preflight = server.ask(method="OPTIONS", headers=asks)

    assert preflight.status == 200
    assert {name: value for name, value in preflight.headers.items() if name.startswith("Access-Control")} == {
        "Access-Control-Allow-Origin": "https://page.example",
        "Access-Control-Allow-Methods": "GET,OPTIONS",
        "Access-Control-Allow-Headers": "X-Key",
    }
    assert "Access-Control-Allow-Origin" not in server.ask(headers=asks).headers


def test_token_authorizer_of_a_rest_api_decides(server, template):
    template("""
  Api: {Auth: {DefaultAuthorizer: Mine, Authorizers: {Mine: {FunctionArn: !GetAtt Authorizer.Arn}}}}
Resources:
  Authorizer:
    Type: AWS::Serverless::Function
    Properties: {Handler: handlers.token}
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Handler: handlers.echo
      Events: {Mine: {Type: Api, Properties: {Path: /mine, Method: GET}}}
""")

    def answer(token):
        return server.get("/mine", headers={"Authorization": token})

    for allowed in ("good", "wide"):
        status, event = answer(allowed)
        given = event["requestContext"]["authorizer"]
        assert status == 200
        assert given.pop("integrationLatency") >= 0
        assert given == {"principalId": "me", "plan": "free"}
    assert server.get("/mine") == (401, {"message": "Unauthorized"})
    text = "User is not authorized to access this resource"
    assert answer("other") == (403, {"Message": text})
    assert answer("bad") == (403, {"Message": f"{text} with an explicit deny in an identity-based policy"})
    assert answer("Unauthorized") == (401, {"message": "Unauthorized"})
    assert answer("raises") == (500, {"message": None})
    assert "Exception: raises" in server.terminal
    assert server.says("500, the authorizer Mine failed, or its answer is malformed: ")
    assert answer("none") == (403, {"Message": text})


def test_request_authorizer_of_an_http_api_decides(server, template):
    template("""
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        DefaultAuthorizer: Mine
        Authorizers:
          Mine:
            FunctionArn: !GetAtt Authorizer.Arn
            AuthorizerPayloadFormatVersion: "2.0"
            EnableSimpleResponses: true
            Identity: {Headers: [X-Key]}
  Authorizer:
    Type: AWS::Serverless::Function
    Properties: {Handler: handlers.simple}
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Handler: handlers.echo
      Events: {Mine: {Type: HttpApi, Properties: {ApiId: !Ref Api, Path: /mine, Method: GET}}}
""")
    status, event = server.get("/mine", headers={"X-Key": "good"})

    assert (status, event["requestContext"]["authorizer"]) == (200, {"lambda": {"plan": "free"}})
    assert server.get("/mine") == (401, {"message": "Unauthorized"})
    assert server.get("/mine", headers={"X-Key": "bad"}) == (403, {"message": "Forbidden"})
    assert server.get("/mine", headers={"X-Key": "broken"}) == (500, {"message": "Internal Server Error"})


@pytest.mark.parametrize(
    "stack",
    [
        "{Type: AWS::Serverless::Application, Properties: {Location: nested/template.yaml}}",
        "{Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: nested/template.yaml}}",
    ],
    ids=["Application", "Stack"],
)
def test_nested_stack_is_served_and_its_edit_is_live(server, template, stack):
    template(f"\nResources:\n  Nested: {stack}\n")
    server.save(
        "nested/template.yaml",
        HEAD.replace("src/", "../src/")
        + """
Resources:
  Message:
    Type: AWS::Serverless::Function
    Properties:
      Handler: handlers.message
      Environment: {Variables: {MESSAGE: nested}}
      Events: {Nested: {Type: Api, Properties: {Path: /nested, Method: GET}}}
""",
    )

    assert server.get("/nested") == (200, "nested")
    server.replace("nested/template.yaml", "MESSAGE: nested", "MESSAGE: edited")
    assert server.get("/nested") == (200, "edited")


def test_binary_bodies_pass_in_both_directions(server, template):
    template("""
  Api: {BinaryMediaTypes: [image~1png]}
Resources:
  Image:
    Type: AWS::Serverless::Function
    Properties:
      Handler: handlers.image
      Events: {Get: {Type: Api, Properties: {Path: /image, Method: GET}}}
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Handler: handlers.echo
      Events: {Post: {Type: Api, Properties: {Path: /image, Method: POST}}}
""")
    image = server.ask("/image", headers={"Accept": "image/png"})
    event = server.ask("/image", "POST", b"\x89PNG\xff", {"Content-Type": "image/png"}).body

    assert (image.status, image.headers["Content-Type"], image.content) == (200, "image/png", bytes(range(256)))
    assert (event["isBase64Encoded"], event["body"]) == (True, "iVBOR/8=")


def test_tenants_share_no_environment_and_a_request_without_one_is_refused(server, template):
    template("""
Resources:
  Counts:
    Type: AWS::Serverless::Function
    Properties:
      Handler: handlers.counts
      TenancyConfig: {TenantIsolationMode: PER_TENANT}
      Events: {Mine: {Type: Api, Properties: {Path: /mine, Method: GET}}}
""")
    answers = [server.get("/mine", headers={"X-Amz-Tenant-Id": tenant}) for tenant in ("a", "b", "a", "b", "c")]

    assert answers == [(200, ["a", 1]), (200, ["b", 1]), (200, ["a", 2]), (200, ["b", 2]), (200, ["c", 1])]
    assert server.get("/mine")[0] == 400


def test_template_that_cdk_writes_is_served(server):
    server.save("template.yaml", json.dumps({"Resources": CDK}))

    status, event = server.get("/items/7")

    assert (status, event["resource"], event["pathParameters"]) == (200, "/items/{id}", {"id": "7"})


ARN = [
    "",
    ["arn:", {"Ref": "AWS::Partition"}, ":apigateway:", {"Ref": "AWS::Region"}, ":lambda:path/2015-03-31/functions/"],
]
ARN[1] += [{"Fn::GetAtt": ["Echo1A2B", "Arn"]}, "/invocations"]
ROOT = {"Fn::GetAtt": ["Api3C4D", "RootResourceId"]}
API = {"RestApiId": {"Ref": "Api3C4D"}}
CDK = {
    "Echo1A2B": {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Code": {"S3Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}"}, "S3Key": "0123.zip"},
            "Handler": "handlers.echo",
            "Runtime": "python3.13",
        },
        "Metadata": {"aws:cdk:path": "App/Echo/Resource", "aws:asset:path": "src", "aws:asset:property": "Code"},
    },
    "Api3C4D": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "Api"}},
    "Items5E": {"Type": "AWS::ApiGateway::Resource", "Properties": {"ParentId": ROOT, "PathPart": "items", **API}},
    "Id6F": {
        "Type": "AWS::ApiGateway::Resource",
        "Properties": {"ParentId": {"Ref": "Items5E"}, "PathPart": "{id}", **API},
    },
    "Get7A": {
        "Type": "AWS::ApiGateway::Method",
        "Properties": {
            "HttpMethod": "GET",
            "ResourceId": {"Ref": "Id6F"},
            "AuthorizationType": "NONE",
            "Integration": {"IntegrationHttpMethod": "POST", "Type": "AWS_PROXY", "Uri": {"Fn::Join": ARN}},
            **API,
        },
    },
    "Stage8B": {"Type": "AWS::ApiGateway::Stage", "Properties": {"StageName": "prod", **API}},
}


RETURNS = """
Resources:
  Returns:
    Type: AWS::Serverless::Function
    Properties:
      Handler: handlers.returns
      Events: {Post: {Type: Api, Properties: {Path: /returns, Method: POST}}}
"""

KNOWN_KEYS = '"body", "headers", "isBase64Encoded", "multiValueHeaders", "statusCode"'
MALFORMED = [
    ("a string", "the function returned a string; return a dict with statusCode and body"),
    (7, "the function returned a number; return a dict with statusCode and body"),
    (True, "the function returned a boolean; return a dict with statusCode and body"),
    (None, "the function returned None; return a dict with statusCode and body"),
    ([{"statusCode": 200}], "the function returned a list; return a dict with statusCode and body"),
    ({"statusCode": 200, "boby": "x"}, f'API Gateway does not know "boby"; it knows {KNOWN_KEYS}'),
    ({"statusCode": "OK"}, 'statusCode is "OK"; API Gateway needs one from 200 to 599'),
    ({"statusCode": 200.5}, "statusCode is 200.5; API Gateway needs one from 200 to 599"),
    ({"statusCode": True}, "statusCode is true; API Gateway needs one from 200 to 599"),
    ({"statusCode": {}}, "statusCode is {}; API Gateway needs one from 200 to 599"),
    ({"statusCode": 200, "body": {"a": 1}}, "body is a dict; API Gateway needs a string: json.dumps it"),
    ({"statusCode": 200, "body": [1]}, "body is a list; API Gateway needs a string: json.dumps it"),
    ({"statusCode": 200, "headers": "a: b"}, "headers is a string; API Gateway needs an object of strings"),
    ({"statusCode": 200, "headers": ["a"]}, "headers is a list; API Gateway needs an object of strings"),
    ({"statusCode": 200, "headers": {"a": ["b"]}}, 'the header "a" is a list; API Gateway needs a string'),
    ({"statusCode": 200, "headers": {"a": {}}}, 'the header "a" is a dict; API Gateway needs a string'),
    (
        {"statusCode": 200, "multiValueHeaders": {"a": "b"}},
        'multiValueHeaders: "a" is a string; API Gateway needs a list',
    ),
    (
        {"statusCode": 200, "multiValueHeaders": ["a"]},
        "multiValueHeaders is a list; API Gateway needs an object of lists of strings",
    ),
]


def test_malformed_answer_is_502_and_the_terminal_says_what_is_wrong(server, template):
    template(RETURNS)
    for answer, told in MALFORMED:
        got = server.ask("/returns", "POST", json.dumps(answer))

        assert (answer, got.status, got.body) == (answer, 502, {"message": "Internal server error"})
        assert server.says(f": malformed answer: {told}\n")


WELL_FORMED = [
    ({"statusCode": 201, "body": "made"}, 201, "made"),
    ({"statusCode": "202", "body": "digits"}, 202, "digits"),
    ({"statusCode": 200, "body": None}, 200, ""),
    ({"statusCode": 200}, 200, ""),
    ({"statusCode": 404, "body": "gone", "headers": None, "multiValueHeaders": None}, 404, "gone"),
]


def test_well_formed_answer_passes(server, template):
    template(RETURNS)
    for answer, status, text in WELL_FORMED:
        got = server.ask("/returns", "POST", json.dumps(answer))

        assert (answer, got.status, got.content.decode()) == (answer, status, text)
    assert "malformed" not in server.terminal


def test_headers_that_are_scalars_pass_as_text(server, template):
    template(RETURNS)
    headers = {"X-True": True, "X-Null": None, "X-Number": 7, "X-Text": "text"}
    answer = {"statusCode": 200, "headers": headers, "multiValueHeaders": {"X-Many": ["a", "b"]}}

    got = server.ask("/returns", "POST", json.dumps(answer)).headers

    assert [got[name] for name in headers] == ["true", None, "7", "text"]
    assert got.get_all("X-Many") == ["a", "b"]


def test_missing_status_code_is_200_and_the_terminal_says_so(server, template):
    template(RETURNS)

    got = server.ask("/returns", "POST", json.dumps({"body": "no statusCode"}))

    assert (got.status, got.content) == (200, b"no statusCode")
    assert server.says("the answer has no statusCode; API Gateway takes that as 200\n")


SURPRISES = [
    ({"headers": {"Content-Type": "audio/mpeg"}, "body": "x"}, 'Content-Type "audio/mpeg" without isBase64Encoded'),
    ({"headers": {"Trailer": "x"}}, "API Gateway sends the function's header Trailer as x-amzn-Remapped-Trailer"),
    ({"multiValueHeaders": {"TE": ["x"]}}, "API Gateway does not send the function's header TE"),
]


def test_surprise_is_said_once(server, template):
    template(RETURNS)

    for answer, _ in SURPRISES * 3:
        assert server.ask("/returns", "POST", json.dumps({"statusCode": 200, **answer})).status == 200

    assert [server.terminal.count(f"Returns: {told}") for _, told in SURPRISES] == [1, 1, 1]


def test_ids_and_times_are_each_requests_own(server, template):
    template("""
Resources:
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Handler: handlers.echo
      Events:
        Rest: {Type: Api, Properties: {Path: /rest, Method: GET}}
        Http: {Type: HttpApi, Properties: {Path: /http, Method: GET}}
""")
    for path, header, epoch in (
        ("/rest", "x-amzn-RequestId", "requestTimeEpoch"),
        ("/http", "Apigw-Requestid", "timeEpoch"),
    ):
        begin = time.time()
        answers = [server.ask(path) for _ in range(3)]
        contexts = [answer.body["requestContext"] for answer in answers]

        ids, times = [context["requestId"] for context in contexts], [context[epoch] for context in contexts]
        assert [answer.headers[header] for answer in answers] == ids
        assert len({*ids, *(context.get("extendedRequestId") for context in contexts)}) == (6 if path == "/rest" else 4)
        assert int(begin * 1000) <= times[0] <= times[1] <= times[2] <= time.time() * 1000


NODE = """
  Other:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: nodejs22.x
      Handler: index.handler
      Events: {Other: {Type: Api, Properties: {Path: /other, Method: GET}}}
"""
IMAGE = """
  Other:
    Type: AWS::Serverless::Function
    Properties: {PackageType: Image, ImageUri: "example:latest"}
"""
NEED = "needs a container engine: start Docker or Finch, and run without --no-docker"


@pytest.mark.parametrize(
    "function, reason",
    [(NODE, f"Other has the runtime nodejs22.x and {NEED}"), (IMAGE, f"Other is a container image and {NEED}")],
    ids=["Node", "image"],
)
def test_function_that_processes_cannot_run_is_named(server, project, developer, function, reason):
    """Alone it ends the start; beside others it does not affect them."""
    head = HEAD.replace("CodeUri: src/, ", "") if function is IMAGE else HEAD
    (project / "template.yaml").write_text(f"{head.replace('Runtime: python3.13, ', '')}\nResources:{function}")
    done = run(project, "processes", developer)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().endswith(f"Error: {reason}\n")
    assert "Traceback" not in done.stderr.decode()

    server.replace("template.yaml", "\nResources:\n", f"\nResources:{function}")
    assert server.get() == (200, {"message": "Hello from Lambda"})
    assert server.says(reason)
    if function is NODE:
        assert server.get("/other") == (502, {"message": "Internal server error"})


def test_options_for_containers_only_change_nothing(serve):
    options = "--warm-containers EAGER --skip-pull-image --force-image-build --shutdown --layer-cache-basedir ."
    server = serve(*options.split(), "--docker-volume-basedir", ".", "--container-host", "127.0.0.1")

    assert server.get() == (200, {"message": "Hello from Lambda"})


@pytest.mark.parametrize(
    "option",
    ["--add-host db:10.0.0.1", "--container-dns 10.0.0.1", "--docker-network mine", "--invoke-image mine:latest"],
)
def test_option_that_would_change_the_answer_is_refused(project, developer, option):
    done = run(project, "processes", developer, *option.split())

    assert (done.returncode, done.stderr.decode()) == (
        1,
        f"Error: {option.split()[0]} needs a container engine: start Docker or Finch, and run without --no-docker\n",
    )


def test_parameters_of_the_command_line_reach_the_function(serve, project):
    template = (project / "template.yaml").read_text()
    parameter = "Parameters: {Message: {Type: String, Default: of the template}}\n\nGlobals:"
    template = template.replace("Globals:", parameter).replace("MESSAGE: Hello from Lambda", "MESSAGE: !Ref Message")
    (project / "template.yaml").write_text(template)
    server = serve("--parameter-overrides", "Message=overridden Mesage=x AWS::Region=eu-west-1")

    assert server.get() == (200, {"message": "overridden"})
    assert server.terminal.count("--parameter-overrides") == 1
    assert server.says("--parameter-overrides Mesage: the template has no such parameter; it has Message\n")


def test_body_that_is_not_text_is_told_once(server):
    server.save("src/lambda.py", answering("[event['body'][:4], event['isBase64Encoded']]"))
    server.replace("template.yaml", "Method: GET", "Method: POST")

    for body in (b"\x89PNG\r\n", "é \ufffd".encode(), b"\x89PNG\r\n"):
        answer = server.ask(method="POST", body=body, headers={"Content-Type": "image/png"})
        assert answer.body[1] is False

    assert server.terminal.count("MyFunction: a body that is not text loses bytes; its type is not in Binary") == 1
