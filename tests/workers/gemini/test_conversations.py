"""Any conversation that OpenAI's API allows is one that the strict server takes."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.openai.chat.request import parse_chat
from services.workers.gemini import encode
from services.workers.gemini.signatures import Memory, Signatures
from tests.vendors.gemini_server import Asked, refusal

TEXT = st.text(max_size=8)
WORDS = st.text(min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.just("$ref"), inner, max_size=3),
    max_leaves=5,
)
RESULTS = TEXT | JSON.map(lambda value: orjson.dumps(value).decode())
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQI=", "detail": "low"}}


@st.composite
def steps(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Some calls at once and their results, in any order; ids may come again in a later step."""
    ids = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True))
    calls = [
        {
            "id": one,
            "type": "function",
            "function": {"name": draw(st.sampled_from("fgh")), "arguments": orjson.dumps({"a": draw(JSON)}).decode()},
        }
        for one in ids
    ]
    results = [{"role": "tool", "tool_call_id": one, "content": draw(RESULTS)} for one in draw(st.permutations(ids))]
    return [{"role": "assistant", "content": draw(st.none() | TEXT), "tool_calls": calls}, *results]


def one(role: str, content: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return content.map(lambda said: [{"role": role, "content": said}])


CONVERSATIONS = st.lists(
    one("system", TEXT)
    | one("user", TEXT | st.lists(TEXT.map(lambda text: {"type": "text", "text": text}) | st.just(PICTURE), min_size=1))
    | one("assistant", TEXT)
    | steps(),
    max_size=8,
).map(lambda groups: [message for group in groups for message in group])


@given(WORDS, CONVERSATIONS, st.sampled_from(["gemini-3-flash", "gemini-2.5-pro", "gemini-2.0-flash"]))
def test_any_conversation_is_taken(first: str, rest: list[dict[str, Any]], model: str) -> None:
    messages = [{"role": "user", "content": first}, *rest]
    spec = parse_chat(orjson.dumps({"model": model, "messages": messages})).spec
    body = orjson.loads(orjson.dumps(encode.body(spec, Memory(Signatures(), "", model))))
    refused = refusal(Asked(f"/v1beta/models/{model}:generateContent", {"x-goog-api-key": "k"}, body, 0.0))
    assert refused is None, refused.body
    said = [part["text"] for content in body["contents"] for part in content["parts"] if "text" in part]
    instructions = [part["text"] for part in body.get("systemInstruction", {"parts": []})["parts"]]
    assert sorted(said + instructions) == sorted(texts(messages)), "nothing that was said is lost"


def texts(messages: list[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    for message in messages:
        content = message["content"]
        if message["role"] == "tool" or not content:
            continue
        parts = [content] if isinstance(content, str) else [part.get("text", "") for part in content]
        found += [part for part in parts if part]
    return found
