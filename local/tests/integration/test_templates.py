"""Templates as people publish them: what cannot run here is named in a line at the start, and the rest is served."""

import json
import re
import shlex
import subprocess

import pytest
from server import Server, only_processes, run

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.13, CodeUri: src/, Handler: app.handler, Timeout: 5}
Resources:
  Keyed:
    Type: AWS::Serverless::Api
    Properties: {StageName: Prod, Auth: {ApiKeyRequired: true}}
  Http:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        DefaultAuthorizer: Token
        Authorizers:
          Token: {JwtConfiguration: {issuer: https://example.com, audience: [a]}}
          Gone:
            FunctionArn: arn:aws:lambda:us-east-1:123456789012:function:gone
            AuthorizerPayloadFormatVersion: "2.0"
            EnableSimpleResponses: true
            Identity: {Headers: [Authorization]}
  Socket: {Type: AWS::Serverless::WebSocketApi, Properties: {RouteSelectionExpression: $request.body.action}}
  Old:
    Type: AWS::Serverless::Function
    Properties: {Runtime: python3.8, Events: {Get: {Type: HttpApi, Properties: {ApiId: !Ref Http, Path: /old}}}}
  Alone: {Type: AWS::Serverless::Function, Properties: {}}
  Url: {Type: AWS::Serverless::Function, Properties: {FunctionUrlConfig: {AuthType: NONE}}}
  Orders:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: orders
      Layers: ["arn:aws:lambda:us-east-1:017000801446:layer:Powertools:18"]
      Events:
        Key: {Type: Api, Properties: {RestApiId: !Ref Keyed, Path: /key, Method: get}}
        Default: {Type: HttpApi, Properties: {ApiId: !Ref Http}}
        Guarded: {Type: HttpApi, Properties: {ApiId: !Ref Http, Path: /guarded, Method: get, Auth: {Authorizer: Gone}}}
"""
HANDLER = r"""
import json, os

at_init = os.environ.get("_X_AMZN_TRACE_ID")

def handler(event, context):
    print("without a newline", end="")
    names = [context.function_name, os.environ["AWS_LAMBDA_FUNCTION_NAME"], context.log_group_name]
    trace = [at_init, os.environ["_X_AMZN_TRACE_ID"], event["headers"].get("X-Amzn-Trace-Id")]
    body = json.dumps({"names": [*names, context.invoked_function_arn], "trace": trace})
    return {"statusCode": 200, "headers": {"X-Name": "Gr\u00fc\u00dfe"}, "body": body}
"""

engine = only_processes


@pytest.fixture(scope="module")
def shared(engine, new_project, developer):
    project = new_project()
    (project / "template.yaml").write_text(TEMPLATE)
    (project / "src" / "app.py").write_text(HANDLER)
    running = Server(project, engine, developer, "--api-key", "mine", "--api-key", "yours", "--region", "eu-west-1")
    running.start = running.terminal
    yield running
    running.kill()


def curl(server):
    """What the start proposes, run."""
    (line,) = [line for line in server.start.splitlines() if line.startswith("Try it: ")]
    return subprocess.run(shlex.split(line.removeprefix("Try it: ")), capture_output=True, check=True).stdout


def test_start_names_what_does_not_run_or_is_not_checked(server):
    for line in (
        "Socket is a WebSocket API, which does not run here",
        "Old has the runtime python3.8 and needs a container engine",
        "Orders without the layer arn:aws:lambda:us-east-1:017000801446:layer:Powertools:18: only a container engine",
        "the JWT authorizer Token is not checked here, every caller is let through: ANY /old, ANY $default",
        "the header X-Api-Key is required, any key unless --api-key is given: GET /key",
        "Without a route: Alone, Url; to run one: ./run.sh invoke Alone\n",
        f"ANY     http://127.0.0.1:{server.port} ($default)",
    ):
        assert line in server.start


def test_curl_of_the_start_asks_the_default_route(server):
    assert f"Try it: curl http://127.0.0.1:{server.port}/\n" in server.start
    assert json.loads(curl(server))["names"][0] == "orders"


def test_api_key_counts_if_an_option_names_it(server):
    for key, status in ((None, 403), ("other", 403), ("mine", 200), ("yours", 200)):
        answer = server.ask("/key", headers={"X-Api-Key": key} if key else {})
        assert answer.status == status
        assert status == 200 or answer.body == {"message": "Forbidden"}


def test_authorizer_without_a_function_is_said_and_answers_500(server):
    assert server.get("/guarded", headers={"Authorization": "any"}) == (500, {"message": "Internal Server Error"})
    assert server.says("the authorizer Gone leads to gone, which is not a function of the template")


def test_names_are_the_templates_and_the_region_the_environments(server):
    answer = server.ask("/key", headers={"X-Api-Key": "mine"})

    arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
    assert answer.body["names"] == ["orders", "orders", "/aws/lambda/orders", arn]


@pytest.mark.parametrize(
    "sent, sampled", [(None, "0"), (";Sampled=1", "1"), (";Parent=53995c3f42cd8ad8;Sampled=0", "0")]
)
def test_trace_id_has_the_callers_root_and_a_parent(server, sent, sampled):
    """As aws-lambda-dotnet's ApiGatewayResponseTestCases have seen it on AWS; none at init, as LocalStack recorded."""
    root = "Root=1-5759e988-bd862e3fe1be46a994272793"
    given = {"X-Amzn-Trace-Id": root + sent} if sent else {}

    answer = server.ask("/key", headers={"X-Api-Key": "mine", **given})

    at_init, in_handler, header = answer.body["trace"]
    form = r"(Root=1-[0-9a-f]{8}-[0-9a-f]{24});Parent=[0-9a-f]{16};Sampled=([01]);Lineage=1:[0-9a-f]{8}:0"
    found = re.fullmatch(form, in_handler)
    assert at_init is None and found[2] == sampled and found[1] == (root if sent else header)
    assert header == given.get("X-Amzn-Trace-Id", header)
    assert answer.headers["X-Amzn-Trace-Id"] == in_handler


def test_header_beyond_ascii_is_sent_as_iso_8859_1(server):
    """http.client reads headers in this way, as RFC 9110, 5.5, says; AWS documents nothing else."""
    assert server.ask("/key", headers={"X-Api-Key": "mine"}).headers["X-Name"] == "Gr\u00fc\u00dfe"


def test_line_of_the_terminal_stands_alone(server):
    server.ask("/key", headers={"X-Api-Key": "mine"})

    assert server.says("GET /key 200")
    assert "without a newline\n" in server.terminal


def test_curl_of_the_start_has_an_api_key_and_options_are_checked(project, developer):
    """For an API that requires a key everywhere; --api-key applies to the API."""
    template = TEMPLATE.replace("        Default: {Type: HttpApi, Properties: {ApiId: !Ref Http}}\n", "")
    (project / "template.yaml").write_text(template.replace("Get: {Type: HttpApi", "Get: {Type: Other"))
    (project / "src" / "app.py").write_text(HANDLER)
    refused = run(project, "processes", developer, "invoke", "--api-key", "mine")
    assert refused.returncode == 1
    assert refused.stderr.decode().endswith("run.sh: --api-key is for requests to the API; run it without invoke\n")

    running = Server(project, "processes", developer)
    try:
        running.start = running.terminal
        assert f"Try it: curl --header 'X-Api-Key: any' http://127.0.0.1:{running.port}/key" in running.start
        assert json.loads(curl(running))["names"][0] == "orders"
    finally:
        running.kill()


def test_template_without_an_api_names_what_can_be_invoked(project, developer):
    (project / "template.yaml").write_text(
        TEMPLATE.replace("{Type: HttpApi", "{Type: SQS").replace("{Type: Api", "{Type: S3")
    )
    done = run(project, "processes", developer)

    assert done.returncode == 1
    expected = "has no API that runs here; run a function without one:\n  ./run.sh invoke Old\n  ./run.sh invoke Alone"
    assert "Socket is a WebSocket API" in done.stderr.decode() and expected in done.stderr.decode()


CIRCLES = {
    "the condition A depends on itself": "Conditions: {A: !Condition B, B: !Condition A}\n",
    "values refer to each other in a circle": """
  One: {Type: AWS::SQS::Queue, Properties: {QueueName: !GetAtt Two.QueueName}}
  Two: {Type: AWS::SQS::Queue, Properties: {QueueName: !GetAtt One.QueueName}}
""",
}


@pytest.mark.parametrize("told", CIRCLES)
def test_circle_is_one_line(project, developer, told):
    template = project / "template.yaml"
    text = template.read_text()
    more = CIRCLES[told]
    used = (
        "          MESSAGE: !If [A, a, b]\n" if "Conditions" in more else "          MESSAGE: !GetAtt One.QueueName\n"
    )
    text = re.sub(r" +MESSAGE:.*\n", used, text)
    template.write_text(more + text if "Conditions" in more else text.replace("\nResources:\n", f"\nResources:{more}"))

    done = run(project, "processes", developer, "--port", "0")

    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().splitlines()[-1] == f"Error: template.yaml: {told}"
    assert b"Traceback" not in done.stderr
