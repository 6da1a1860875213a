"""Vercel's AI SDK before the mesh: what `ai_sdk` has for Node's own runner of tests."""

import pytest

from tests.clients import node_tests
from tests.clients.conftest import Node

pytestmark = [pytest.mark.clients, pytest.mark.slow]


@pytest.mark.parametrize("file", node_tests.files("ai_sdk"))
def test_on_node(node: Node, file: str, subtests: pytest.Subtests) -> None:
    node_tests.run(node, file, subtests)
