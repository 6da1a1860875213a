"""Who has to pass the contract: the columns of the matrix. A new provider is one more line in SUBJECTS."""

import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, get_args

import pydantic
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model

from services.cli.verify.checking import EXCUSES
from services.config.provider import CapabilityName, Provider
from services.workers.__main__ import open_provider
from tests import fakes
from tests.vendors.gemini_model import GeminiModel
from tests.vendors.gemini_server import gemini_server
from tests.vendors.openai_model import OpenAIModel
from tests.vendors.openai_server import openai_server

CAPABILITIES: dict[str, Any] = {
    name.removeprefix("CAPABILITY_").lower(): value for name, value in model.Capability.items()
}
OF_EMBEDDINGS = ("embeddings", "dimensions", "token_inputs")
OF_CHAT = tuple(name for name in get_args(CapabilityName) if name not in OF_EMBEDDINGS)


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """A provider, what stands behind it, and what it says it can do.

    Attributes:
        kind: in the configuration; the column's name.
        serving: runs its worker at an address.
        chat: what the model for text claims.
        embeddings: what the model for vectors claims.
        chat_model, embedding_model: their names.
        fault: the spec that makes what stands behind it fail in the way of that name.
        reasons: why a row is not shown here, by the row's name.
    """

    kind: str
    serving: Callable[[str], AbstractAsyncContextManager[None]]
    chat: tuple[str, ...]
    embeddings: tuple[str, ...]
    fault: Callable[[str], generation.GenerationSpec]
    chat_model: str = "m"
    embedding_model: str = "e"
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def claims(self, *, embeds: bool) -> set[int]:
        """Capabilities, as the contract numbers them."""
        return {CAPABILITIES[name] for name in (self.embeddings if embeds else self.chat)}


def configured(**settings: Any) -> Any:
    """A provider's configuration."""
    return pydantic.TypeAdapter(Provider).validate_python(settings)


def told(text: str, **fields: Any) -> generation.GenerationSpec:
    """A question to the model for text."""
    spec = generation.GenerationSpec(model="m", **fields)
    spec.messages.add(role=conversation.ROLE_USER).parts.add(text=text)
    return spec


def asked_for(fault: str) -> generation.GenerationSpec:
    """What makes a fake vendor fail."""
    return told(f"fault: {fault}")


@contextlib.asynccontextmanager
async def worker(address: str, config: Any) -> AsyncIterator[None]:
    """The real worker service around the real provider, in this process."""
    async with (
        open_provider(config, lambda _: None) as provider,
        fakes.running_worker(address, provider, kind=config.kind),
    ):
        yield


def vendor(**settings: Any) -> Any:
    """The configuration of a vendor with short waits."""
    models = [
        {"name": settings.pop("chat_model", "m"), "capabilities": settings.pop("chat")},
        {"name": "e", "capabilities": settings.pop("embeddings")},
        {"name": "bare", "capabilities": ["chat"]},
    ]
    waits = {"first_token_seconds": 1, "idle_seconds": 1}
    return configured(api_keys=["sk-canary-aaaaaaaaaaaa"], models=models, **waits, **settings)


OPENAI_CHAT = tuple(name for name in OF_CHAT if name != "top_k")
OPENAI_EMBEDDINGS = OF_EMBEDDINGS


@contextlib.asynccontextmanager
async def openai(address: str) -> AsyncIterator[None]:
    """A worker before a model that speaks OpenAI's API."""
    async with openai_server(OpenAIModel().answer) as fake:
        config = vendor(kind="openai", base_url=fake.base_url, chat=OPENAI_CHAT, embeddings=OPENAI_EMBEDDINGS)
        async with worker(address, config):
            yield


GEMINI_CHAT = tuple(name for name in OF_CHAT if name not in ("logit_bias", "provider_options"))
GEMINI_EMBEDDINGS = ("embeddings", "dimensions")


@contextlib.asynccontextmanager
async def gemini(address: str) -> AsyncIterator[None]:
    """A worker before a model that speaks the Gemini API."""
    async with gemini_server(GeminiModel().answer) as fake:
        config = vendor(kind="gemini", base_url=fake.base_url, chat=GEMINI_CHAT, embeddings=GEMINI_EMBEDDINGS)
        async with worker(address, config):
            yield


@contextlib.asynccontextmanager
async def echo(address: str) -> AsyncIterator[None]:
    """A worker with nothing behind it."""
    async with worker(address, configured(kind="echo", models=["m", "e", "bare"], token_ms=15)):
        yield


ECHO_FAULTS: dict[str, dict[str, Any]] = {
    "rejected": {"fail": "PROVIDER_REJECTED"},
    "credential": {"fail": "PROVIDER_CREDENTIAL"},
    "limited": {"fail": "PROVIDER_RATE_LIMITED", "retry_after_ms": 7000},
    "overloaded": {"fail": "PROVIDER_OVERLOADED", "retry_after_ms": 7000},
    "unavailable": {"fail": "PROVIDER_UNAVAILABLE"},
    "policy": {"fail": "CONTENT_POLICY"},
    "malformed": {"fail": "PROVIDER_MALFORMED", "fail_after_tokens": 1},
    "wrong-type": {"fail": "PROVIDER_MALFORMED"},
    "cut": {"cut_after_tokens": 1},
    "unfinished": {"cut_after_tokens": 2},
    "silent": {"hang_after_tokens": 0},
    "idle": {"hang_after_tokens": 1},
}


def echo_fault(name: str) -> generation.GenerationSpec:
    """What makes the echo provider fail."""
    return told("one two", provider_options_json=json.dumps({"echo": ECHO_FAULTS[name]}))


ECHO = ("chat", "choices", "seed", "provider_options", "embeddings", "dimensions", "token_inputs")
_NO_WAITS = "it has nobody to wait for; the caller's own deadline bounds it"

SUBJECTS = (
    Subject("openai", openai, OPENAI_CHAT, OPENAI_EMBEDDINGS, asked_for),
    Subject("gemini", gemini, GEMINI_CHAT, GEMINI_EMBEDDINGS, asked_for),
    Subject(
        "echo",
        echo,
        ECHO,
        ECHO,
        echo_fault,
        reasons={
            **{feature: why for (kind, feature), why in EXCUSES.items() if kind == "echo"},
            "silent": _NO_WAITS,
            "idle": _NO_WAITS,
        },
    ),
)
COLUMNS = SUBJECTS
