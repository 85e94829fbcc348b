"""The container engine of this machine."""

import contextlib
import ipaddress
import time

from samcli.local.docker.container_client_factory import ContainerClientFactory


def container_engine():
    """The name of the container engine that answers, or None."""
    try:
        client = ContainerClientFactory.create_client()
    except Exception:  # each engine's client raises its own; in any case no engine answers
        return None
    return type(client).__name__.removesuffix("ContainerClient")


def remove_containers(label, again):
    """Removes the containers with the label (NAME=VALUE), running or not.

    `again`: seconds after which it looks once more, for a container whose creation had just been requested.
    """
    for pause in (0, again):
        time.sleep(pause)
        with contextlib.suppress(Exception):  # the engine is gone, whichever client it is
            for container in ContainerClientFactory.create_client().containers.list(all=True, filters={"label": label}):
                with contextlib.suppress(Exception):  # removed, or being removed
                    container.remove(force=True)


def bridge():
    """This machine's address in the network that containers join by default, or None."""
    client = ContainerClientFactory.create_client()
    try:
        (network,) = client.networks.get("bridge").attrs["IPAM"]["Config"]
    except Exception:  # another engine
        return None
    first = next(ipaddress.ip_network(network["Subnet"]).hosts())
    return network.get("Gateway") or str(first)
