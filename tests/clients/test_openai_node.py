"""OpenAI's SDK for Node before the mesh: what `openai_node` has for Node's own runner of tests."""

import pytest

from tests.clients import node_tests
from tests.clients.conftest import Node

pytestmark = [pytest.mark.clients, pytest.mark.slow]


@pytest.mark.parametrize("file", node_tests.files("openai_node"))
def test_on_node(node: Node, file: str, subtests: pytest.Subtests) -> None:
    node_tests.run(node, file, subtests)
