"""A browser as a client: the URL opened in it, and a page from another origin that requests the answer."""

import html
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from server import only_processes

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=5000", "--dump-dom"),
]

pytestmark = pytest.mark.skipif(not BROWSER, reason="no chromium or google-chrome on PATH")
engine = only_processes


@pytest.fixture
def see(new_machine, tmp_path):
    """Opens a URL in the browser, with an empty profile, and returns the text of the page."""

    def text(url):
        done = subprocess.run(
            [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", url],
            env=new_machine,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        body = re.search(r"<body.*?>(.*)</body>", done.stdout, re.DOTALL)
        assert body, done.stderr
        return html.unescape(re.sub(r"<script.*?</script>|<[^>]+>", "", body[1], flags=re.DOTALL)).strip()

    return text


@pytest.fixture
def page():
    """Makes a page, with its own origin, that fetches a URL and shows what it can read."""
    servers = []

    def serve(url):
        script = f"fetch('{url}').then(a => a.text()).catch(String).then(t => document.body.append(t))"
        content = f"<!DOCTYPE html><title>Another origin</title><body><script>{script}</script>".encode()

        class Page(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Page))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_browser_shows_answer(serve, see):
    assert see(serve().url).startswith('{"message": "Hello from Lambda"}')


def test_page_of_another_origin_reads_answer_only_with_cors(serve, see, page):
    server = serve()
    other = page(server.url)

    assert see(other) == "TypeError: Failed to fetch"

    server.replace("template.yaml", "    OpenApiVersion: 3.0.1\n", "    OpenApiVersion: 3.0.1\n    Cors: \"'*'\"\n")
    server.replace("src/lambda.py", '"application/json"}', '"application/json", "Access-Control-Allow-Origin": "*"}')

    assert see(other) == '{"message": "Hello from Lambda"}'
