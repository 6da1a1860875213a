"""Models as OpenAI's JSON, read back by the official SDK."""

import json

from hybridinference.inference.v1 import model_pb2
from openai.types.model import Model

from services.gateway.openai.models import listed, shown


def test_models_are_listed_and_shown():
    model = model_pb2.Model(name="org/m", owner="me", created_seconds=17, context_tokens=4096)
    expected = {"id": "org/m", "object": "model", "created": 17, "owned_by": "me", "max_model_len": 4096}
    assert json.loads(shown(model)) == expected
    assert json.loads(listed([model])) == {"object": "list", "data": [expected]}
    Model.model_validate(expected, strict=True)
    assert json.loads(shown(model_pb2.Model(name="m", aliases=["n"])))["aliases"] == ["n"]
    assert "max_model_len" not in json.loads(shown(model_pb2.Model(name="m")))
