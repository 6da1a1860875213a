"""A whole mesh with a certificate, as who runs it meets it."""

import subprocess

import pytest

from tests.edge.certificates import Authority
from tests.mesh.driver import mesh

pytestmark = [pytest.mark.slow, pytest.mark.edge]

CONFIG = """
edge: {host: localhost, tls: {certificate: tls/edge.crt, key: tls/edge.key}}
gateway: {drain_seconds: 2}
providers: {echo: {kind: echo, drain_seconds: 2}}
models: [{name: echo, routes: [{provider: echo}]}]
"""
QUESTION = "What is the capital of France?"


def test_with_a_certificate_every_printed_example_works_and_so_does_a_restart_of_the_edge() -> None:
    with mesh(CONFIG, up=False) as running:
        (running.home / "tls").mkdir()
        authority = Authority()
        authority.write(running.home / "tls", "edge")
        # The examples trust what they are given: here a chain with its authority at the end.
        with (running.home / "tls/edge.crt").open("ab") as chain:
            chain.write(authority.pem)
        printed = running.hybrid("up", "--detach", "--port", str(running.port), timeout=120)
        assert printed.returncode == 0, printed.stderr
        assert f"The mesh answers at https://localhost:{running.port}" in printed.stdout
        examples = [line for line in printed.stdout.splitlines() if line.startswith("  ")]
        assert len(examples) == 3
        for line in examples:
            answer = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60, check=False)
            assert "capital" in answer.stdout, answer.stderr
        assert running.hybrid("chat", QUESTION).stdout == f"{QUESTION}\n"
        before = running.pid("envoy")
        done = running.hybrid("restart", "envoy")
        assert (done.returncode, done.stdout) == (0, "envoy serves again\n"), done.stderr
        assert running.pid("envoy") != before
        assert running.hybrid("chat", QUESTION).stdout == f"{QUESTION}\n"
        done = running.hybrid("restart", "postgres")
        assert (done.returncode, "`postgres` cannot be restarted" in done.stderr) == (2, True)
