"""Where the server listens."""

import socket
from urllib.parse import urlsplit

import pytest

from local.server import CannotListen, Server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_url_leads_to_the_server(host):
    server = Server(host, 0)

    url = urlsplit(server.url)

    socket.create_connection((url.hostname, url.port), timeout=5).close()
    server._socket.close()


def test_port_that_does_not_exist_is_refused_and_no_other_taken():
    """The C library takes 65536 more for the same port."""
    with pytest.raises(CannotListen, match="^port 99999 does not exist; "):
        Server("127.0.0.1", 99999)
