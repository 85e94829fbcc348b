"""The container engine of this machine."""

from samcli.local.docker.container_client_factory import ContainerClientFactory


def container_engine():
    """The name of the container engine that answers, or None."""
    try:
        client = ContainerClientFactory.create_client()
    except Exception:  # each engine's client has its own; whatever it is, no engine answers
        return None
    return type(client).__name__.removesuffix("ContainerClient")


def remove_containers(identifiers):
    """Removes the containers, running or not, and does nothing about those that are gone."""
    client = ContainerClientFactory.create_client()
    for identifier in identifiers:
        try:
            client.api.remove_container(identifier, force=True)
        except Exception:  # gone, or going
            continue
