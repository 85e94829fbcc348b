"""A package index with one package, "halfway": while it is `broken`, the network fails in the middle of it."""

import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WHEEL = "halfway-1.0-py3-none-any.whl"
METADATA = "Metadata-Version: 2.1\nName: halfway\nVersion: 1.0\n"


class Index:
    """Serves at `url` until it is closed, for UV_INDEX."""

    def __init__(self):
        self.broken = True
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as wheel:
            wheel.writestr("halfway.py", "#" * 99_999)
            wheel.writestr("halfway-1.0.dist-info/METADATA", METADATA)
            wheel.writestr("halfway-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr("halfway-1.0.dist-info/RECORD", "")
        link = f'<a href="/{WHEEL}" data-dist-info-metadata="true">{WHEEL}</a>'
        contents = {
            "/halfway/": (link.encode(), "text/html"),
            f"/{WHEEL}.metadata": (METADATA.encode(), "text/plain"),
            f"/{WHEEL}": (packed.getvalue(), "application/zip"),
        }
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                content, kind = contents.get(self.path, (b"", ""))
                self.send_response(200 if content else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // (2 if index.broken and kind == "application/zip" else 1)])

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
