"""Lambda's Invoke API in front of real environments, its responses read by the SDK's own parser."""

import asyncio
import base64
import io
import json
import time
from dataclasses import replace

import botocore.session
import pytest
from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser

from local import invoke_api
from local.engine import Function
from local.gateway.model import Request
from local.pool import Pool

ARN = "arn:aws:lambda:us-east-1:012345678912:function:my-function"
INVOKE = botocore.session.Session().get_service_model("lambda").operation_model("Invoke").output_shape
HANDLER = """
def handler(event, context):
    if event == "fail":
        raise ValueError("why")
    print("printed", event if len(event) > 4096 else "")
    custom = context.client_context and context.client_context.custom
    return [event, custom, context.tenant_id, context.aws_request_id]
"""


@pytest.fixture
def ask(tmp_path, capfd):
    """Sends one request; returns the response, and what the SDK makes of it."""
    (tmp_path / "app.py").write_text(HANDLER)
    function = Function("MyFunction", "my-function", ARN, "app.handler", "python3.13", str(tmp_path), 10, 256)
    tenants = replace(function, name="Tenants", tenants=True)
    functions = {"MyFunction": function, "my-function": function, "Tenants": tenants}

    def asked(body=b"", name="MyFunction", query="", method="POST", path=None, settle=0, **headers):
        async def main():
            pool = Pool(io.BytesIO())
            target = (path or f"/2015-03-31/functions/{name}/invocations") + query
            sent = tuple((name.replace("_", "-"), value) for name, value in headers.items())
            request = Request(method, target, sent, body, "the-id", "e", "Root=1-a", time.time())
            try:
                response = await invoke_api.answer(request, functions, pool)
                await asyncio.sleep(settle)
            finally:
                await pool.close()
            return response

        response = asyncio.run(main())
        found = {"status_code": response.status, "headers": HeadersDict(response.headers), "body": response.body}
        if response.status >= 300:
            return response, create_parser("rest-json").parse(found, INVOKE)["Error"]["Code"]
        found["body"] = io.BytesIO(response.body)
        return response, create_parser("rest-json").parse(found, INVOKE)

    asked.terminal = lambda: capfd.readouterr().err
    return asked


NAMES = ["MyFunction", "my-function", ARN, ARN.replace(":", "%3A"), "my-function:$LATEST", f"{ARN}:$LATEST"]


@pytest.mark.parametrize("name", [*NAMES, "012345678912:function:my-function"])
def test_answer_is_the_functions(ask, name):
    response, parsed = ask(b'{"a": 1}', name)

    assert (response.status, json.loads(response.body)) == (200, [{"a": 1}, None, None, "the-id"])
    assert parsed["ExecutedVersion"] == "$LATEST" and "FunctionError" not in parsed and "LogResult" not in parsed
    assert dict(response.headers)["x-amzn-RequestId"] == "the-id"


def test_tenant_is_needed_where_the_function_has_tenants_and_refused_elsewhere(ask):
    """As SAM CLI words it after Lambda, in samcli/commands/local/lib/local_lambda.py."""
    assert ask(name="Tenants")[1] == "InvalidParameterValueException"
    assert ask(X_Amz_Tenant_Id="one")[1] == "InvalidParameterValueException"


def test_options_reach_the_function(ask):
    context = base64.b64encode(b'{"custom": {"b": 2}}').decode()

    response, parsed = ask(
        name="Tenants",
        query="?Qualifier=%24LATEST",
        X_Amz_Client_Context=context,
        X_Amz_Tenant_Id="one",
        X_Amz_Log_Type="Tail",
    )

    assert json.loads(response.body) == [{}, {"b": 2}, "one", "the-id"]
    log = base64.b64decode(parsed["LogResult"]).decode()
    assert log.startswith("START RequestId: the-id Version: $LATEST\nprinted \nEND RequestId: the-id\nREPORT ")


def test_error_of_the_function_is_marked(ask):
    response, parsed = ask(b'"fail"', X_Amz_Log_Type="Tail")

    assert (response.status, parsed["FunctionError"], parsed["ExecutedVersion"]) == (200, "Unhandled", "$LATEST")
    assert json.loads(response.body)["errorMessage"] == "why"
    assert b"ValueError: why" in base64.b64decode(parsed["LogResult"])


def test_log_that_is_answered_is_the_last_4_kb(ask):
    _, parsed = ask(b'"' + b"x" * 5000 + b'"', X_Amz_Log_Type="Tail", query="?Qualifier=$LATEST")

    log = base64.b64decode(parsed["LogResult"])
    assert len(log) == 4096 and b"START" not in log and b"\nEND RequestId: the-id\nREPORT " in log


@pytest.mark.parametrize(
    "asked", [dict(body=b'"fail"'), dict(), dict(name="my-function:$LATEST", X_Amz_Log_Type="Tail")]
)
def test_dry_run_runs_nothing(ask, asked):
    response, _ = ask(**asked, X_Amz_Invocation_Type="DryRun")

    assert (response.status, response.body) == (204, b"")
    assert dict(response.headers)["x-amzn-RequestId"] == "the-id"
    assert ask.terminal() == ""


def test_event_is_accepted_and_its_failure_told(ask):
    response, parsed = ask(b'"fail"', X_Amz_Invocation_Type="Event", settle=2)

    assert (response.status, response.body) == (202, b"")
    assert "Event for MyFunction failed: ValueError" in ask.terminal()


REFUSED = [  # what is asked, status, code that the SDK raises, a part of the body (LocalStack's recordings)
    (dict(name="doesnotexist"), 404, "ResourceNotFoundException", f"{ARN[:-11]}doesnotexist:$LATEST"),
    (dict(query="?Qualifier=live"), 404, "ResourceNotFoundException", "function:MyFunction:live"),
    (dict(name="my-function:1"), 404, "ResourceNotFoundException", f"{ARN}:1"),
    (dict(body=b"{"), 400, "InvalidRequestContentException", "Could not parse request body into json"),
    (dict(body=b"\x99\xeb"), 400, "InvalidRequestContentException", "Could not parse payload into json"),
    (dict(body=b"NaN"), 400, "InvalidRequestContentException", "Could not parse payload into json"),
    (dict(X_Amz_Client_Context="{}"), 400, "InvalidRequestContentException", "Client context must be a valid Base64"),
    (dict(body=b'"%s"' % (b"x" * 6291455)), 413, "RequestTooLargeException", "6291457 byte payload is too large"),
    (dict(body=b'"%s"' % (b"x" * 2**20), X_Amz_Invocation_Type="Event"), 413, "RequestTooLargeException", "1048576"),
    (dict(X_Amz_Invocation_Type="Later"), 400, "InvalidParameterValueException", "'Later' at 'invocationType'"),
    (dict(X_Amz_Log_Type="All"), 400, "InvalidParameterValueException", "'All' at 'logType'"),
    (dict(name="doesnotexist", X_Amz_Invocation_Type="DryRun"), 404, "ResourceNotFoundException", "doesnotexist"),
    (dict(body=b"}", X_Amz_Invocation_Type="DryRun"), 400, "InvalidRequestContentException", "Could not parse"),
    (dict(body=b"{", X_Amz_Invocation_Type="Event"), 400, "InvalidRequestContentException", "Could not parse"),
    (dict(X_Amz_Client_Context="bm8gSlNPTg=="), 400, "InvalidRequestContentException", "Client context must be"),
    (dict(method="GET"), 404, "UnknownOperationException", "GET"),
    (dict(path="/2015-03-31/functions/"), 404, "UnknownOperationException", "POST"),
]


@pytest.mark.parametrize(
    "asked, status, code, told", REFUSED, ids=[f"{code} {told[:20]}" for _, _, code, told in REFUSED]
)
def test_refusal_is_the_exception_that_sdks_raise(ask, asked, status, code, told):
    response, raised = ask(**asked)

    assert (response.status, raised) == (status, code)
    body = json.loads(response.body)
    assert told in (body.get("message") or body["Message"])


def test_event_of_exactly_6_mb_is_taken(ask):
    response, _ = ask(b'"%s"' % (b"x" * (6291456 - 2)))

    assert response.status == 200


def test_reason_why_a_function_cannot_run_is_told(ask, tmp_path):
    (tmp_path / "requirements.txt").write_text("x @ file:///no/such/file.whl\n")

    response, raised = ask()

    assert (response.status, raised) == (500, "ServiceException")
    assert "MyFunction cannot run" in ask.terminal()
