"""./run.sh --debug-port: an editor attaches before any request, breaks on the next one, and again after a save."""

import json
import socket
import threading
import time
from urllib.request import urlopen

from ports import free_port


class Editor:
    """A client of the Debug Adapter Protocol, like an editor: https://microsoft.github.io/debug-adapter-protocol"""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._stream = self._socket.makefile("rb")
        self._number = 0

    def attach(self, file, line, remote):
        self.send("initialize", adapterID="test", pathFormat="path")
        mappings = [{"localRoot": str(file.parent), "remoteRoot": remote}]
        self.send("attach", justMyCode=False, pathMappings=mappings)
        self.wait("initialized")
        self.send("setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line}])
        self.send("configurationDone")
        return self

    def send(self, command, **arguments):
        self._number += 1
        body = json.dumps({"seq": self._number, "type": "request", "command": command, "arguments": arguments}).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def wait(self, event):
        while header := self._stream.readline():
            self._stream.readline()
            message = json.loads(self._stream.read(int(header.split(b":")[1])))
            if message.get("event") == event:
                return message.get("body")
        raise ConnectionError("the debugger hung up")

    def close(self):
        self._stream.close()
        self._socket.close()


def attached(port, *arguments):
    """An Editor that has attached; it tries as often as a person would."""
    for _ in range(300):
        try:
            return Editor(port).attach(*arguments)
        except OSError:
            time.sleep(0.2)
    raise AssertionError("nobody listens for the editor")


def test_editor_attaches_and_breaks_and_again_after_a_save(serve):
    debug_port = free_port()
    server = serve("--debug-port", str(debug_port))
    handler = server.project / "src" / "lambda.py"
    line = next(n for n, text in enumerate(handler.read_text().splitlines(), 1) if "return {" in text)
    remote = "/var/task" if server.engine == "containers" else str(handler.parent)

    for message in ("Hello from Lambda", "edited"):
        answers = []
        editor = attached(debug_port, handler, line, remote)
        time.sleep(0.5)
        asking = threading.Thread(target=lambda answers=answers: answers.append(urlopen(server.url).read()))
        asking.start()
        stopped = editor.wait("stopped")
        assert stopped["reason"] == "breakpoint"
        time.sleep(2)  # meanwhile the template's timeouts do not apply
        assert answers == []
        editor.send("continue", threadId=stopped["threadId"])
        asking.join(20)
        assert json.loads(answers[0]) == {"message": message}
        editor.close()
        handler.write_text(handler.read_text().replace('os.environ["MESSAGE"]', '"edited"'))
        time.sleep(1)
