"""Where the server listens."""

import socket
from urllib.parse import urlsplit

import pytest

from local.server import Server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_url_leads_to_the_server(host):
    server = Server(host, 0)

    url = urlsplit(server.url)

    socket.create_connection((url.hostname, url.port), timeout=5).close()
    server._socket.close()
