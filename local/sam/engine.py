"""The container engine of this machine."""

import contextlib
import ipaddress
import time

from samcli.local.docker.container_client_factory import ContainerClientFactory


def container_engine():
    """The name of the container engine that answers, or None."""
    try:
        client = ContainerClientFactory.create_client()
    except Exception:  # each engine's client has its own; whatever it is, no engine answers
        return None
    return type(client).__name__.removesuffix("ContainerClient")


def remove_containers(label, again):
    """Removes the containers with the label (NAME=VALUE), running or not.

    `again`: the seconds after which it looks once more, for one that had just been asked for.
    """
    for pause in (0, again):
        time.sleep(pause)
        with contextlib.suppress(Exception):  # the engine has gone, whichever's client it is
            for container in ContainerClientFactory.create_client().containers.list(all=True, filters={"label": label}):
                with contextlib.suppress(Exception):  # gone, or going
                    container.remove(force=True)


def bridge():
    """The address of this machine in the network that containers are in by default, or None where there is none."""
    client = ContainerClientFactory.create_client()
    try:
        (network,) = client.networks.get("bridge").attrs["IPAM"]["Config"]
    except Exception:  # another engine
        return None
    first = next(ipaddress.ip_network(network["Subnet"]).hosts())
    return network.get("Gateway") or str(first)
