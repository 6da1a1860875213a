"""Meshes for the tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.mesh.driver import Mesh, mesh

ECHO = """
gateway: {drain_seconds: 2, keep_alive_seconds: 0.4, show_worker: true}
providers:
  echo: {kind: echo, workers: 2, token_ms: 10, drain_seconds: 2}
models:
  - name: echo
    routes: [{provider: echo}]
  - name: org/echo:small
    routes: [{provider: echo}]
"""


@pytest.fixture(scope="module")
def echo() -> Iterator[Mesh]:
    """A mesh of two echo workers that no test of the module harms."""
    with mesh(ECHO) as running:
        yield running
