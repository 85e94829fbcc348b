"""The container engine of this machine."""

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
    client = ContainerClientFactory.create_client()
    for pause in (0, again):
        time.sleep(pause)
        for container in client.containers.list(all=True, filters={"label": label}):
            try:
                container.remove(force=True)
            except Exception:  # gone, or going
                continue
