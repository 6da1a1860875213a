"""Comments on silent streams, met by OpenAI's SDK for Node."""

import json

import pytest

from tests.clients.conftest import Node

pytestmark = [pytest.mark.clients, pytest.mark.slow]


def test_openais_sdk_for_node_waits_through_comments_and_raises_what_fails_after_one(node: Node) -> None:
    told = json.loads(node("silence.mjs"))
    assert told["text"] == "one two"
    assert told["headers"]["x-hybrid-provider"] == "echo"
    assert int(told["headers"]["openai-processing-ms"]) < 2500, "the first comment comes before the first content"
    assert told["failed"] == {"isApiError": True, "status": None, "code": "provider_rejected"}
