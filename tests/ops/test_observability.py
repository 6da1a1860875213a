"""`hybrid up --observability` as a user has it: it says where both are, and nothing is left of them afterwards."""

import re
import socket
import urllib.request

import pytest

from tests.mesh.driver import free_base, free_port, mesh

pytestmark = [pytest.mark.ops, pytest.mark.slow]

CONFIG = """
metrics: {{port: {port}}}
observability: {{prometheus_port: {prometheus}, alertmanager_port: {alertmanager}}}
gateway: {{drain_seconds: 1}}
providers: {{echo: {{kind: echo, drain_seconds: 1}}}}
models: [{{name: echo, routes: [{{provider: echo}}]}}]
"""


def test_both_are_where_it_says_and_go_with_the_mesh() -> None:
    ports = {"prometheus": free_port(), "alertmanager": free_port()}
    with mesh(CONFIG.format(port=free_base(), **ports), up=False) as one:
        up = one.hybrid("up", "--detach", "--port", str(one.port), "--observability", timeout=180)
        assert up.returncode == 0, up.stderr
        for name, port in ports.items():
            [address] = re.findall(rf"^{name.capitalize()} +(http://\S+)$", up.stdout, re.MULTILINE)
            assert str(port) in address
            with urllib.request.urlopen(address, timeout=30) as answer:
                assert answer.status == 200
            assert one.pid(name)
        one.down()
        assert one.processes() == []


def test_a_port_that_somebody_has_is_said_before_anything_starts() -> None:
    ports = {"prometheus": free_port(), "alertmanager": free_port()}
    base = free_base()
    with mesh(CONFIG.format(port=base, **ports), up=False) as one, socket.create_server(("127.0.0.1", base + 300)):
        up = one.hybrid("up", "--detach", "--port", str(one.port), timeout=180)
        assert up.returncode == 1
        assert f"127.0.0.1:{base + 300} cannot be listened on" in up.stderr
        assert "router would have it: choose another `metrics.port`" in up.stderr
