"""Where the emulated AWS that the tests deploy to differs from AWS, and ./run.sh is right.

The same requests go to both. A row that holds no longer, since ministack has been mended, fails like a difference that
no row names: then change the table. Sources are named as in local/tests/unit/cases/README.md. No test of deployed code
may depend on a row.
"""

import io
import json
import re
import zipfile
from http.client import HTTPConnection, IncompleteRead
from urllib.parse import urlsplit

import pytest
from server import Server

HANDLERS = """
import base64, json

def echo(event, context):
    return {"statusCode": 200, "body": json.dumps(event)}

def returns(event, context):
    body = event["body"]
    answer = json.loads(base64.b64decode(body) if event["isBase64Encoded"] else body)
    if answer == {}:
        raise ValueError("why")
    return answer
"""
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.13, CodeUri: src/, Timeout: 5}
Resources:
  Http: {Type: AWS::Serverless::HttpApi}
  Rest: {Type: AWS::Serverless::Api, Properties: {StageName: Prod, BinaryMediaTypes: [image~1png]}}
"""
FUNCTION = """
  {name}:
    Type: AWS::Serverless::Function
    Properties:
      Handler: handlers.{name}
      Events:
        Rest: {{Type: Api, Properties: {{RestApiId: !Ref Rest, Path: "/{name}/{{id}}", Method: ANY}}}}
        Http: {{Type: HttpApi, Properties: {{ApiId: !Ref Http, Path: "/{name}/{{id}}", Method: ANY}}}}
"""
NAMES = ("echo", "returns")

SENT = [
    ("X-Api-Token", "t"),
    ("x-twice", "a"),
    ("x-twice", "b"),
    ("Cookie", "a=1; b=2"),
    ("Authorization", "c"),
    ("User-Agent", "test"),
    ("Content-Type", "application/x-www-form-urlencoded"),
    ("X-Forwarded-For", "192.0.2.1"),
    ("TE", "trailers"),
]
TARGET = "/echo/a%20b?q=1&q=2&r=%20;s"
ABSENT = "<absent>"

# Each request's, each account's own.
OWN = re.compile(
    r"requestContext\.(\w*[rR]equestId|\w*[tT]ime|\w*[tT]imeEpoch|resourceId|accountId|apiId|deploymentId)"
)

LS = "LS test_lambda_aws_proxy_integration"
VOKER = "VOKER"  # apigwv1-request.json, apigwv2-request.json
NULL = "accessKey accountId caller cognitoAuthenticationProvider cognitoAuthenticationType cognitoIdentityId"
NULL += " cognitoIdentityPoolId principalOrgId user userArn"
ADDED = {"x-amzn-trace-id": "TRACE", "x-forwarded-port": "PORT", "x-forwarded-proto": "http"}
SPELLED = "Authorization Content-Type Cookie Host User-Agent X-Amzn-Trace-Id X-Api-Token X-Forwarded-For"
SPELLED += " X-Forwarded-Port X-Forwarded-Proto x-twice"
LOWER = "authorization content-length content-type cookie host te user-agent x-api-token x-forwarded-for x-twice"

# Payload, path in the event, AWS's, ministack's, source. In 1.0 `spelled` has the names of the headers, `lists` what
# multiValueHeaders have beside headers.
EVENTS = [
    ("1.0", "version", ABSENT, "1.0", LS),
    ("1.0", "path", "/echo/a%20b", "/echo/a b", VOKER),
    ("1.0", "pathParameters.id", "a%20b", "a b", VOKER),
    ("1.0", "requestContext.path", "/Prod/echo/a%20b", "/Prod/echo/a b", VOKER),
    ("1.0", "spelled", SPELLED, LOWER, LS),
    ("1.0", "headers.content-length", ABSENT, "3", "LS TestApiGatewayHeaderRemapping"),
    ("1.0", "headers.te", ABSENT, "trailers", "LS TestApiGatewayHeaderRemapping"),
    ("1.0", "headers.x-twice", "b", "a, b", VOKER),
    ("1.0", "lists.x-twice", ["a", "b"], ABSENT, VOKER),
    ("1.0", "queryStringParameters.q", "2", "1", "LS params-encoding-multi"),
    ("1.0", "queryStringParameters.r", " ", " ;s", "DOC, important notes: a semicolon splits"),
    ("1.0", "queryStringParameters.s", "", ABSENT, "DOC, important notes"),
    ("1.0", "multiValueQueryStringParameters.r", [" "], [" ;s"], "DOC, important notes"),
    ("1.0", "multiValueQueryStringParameters.s", [""], ABSENT, "DOC, important notes"),
    ("1.0", "requestContext.deploymentId", "own", ABSENT, "PTS apigw-rest/no-auth.json"),
    *[("1.0", f"requestContext.identity.{name}", None, ABSENT, LS) for name in NULL.split()],
    ("2.0", "headers.x-twice", "a,b", "a, b", VOKER),
    ("2.0", "headers.te", ABSENT, "trailers", "RFC 9110, 7.6.1: of one connection only"),
    ("2.0", "headers.cookie", ABSENT, "a=1; b=2", "DOC http-api-develop-integrations-lambda"),
    ("2.0", "cookies", ["a=1", "b=2"], ABSENT, "DOC http-api-develop-integrations-lambda"),
    *[(of, f"headers.{name}", value, ABSENT, LS) for of in ("1.0", "2.0") for name, value in ADDED.items()],
    *[(of, "headers.x-forwarded-for", "192.0.2.1, 127.0.0.1", "192.0.2.1", "GO") for of in ("1.0", "2.0")],
    ("1.0", "requestContext.identity.sourceIp", "127.0.0.1", "192.0.2.1", "DOC: that of the connection"),
    ("1.0", "requestContext.domainName", "HOST", ABSENT, LS),
    ("2.0", "requestContext.domainName", "HOST", "API.execute-api.localhost", "SLSX"),
    *[(of, "requestContext.domainPrefix", "127", ABSENT, LS) for of in ("1.0", "2.0")],
]

PNG = {"Content-Type": "image/png"}
NO_BASE64 = {"statusCode": 200, "body": "!", "isBase64Encoded": True, "headers": PNG}
TEXT, AS_TEXT = {"statusCode": 200, "body": "a"}, "published responses of HTTP APIs"
FORMAT, URL = "LS test_aws_proxy_response_payload_format_validation", "LS test_lambda_url_invocation"
OBJECT, MALFORMED = {"statusCode": 200, "body": {"a": 1}}, "DOC: Malformed Lambda proxy response"

ERROR = json.dumps({"errorMessage": "why", "errorType": "Runtime.HandlerError"})

# Payload, what the function returns ({}: it fails), what of the answer, AWS's, ministack's, source.
ANSWERS = [
    ("1.0", ["hello", 3, True], "status", 502, 200, FORMAT),
    ("1.0", {"a": 1}, "status", 502, 200, FORMAT),
    ("1.0", {"statusCode": 200, "multiValueHeaders": {"a": "b"}}, "status", 502, 200, FORMAT),
    ("1.0", {"statusCode": 200, "headers": {"a": True}}, "a", ["true"], ["True"], FORMAT),
    ("1.0", OBJECT, "status", 502, 200, MALFORMED),
    ("1.0", {}, "body", '{"message": "Internal server error"}', json.dumps({"message": ERROR}), LS),
    ("1.0", {}, "x-amzn-errortype", ["InternalServerErrorException"], ABSENT, LS),
    ("1.0", NO_BASE64, "status", 500, 200, "LS test_aws_proxy_binary_response"),
    (
        "1.0",
        {**TEXT, "headers": {"WWW-Authenticate": "Basic"}},
        "www-authenticate",
        ABSENT,
        ["Basic"],
        "serverless-offline 236",
    ),
    ("1.0", {**TEXT, "headers": {"Content-Length": "5"}}, "content-length", ["1"], ["5"], "published responses"),
    ("1.0", TEXT, "x-amz-apigw-id", ["own"], ABSENT, LS),
    ("1.0", TEXT, "x-amzn-trace-id", ["own"], ABSENT, LS),
    ("2.0", ["hello", 3, True], "body", '["hello",3,true]', '["hello", 3, true]', URL),
    ("2.0", {}, "status", 500, 502, "DOC http-api-troubleshooting-lambda"),
    ("2.0", {}, "body", '{"message":"Internal Server Error"}', ERROR, "DOC http-api-troubleshooting-lambda"),
    ("2.0", OBJECT, "status", 500, 200, "DOC http-api-troubleshooting-lambda"),
    ("2.0", NO_BASE64, "status", 500, 200, "DOC"),
    ("2.0", TEXT, "content-type", ["text/plain; charset=utf-8"], ["application/json"], AS_TEXT),
    ("2.0", {"statusCode": 204}, "content-type", ABSENT, ["application/json"], AS_TEXT),
    ("2.0", {**TEXT, "headers": {"Content-Length": "5"}}, "content-length", ["1"], ["5"], "Kludex/mangum"),
]


@pytest.fixture(scope="module")
def deployed(emulator):
    """{payload: (port, what stands before a path)} of both APIs in emulated AWS."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("handlers.py", HANDLERS)
    functions, rest, http = (emulator.client(name) for name in ("lambda", "apigateway", "apigatewayv2"))
    api = rest.create_rest_api(name="differences", binaryMediaTypes=["image/png"])["id"]
    root = rest.get_resources(restApiId=api)["items"][0]["id"]
    second = http.create_api(Name="differences", ProtocolType="HTTP")["ApiId"]
    for name in NAMES:
        arn = functions.create_function(
            FunctionName=f"differences-{name}",
            Runtime="python3.13",
            Role="arn:aws:iam::000000000000:role/any",
            Handler=f"handlers.{name}",
            Code={"ZipFile": archive.getvalue()},
        )["FunctionArn"]
        parent = rest.create_resource(restApiId=api, parentId=root, pathPart=name)["id"]
        method = {"restApiId": api, "httpMethod": "ANY"}
        method["resourceId"] = rest.create_resource(restApiId=api, parentId=parent, pathPart="{id}")["id"]
        rest.put_method(authorizationType="NONE", **method)
        uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"
        rest.put_integration(type="AWS_PROXY", integrationHttpMethod="POST", uri=uri, **method)
        integration = http.create_integration(
            ApiId=second, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
        )["IntegrationId"]
        http.create_route(ApiId=second, RouteKey=f"ANY /{name}/{{id}}", Target=f"integrations/{integration}")
    rest.create_deployment(restApiId=api, stageName="Prod")
    http.create_stage(ApiId=second, StageName="$default", AutoDeploy=True)
    port = urlsplit(emulator.url).port
    return {"1.0": (port, f"/_aws/execute-api/{api}/Prod"), "2.0": (port, f"/_aws/execute-api/{second}/$default")}


@pytest.fixture(scope="module")
def local(new_project, developer):
    project = new_project()
    (project / "template.yaml").write_text(TEMPLATE + "".join(FUNCTION.format(name=name) for name in NAMES))
    (project / "src" / "handlers.py").write_text(HANDLERS)
    running = Server(project, "processes", developer)
    yield {"1.0": (running.port, "/Prod"), "2.0": (running.port, "")}
    running.kill()


def ask(where, method, path, headers=(), body=None):
    """(status, {header in lower case: values}, body)"""
    port, base = where
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, base + path, skip_accept_encoding=True)
    for name, value in [*headers, *([] if body is None else [("Content-Length", str(len(body)))])]:
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    found = {name.lower(): answer.headers.get_all(name) for name in answer.headers}
    try:
        content = answer.read()
    except IncompleteRead as error:
        content = error.partial
    connection.close()
    return answer.status, found, content


def flat(value, path=""):
    if isinstance(value, dict) and value:
        return {key: one for name, inner in value.items() for key, one in flat(inner, f"{path}.{name}").items()}
    return {path[1:]: value}


def event(where, payload):
    """The event's fields by path, with what is each one's own replaced by its kind."""
    found = json.loads(ask(where[payload], "POST", TARGET, SENT, b"a=1")[2])
    headers = found["headers"]
    found["headers"] = {name.lower(): value for name, value in headers.items()}
    if payload == "1.0":
        lists = found.pop("multiValueHeaders")
        found["spelled"] = " ".join(sorted(headers))
        found.update({f"lists.{name}": values for name, values in lists.items() if values != [headers[name]]})
    port, api = str(where[payload][0]), found["requestContext"]["apiId"]

    def masked(value):
        if not isinstance(value, str):
            return value
        value = re.sub(r"^Root=1-.+", "TRACE", value.replace(f"127.0.0.1:{port}", "HOST").replace(api, "API"))
        return "PORT" if value == port else value

    return {path: "own" if OWN.fullmatch(path) else masked(value) for path, value in flat(found).items()}


@pytest.fixture(scope="module")
def events(deployed, local):
    """{payload: (AWS's event as ./run.sh makes it, ministack's)}"""
    return {payload: (event(local, payload), event(deployed, payload)) for payload in local}


@pytest.mark.parametrize(("payload", "path", "aws", "ministack", "source"), EVENTS, ids=lambda value: str(value)[:40])
def test_event_differs(events, payload, path, aws, ministack, source):
    ours, theirs = (found.get(path, ABSENT) for found in events[payload])

    assert (ours, theirs) == (aws, ministack), source


@pytest.mark.parametrize("payload", ["1.0", "2.0"])
def test_event_is_alike_where_no_difference_is_listed(events, payload):
    listed = {path for of, path, *_ in EVENTS if of == payload}
    ours, theirs = ({path: value for path, value in one.items() if path not in listed} for one in events[payload])

    assert ours == theirs


@pytest.mark.parametrize(
    ("payload", "returned", "what", "aws", "ministack", "source"), ANSWERS, ids=lambda value: str(value)[:40]
)
def test_answer_differs(deployed, local, payload, returned, what, aws, ministack, source):
    def got(where):
        headers = [("Content-Type", "application/json"), ("Accept", "image/png")]
        status, found, content = ask(where[payload], "POST", "/returns/7", headers, json.dumps(returned).encode())
        value = {"status": status, "body": content.decode("latin-1")}.get(what, found.get(what, ABSENT))
        return ["own"] if what in ("x-amz-apigw-id", "x-amzn-trace-id") and value != ABSENT else value

    assert (got(local), got(deployed)) == (aws, ministack), source
