"""OpenAI's own SDK before the same server: it says the same request as the worker, in the same words."""

from typing import Any

import httpx2
import openai
import pytest

from tests.vendors.openai_server import Asked, Script, openai_server, text
from tests.workers.openai.test_provider import KEYS, run, serving

ACCOUNT = {"organization": "org", "project": "proj"}
# What the worker says of itself is said otherwise, or not at all, by the SDK.
OF_THE_REQUEST = ("authorization", "content-type", "openai-organization", "openai-project")


def said(asked: Asked) -> tuple[str, dict[str, str | None], dict[str, Any]]:
    return asked.path, {name: asked.headers.get(name) for name in OF_THE_REQUEST}, asked.body


@pytest.mark.parametrize("account", [{}, ACCOUNT], ids=["a key alone", "an organization and a project"])
async def test_the_sdk_asks_for_a_stream_in_the_same_words(
    account: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    script = Script(text("a", "b"))
    async with serving(script, **account) as (provider, fake):
        await run(provider)
    async with openai_server(lambda asked: script) as other, httpx2.AsyncClient(trust_env=False) as http:
        client = openai.AsyncOpenAI(api_key=KEYS[0], base_url=other.base_url, http_client=http, **account)
        stream = await client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        pieces = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
    assert "".join(pieces) == "ab"
    assert said(fake.asked[0]) == said(other.asked[0])
