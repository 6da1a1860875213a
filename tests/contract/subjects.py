"""Who has to pass the contract: the columns of the matrix."""

import json
from typing import Any, get_args

from hybridinference.inference.v1 import generation_pb2 as generation

from services.cli.verify.checking import EXCUSES
from services.config.provider import CapabilityName
from tests.contract.subject import Subject, alone, asked_for, behind, none, told, unserved
from tests.vendors.gemini_model import GeminiModel
from tests.vendors.gemini_server import gemini_server
from tests.vendors.openai_model import OpenAIModel
from tests.vendors.openai_server import openai_server

OF_EMBEDDINGS = ("embeddings", "dimensions", "token_inputs")
OF_TEXT = tuple(name for name in get_args(CapabilityName) if name not in ("embeddings", "dimensions"))
OPENAI = {"chat": [name for name in OF_TEXT if name != "top_k"], "embeddings": OF_EMBEDDINGS}
GEMINI = {
    "chat": [name for name in OF_TEXT if name not in ("logit_bias", "provider_options", "completions", "token_inputs")],
    "embeddings": ("embeddings", "dimensions"),
}
ECHO = ("chat", "completions", "choices", "seed", "provider_options", *OF_EMBEDDINGS)

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


_NO_WAITS = (
    "it has nobody to wait for; the caller's own deadline bounds it "
    "(`test_a_callers_deadline_has_its_stage_and_frees_the_provider`)"
)
ECHO_REASONS = {
    **{feature: why for (kind, feature), why in EXCUSES.items() if kind == "echo"},
    "silent": _NO_WAITS,
    "idle": _NO_WAITS,
    "endless": _NO_WAITS,
}

_APART = (
    "SmolLM2-135M calls tools only when it is told to; a scripted engine shows it, "
    "`test_tool_calls_come_apart_from_text_and_the_finish_says_so`"
)
_NO_VENDOR = "there is no vendor: no key, no rate limit, no policy"
_DEATH = (
    "the engine is in the worker's own process: no wire to be cut or to carry nonsense; its death is told, "
    "`test_the_death_of_the_engine_is_told_by_the_generation_that_meets_it`"
)
_CALLERS = "only the caller's own deadline bounds an engine, `test_a_deadline_ends_the_generation_and_frees_the_engine`"
ENGINE_REASONS = {
    **dict.fromkeys(("tools", "tools-parallel"), _APART),
    "rejected": "what an engine cannot serve names its field instead: `test_what_cannot_be_served_names_its_field`",
    **dict.fromkeys(("credential", "limited", "policy"), _NO_VENDOR),
    "overloaded": "an engine that is full says when to come back: `test_a_full_engine_refuses_at_once`",
    **dict.fromkeys(("unavailable", "malformed", "wrong-type", "cut"), _DEATH),
    "unfinished": "no engine can be made to; a scripted one can, `test_an_answer_without_an_end_is_never_finished`",
    **dict.fromkeys(("silent", "idle", "endless"), _CALLERS),
}

# A new provider is one more line.
SUBJECTS = (
    Subject("openai", behind(openai_server, OpenAIModel, kind="openai", **OPENAI), **OPENAI, fault=asked_for),
    Subject("gemini", behind(gemini_server, GeminiModel, kind="gemini", **GEMINI), **GEMINI, fault=asked_for),
    Subject(
        "echo", alone(kind="echo", models=["m", "e", "bare"], token_ms=15), ECHO, ECHO, echo_fault, reasons=ECHO_REASONS
    ),
)
# Its tests are those of `test_engine.py`, since an engine takes long to start.
ENGINE = Subject(
    "vllm",
    unserved,
    [*(name for name in OF_TEXT if name not in ("images", "files", "reasoning_effort"))],
    ["embeddings", "token_inputs"],
    none,
    reasons=ENGINE_REASONS,
)
COLUMNS = (*SUBJECTS[:-1], ENGINE, SUBJECTS[-1])
