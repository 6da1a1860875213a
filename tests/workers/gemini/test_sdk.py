"""Google's own SDK before the same server: what the server speaks is what the SDK understands, and says itself."""

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import orjson
import pytest
from google import genai
from google.genai import errors, types
from hybridinference.inference.v1 import embedding_pb2 as embedding

from services.gateway.openai.chat.request import parse_chat
from services.workers.gemini import embeddings, encode
from services.workers.gemini.signatures import Memory, Signatures
from tests.vendors.gemini_server import (
    Asked,
    Script,
    camel,
    error,
    failing,
    gemini_server,
    piece,
    signature,
    sse,
    text,
    thought,
    tool_calls,
    usage,
    vectors,
    whole,
)

MODEL = "gemini-3-flash"
SIGNATURE = base64.b64decode(signature("f"))


@contextlib.asynccontextmanager
async def sdk(answer: Callable[[Asked], Script] | Script) -> AsyncIterator[tuple[Any, list[Asked]]]:
    script = answer if callable(answer) else lambda asked: answer
    async with gemini_server(script) as fake, httpx2.AsyncClient(trust_env=False) as http:
        options = types.HttpOptions(base_url=fake.base_url, api_version="v1beta", httpx_async_client=http)
        client = genai.Client(api_key="key", vertexai=False, http_options=options)
        try:
            yield client.aio.models, fake.asked
        finally:
            client.close()


async def test_the_sdk_reads_streams_of_text_thoughts_and_calls() -> None:
    said = sse(piece(thought("hä")), usage(piece({"text": "Grüße 🚀"}, finish="STOP"), 7, 3, thoughts=2))
    async with sdk(Script(said)) as (models, _):
        chunks = [one async for one in await models.generate_content_stream(model=MODEL, contents="hi")]
    assert chunks[0].candidates[0].content.parts[0].thought
    assert chunks[1].text == "Grüße 🚀"
    assert chunks[1].candidates[0].finish_reason == types.FinishReason.STOP
    assert (chunks[1].usage_metadata.thoughts_token_count, chunks[1].model_version) == (2, "gemini-3-flash-001")
    async with sdk(Script(tool_calls())) as (models, _):
        chunks = [one async for one in await models.generate_content_stream(model=MODEL, contents="hi")]
    first, second = (chunk.candidates[0].content.parts[0] for chunk in chunks)
    assert (first.function_call.name, first.function_call.args) == ("weather", {"city": "Köln"})
    assert first.thought_signature
    assert second.thought_signature is None
    async with sdk(Script(text("a", "b"))) as (models, _):
        chunks = [one async for one in await models.generate_content_stream(model=MODEL, contents="hi")]
    assert chunks[-1].candidates[0].content.parts[0].thought_signature


async def test_the_sdk_reads_whole_answers_blocked_prompts_vectors_and_errors() -> None:
    async with sdk(whole(piece({"text": "a"}, finish="STOP"))) as (models, _):
        assert (await models.generate_content(model=MODEL, contents="hi")).text == "a"
    async with sdk(whole({"promptFeedback": {"blockReason": "SAFETY"}})) as (models, _):
        answer = await models.generate_content(model=MODEL, contents="hi")
        assert (answer.candidates, answer.prompt_feedback.block_reason) == (None, types.BlockedReason.SAFETY)
    async with sdk(vectors([0.5, 1.0])) as (models, _):
        assert (await models.embed_content(model=MODEL, contents=["a"])).embeddings[0].values == [0.5, 1.0]
    body = error(429, "slow", "RESOURCE_EXHAUSTED", {"RetryInfo": {"retryDelay": "7s"}})
    for script in (failing(429, body), failing(429, b"[" + body + b"]")):
        async with sdk(script) as (models, _):
            with pytest.raises(errors.ClientError) as caught:
                await models.generate_content(model=MODEL, contents="hi")
            assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQI="}}
PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
CHAT = {
    "model": MODEL,
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, PICTURE]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "1", "content": "22"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": "does", "parameters": PARAMETERS}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": PARAMETERS}},
    "temperature": 0.5,
    "stop": ["a"],
    "n": 2,
    "max_completion_tokens": 9,
    "reasoning_effort": "low",
}


async def test_the_sdk_says_the_same_request_in_the_same_words() -> None:
    memory = Memory(Signatures(), "", MODEL)
    memory.keep_call("1", SIGNATURE)
    ours = orjson.loads(orjson.dumps(encode.body(parse_chat(json.dumps(CHAT).encode()).spec, memory)))
    function = types.FunctionDeclaration(name="f", description="does", parameters_json_schema=PARAMETERS)
    response = types.FunctionResponse(id="1", name="f", response={"result": 22})
    picture = types.Part(inline_data=types.Blob(mime_type="image/png", data=b"\x01\x02"))
    call = types.Part(function_call=types.FunctionCall(id="1", name="f", args={"a": 1}), thought_signature=SIGNATURE)
    config = types.GenerateContentConfig(
        system_instruction=types.Content(parts=[types.Part(text="be brief")]),
        temperature=0.5,
        stop_sequences=["a"],
        candidate_count=2,
        max_output_tokens=9,
        response_mime_type="application/json",
        response_json_schema=PARAMETERS,
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.LOW),
        tools=[types.Tool(function_declarations=[function])],
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(
                mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["f"]
            )
        ),
    )
    contents = [
        types.Content(role="user", parts=[types.Part(text="hi"), picture]),
        types.Content(role="model", parts=[call]),
        types.Content(role="user", parts=[types.Part(function_response=response)]),
    ]
    async with sdk(whole(piece({"text": "a"}, finish="STOP"))) as (models, asked):
        await models.generate_content(model=MODEL, contents=contents, config=config)
    assert asked[0].path == f"/v1beta/models/{MODEL}:generateContent"
    assert asked[0].headers["x-goog-api-key"] == "key"
    theirs = camel(asked[0].body)
    for one in (*theirs["contents"], *ours["contents"]):
        for part in one["parts"]:  # either alphabet of base64 is right
            if "thoughtSignature" in part:
                part["thoughtSignature"] = part["thoughtSignature"].translate(str.maketrans("-_", "+/"))
    assert ours == theirs


async def test_the_sdk_asks_for_vectors_in_the_same_words() -> None:
    inputs = [embedding.EmbeddingInput(text="a"), embedding.EmbeddingInput(text="b")]
    (ours,) = embeddings.bodies(embedding.EmbeddingSpec(inputs=inputs, dimensions=2), f"models/{MODEL}")
    async with sdk(vectors([1.0, 2.0], [1.0, 2.0])) as (models, asked):
        config = types.EmbedContentConfig(output_dimensionality=2)
        # As contents: of plain texts, the SDK makes one input.
        contents = [types.Content(parts=[types.Part(text=one)]) for one in "ab"]
        await models.embed_content(model=MODEL, contents=contents, config=config)
    assert asked[0].path == f"/v1beta/models/{MODEL}:batchEmbedContents"
    assert asked[0].body == ours
