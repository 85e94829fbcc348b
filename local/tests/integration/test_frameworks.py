"""Frameworks that people put behind API Gateway, from PyPI and unchanged, served by ./run.sh to a client from PyPI.

Each offers the same small site behind a REST API (payload 1.0) and an HTTP API (payload 2.0).
"""

import base64

import pytest
import requests
from server import Server, only_processes

REQUIREMENTS = """
# The adapter between WSGI and both payloads.
apig-wsgi==2.20.0
# AWS's own event handler and data classes.
aws-lambda-powertools==3.37.0
# Behind Mangum, the adapter between ASGI and both payloads.
fastapi==0.165.0
mangum==0.22.0
# Behind apig-wsgi.
flask==3.1.3
# FastAPI reads forms with it.
python-multipart==0.0.34
"""

POWERTOOLS = """
from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.params import File, Form, Query, UploadFile
from aws_lambda_powertools.event_handler.router import Router
from aws_lambda_powertools.shared.cookies import Cookie

site = Router()

@site.get("/items/<id>")
def item(id: str, tag: Annotated[list[str], Query()]):
    return {"id": id, "tags": tag, "agent": site.current_event.headers["USER-AGENT"]}

@site.post("/session")
def enter():
    cookies = [Cookie(name, value, secure=False) for name, value in (("user", "ada"), ("theme", "dark"))]
    return Response(200, "text/plain", "in", cookies=cookies)

@site.get("/session")
def session():
    return site.current_event.resolved_cookies_field

@site.post("/files")
def store(title: Annotated[str, Form()], file: Annotated[UploadFile, File()]):
    return {"title": title, "name": file.filename, "type": file.content_type, "content": file.content.hex()}

@site.get("/image")
def image():
    return Response(200, "image/png", bytes(range(256)))

@site.delete("/items/<id>")
def delete(id: str):
    return Response(204)

@site.get("/missing")
def missing():
    raise NotFoundError("nothing here")

@site.get("/broken")
def broken():
    raise ValueError("powertools is broken")

def resolving(resolver):
    app = resolver(strip_prefixes=["/powertools"], enable_validation=True)
    app.include_router(site)
    return app.resolve

rest, http = resolving(APIGatewayRestResolver), resolving(APIGatewayHttpResolver)
"""

CLASSES = """
import json

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent, APIGatewayProxyEventV2, event_source

@event_source(data_class=APIGatewayProxyEvent)
def rest(event, context):
    identity, tags = event.request_context.identity, event.multi_value_query_string_parameters["tag"]
    return described(event, identity.source_ip, identity.user_agent, event.multi_value_headers["X-TWICE"], tags)

@event_source(data_class=APIGatewayProxyEventV2)
def http(event, context):
    http, tags = event.request_context.http, event.query_string_parameters["tag"].split(",")
    return described(event, http.source_ip, http.user_agent, [event.headers["X-TWICE"]], tags)

def described(event, source, agent, twice, tags):
    context = event.request_context
    keys = context.api_id, context.account_id, context.request_id, context.domain_name
    body = [event.http_method, event.path, event.path_parameters, context.stage, source, agent, twice, tags]
    return {"statusCode": 200, "body": json.dumps([*body, all(keys), event.json_body])}
"""

FASTAPI = """
from typing import Annotated

from fastapi import APIRouter, FastAPI, Form, Header, HTTPException, Query, Request, Response, UploadFile
from mangum import Mangum

site = APIRouter(prefix="/fastapi")

@site.get("/items/{id}")
def item(id: str, tag: Annotated[list[str], Query()], user_agent: Annotated[str, Header()]):
    return {"id": id, "tags": tag, "agent": user_agent}

@site.post("/session")
def enter(response: Response):
    response.set_cookie("user", "ada", httponly=True)
    response.set_cookie("theme", "dark")
    return "in"

@site.get("/session")
def session(request: Request):
    return request.cookies

@site.post("/files")
async def store(title: Annotated[str, Form()], file: UploadFile):
    content = (await file.read()).hex()
    return {"title": title, "name": file.filename, "type": file.content_type, "content": content}

@site.get("/image")
def image():
    return Response(bytes(range(256)), media_type="image/png")

@site.delete("/items/{id}")
def delete(id: str):
    return Response(status_code=204)

@site.get("/missing")
def missing():
    raise HTTPException(404, "nothing here")

@site.get("/broken")
def broken():
    raise ValueError("fastapi is broken")

app = FastAPI()
app.include_router(site)
handler = Mangum(app)
"""

FLASK = """
from apig_wsgi import make_lambda_handler
from flask import Blueprint, Flask, Response, abort, request

site = Blueprint("site", __name__, url_prefix="/flask")

@site.get("/items/<id>")
def item(id):
    return {"id": id, "tags": request.args.getlist("tag"), "agent": request.headers["User-Agent"]}

@site.post("/session")
def enter():
    response = Response("in")
    response.set_cookie("user", "ada", httponly=True)
    response.set_cookie("theme", "dark")
    return response

@site.get("/session")
def session():
    return request.cookies

@site.post("/files")
def store():
    file = request.files["file"]
    content = file.read().hex()
    return {"title": request.form["title"], "name": file.filename, "type": file.mimetype, "content": content}

@site.get("/image")
def image():
    return Response(bytes(range(256)), mimetype="image/png")

@site.delete("/items/<id>")
def delete(id):
    return "", 204

@site.get("/missing")
def missing():
    abort(404, "nothing here")

@site.get("/broken")
def broken():
    raise ValueError("flask is broken")

app = Flask(__name__)
app.register_blueprint(site)
handler = make_lambda_handler(app, binary_support=True)
"""

FUNCTION = """
  {name}:
    Type: AWS::Serverless::Function
    Properties:
      Handler: {handler}
      Events:"""
EVENT = """
        {type}: {{Type: {type}, Properties: {{{key}: !Ref {api}, Path: "/{path}/{{proxy+}}", Method: ANY}}}}"""
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.13, CodeUri: src/, Timeout: 20, MemorySize: 512}
Resources:
  Http: {Type: AWS::Serverless::HttpApi}
  Live: {Type: AWS::Serverless::HttpApi, Properties: {StageName: live}}
  Rest:
    Type: AWS::Serverless::Api
    Properties: {StageName: rest, BinaryMediaTypes: [image~1png, multipart~1form-data]}
"""
# {path: (handler, the APIs that lead to it)}
SERVED = {
    "powertools": {"powertools.rest": ["Rest"], "powertools.http": ["Live"]},
    "classes": {"classes.rest": ["Rest"], "classes.http": ["Live"]},
    "fastapi": {"fast.handler": ["Rest", "Http"]},
    "flask": {"flasks.handler": ["Rest", "Http"]},
}
SITES = ["/rest/powertools", "/live/powertools", "/rest/fastapi", "/fastapi", "/rest/flask", "/flask"]
BYTES = bytes(range(256))


def template():
    text = TEMPLATE
    for path, handlers in SERVED.items():
        for handler, apis in handlers.items():
            text += FUNCTION.format(name=handler.replace(".", ""), handler=handler)
            for api in apis:
                kind, key = ("Api", "RestApiId") if api == "Rest" else ("HttpApi", "ApiId")
                text += EVENT.format(type=kind, key=key, api=api, path=path)
    return text


engine = only_processes


@pytest.fixture(scope="module")
def shared(engine, new_project, developer):
    project = new_project()
    (project / "template.yaml").write_text(template())
    (project / "src" / "requirements.txt").write_text(REQUIREMENTS)
    (project / "src" / "powertools.py").write_text(POWERTOOLS)
    (project / "src" / "classes.py").write_text(CLASSES)
    (project / "src" / "fast.py").write_text(FASTAPI)
    (project / "src" / "flasks.py").write_text(FLASK)
    running = Server(project, engine, developer)
    yield running
    running.kill()


@pytest.fixture
def ask(server):
    """Sends a request, with the cookies that came before it."""
    with requests.Session() as session:

        def asked(method, path, **more):
            return session.request(method, f"http://127.0.0.1:{server.port}{path}", timeout=30, **more)

        yield asked


@pytest.fixture(params=SITES)
def base(request):
    return request.param


def test_nothing_of_a_framework_is_remarked(ask, server, base):
    """The first test, since a remark is said once."""
    ask("GET", f"{base}/items/7?tag=a")
    ask("POST", f"{base}/session")
    ask("GET", f"{base}/image", headers={"Accept": "image/png"})

    remarks = [line for line in server.terminal.splitlines() if " 200 " not in line and not line.startswith("==>")]
    assert remarks == []


def test_path_and_repeated_query_reach_the_route(ask, base):
    answer = ask("GET", f"{base}/items/a%20b", params=[("tag", "c d"), ("tag", "e&f"), ("tag", ""), ("tag", "ü")])

    # A REST API's path is as it was sent; FastAPI and Flask decode it, and powertools does not.
    id = "a%20b" if base == "/rest/powertools" else "a b"
    assert answer.status_code == 200
    assert answer.json() == {"id": id, "tags": ["c d", "e&f", "", "ü"], "agent": requests.utils.default_user_agent()}


def test_cookies_go_out_and_come_back(ask, base):
    answer = ask("POST", f"{base}/session")

    assert (answer.status_code, answer.cookies.get_dict()) == (200, {"user": "ada", "theme": "dark"})
    assert len(answer.raw.headers.getlist("Set-Cookie")) == 2
    assert ask("GET", f"{base}/session").json() == {"user": "ada", "theme": "dark"}


def test_upload_arrives_as_it_was_sent(ask, base):
    answer = ask("POST", f"{base}/files", data={"title": "Größe"}, files={"file": ("dot.png", BYTES, "image/png")})

    assert answer.status_code == 200
    assert answer.json() == {"title": "Größe", "name": "dot.png", "type": "image/png", "content": BYTES.hex()}


def test_binary_download_arrives_as_it_was_sent(ask, base):
    answer = ask("GET", f"{base}/image", headers={"Accept": "image/png"})

    assert (answer.status_code, answer.headers["Content-Type"], answer.content) == (200, "image/png", BYTES)


def test_client_that_takes_anything_gets_base64_of_a_rest_api(ask, server, base):
    content = ask("GET", f"{base}/image").content

    assert content == (base64.b64encode(BYTES) if base.startswith("/rest/") else BYTES)
    assert ("isBase64Encoded is ignored" in server.terminal) == base.startswith("/rest/")


def test_answer_without_a_body_has_none(ask, base):
    answer = ask("DELETE", f"{base}/items/7")

    assert (answer.status_code, answer.content, answer.headers.get("Content-Type")) == (204, b"", None)


def test_errors_are_the_frameworks_own(ask, server, base):
    missing, unknown, broken = (ask("GET", f"{base}/{name}") for name in ("missing", "unknown", "broken"))

    assert (missing.status_code, unknown.status_code) == (404, 404)
    assert "nothing here" in missing.text
    if "powertools" in base:  # it leaves the exception to Lambda
        assert broken.status_code == (502 if base.startswith("/rest/") else 500)
        assert broken.json().keys() == {"message"}
    else:
        assert (broken.status_code, "Internal Server Error" in broken.text) == (500, True)
    assert "is broken" in server.terminal
    assert ask("GET", f"{base}/session").status_code == 200


@pytest.mark.parametrize("base", ["/rest/classes", "/live/classes"])
def test_data_classes_find_what_they_name(ask, base):
    answer = ask("PUT", f"{base}/a/b?tag=1&tag=2", json={"c": "ü"}, headers={"X-Twice": "one, two"})

    path, agent = f"/{base.rpartition('/')[2]}/a/b", requests.utils.default_user_agent()
    expected = ["PUT", path, {"proxy": "a/b"}, base.split("/")[1], "127.0.0.1", agent]
    assert answer.json() == [*expected, ["one, two"], ["1", "2"], True, {"c": "ü"}]
