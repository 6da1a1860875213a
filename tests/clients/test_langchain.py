"""LangChain's standard suites for chat models and embeddings, with langchain-openai before the mesh."""

import types
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import tiktoken
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests, chat_models
from langchain_tests.unit_tests.chat_models import ChatModelTests

from tests.clients import samples
from tests.clients.documents import off_by_the_documents
from tests.mesh.driver import Mesh

pytestmark = [
    pytest.mark.clients,
    pytest.mark.slow,
    # What LangChain says of itself and of its suite: an SDK's type that it fills otherwise, a schema of pydantic 1 that
    # the suite gives it, and a file without a name.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema:UserWarning"),
    pytest.mark.filterwarnings("ignore:OpenAI may require a filename:UserWarning"),
]


def _sample(address: str, **_: Any) -> types.SimpleNamespace:
    return types.SimpleNamespace(content=samples.SAMPLES[address.rpartition(".")[2]])


@pytest.fixture
async def connected(clients_mesh: Mesh) -> AsyncIterator[dict[str, Any]]:
    """Arguments of LangChain's classes that lead to the mesh; their own HTTP clients would outlive a test's loop."""
    async with openai.DefaultAsyncHttpxClient() as asynchronous:
        with openai.DefaultHttpxClient() as synchronous:
            clients = {"http_client": synchronous, "http_async_client": asynchronous}
            yield {"base_url": clients_mesh.base_url, "api_key": "none", "max_retries": 0, **clients}


class ChatSuite(ChatModelIntegrationTests):
    """What the suite is told of the model. What is not said here is as the suite supposes."""

    connected: dict[str, Any]

    @pytest.fixture(autouse=True)
    def _surroundings(self, connected: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """The way to the mesh, and samples of our own for those that the suite fetches elsewhere."""
        self.connected = connected
        monkeypatch.setattr(chat_models, "httpx", types.SimpleNamespace(get=_sample))
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "tests")

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        # Before other addresses than OpenAI's, LangChain asks for a stream's usage only when it is told to.
        return {"model": "chat", "stream_usage": True, **self.connected}

    @property
    def model_override_value(self) -> str:
        return "org/other:chat"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:  # type: ignore[override]
        told = ["reasoning_output", "cache_read_input"]
        return {"invoke": told, "stream": told}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        message = self._asked("What is 17 times 23?", stream=stream, reasoning_effort="low")
        assert message.usage_metadata["output_token_details"]["reasoning"] > 0
        return message

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        question = "What is the capital of France? Answer with one word."
        self._asked(question, stream=stream)
        message = self._asked(question, stream=stream)
        assert message.usage_metadata["input_token_details"]["cache_read"] > 0
        return message

    def _asked(self, question: str, *, stream: bool, **more: Any) -> Any:
        model = ChatOpenAI(**self.chat_model_params, **more)
        if not stream:
            return model.invoke(question)
        first, *others = model.stream(question)
        return sum(others, first)


class TestChat(ChatSuite):
    """By chat completions."""


class TestResponses(ChatSuite):
    """By responses."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "use_responses_api": True}

    def test_they_are_responses(self, model: ChatOpenAI) -> None:
        assert str(model.invoke("Hello").response_metadata["id"]).startswith("resp_")


class EmbeddingsSuite(EmbeddingsIntegrationTests):
    connected: dict[str, Any]

    @pytest.fixture(autouse=True)
    def _surroundings(self, connected: dict[str, Any]) -> None:
        self.connected = connected

    @property
    def embeddings_class(self) -> type[OpenAIEmbeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "vectors", **self.connected}


class TestEmbeddings(EmbeddingsSuite):
    """By texts."""

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {**super().embedding_model_params, "check_embedding_ctx_length": False}


class TestEmbeddingsOfTokens(EmbeddingsSuite):
    """By token ids, which is LangChain's default."""

    @pytest.fixture(autouse=True)
    def _bytes_as_tokens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A vocabulary of single bytes for the one that tiktoken would download."""
        bytewise = tiktoken.Encoding(
            "bytes", pat_str=r"[\s\S]", mergeable_ranks={bytes([n]): n for n in range(256)}, special_tokens={}
        )
        monkeypatch.setitem(tiktoken.registry.ENCODINGS, "cl100k_base", bytewise)

    def test_the_vectors_are_those_of_the_token_ids(self, model: Any, clients_mesh: Mesh) -> None:
        made = clients_mesh.client.embeddings.create(model="vectors", input=list(b"foo"), encoding_format="float")
        assert model.embed_query("foo") == made.data[0].embedding


CHAT_SUITES = (TestChat, TestResponses)


def test_what_is_off_is_what_the_documents_list() -> None:
    details = {"audio_input", "audio_output", "reasoning_output", "cache_read_input", "cache_creation_input"}
    for suite in CHAT_SUITES:
        told = suite()
        flags = {name for name in dir(ChatModelTests) if name.startswith(("supports_", "has_", "returns_", "enable_"))}
        off = {name for name in flags if not getattr(told, name)}
        for spoken in told.supported_usage_metadata_details.values():
            off |= details - set(spoken)
        assert off == set(off_by_the_documents())
