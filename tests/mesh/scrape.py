"""The metrics of a mesh's processes, read from their sockets."""

import socket

from prometheus_client.parser import text_string_to_metric_families

from tests.mesh.driver import Mesh


def exposition(mesh: Mesh, process: str) -> str:
    """What a process tells, as it tells it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(f"{mesh.home}/run/{process}.metrics.sock")
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0]
    return body.decode()


def total(mesh: Mesh, process: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels; 0 where it has counted nothing of the kind yet."""
    families = [
        family
        for family in text_string_to_metric_families(exposition(mesh, process))
        if name.removesuffix("_total").startswith(family.name)
    ]
    assert families, f"{process} has no {name}"
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def version(mesh: Mesh, process: str) -> str:
    """The version of the configuration that a process says it uses."""
    for family in text_string_to_metric_families(exposition(mesh, process)):
        for sample in family.samples:
            if sample.name == "hybrid_config_info":
                return sample.labels["version"]
    raise AssertionError(f"{process} tells no version of its configuration")
