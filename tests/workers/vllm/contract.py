"""What is used of vLLM, tried without an engine: run in the engine's environment, prints what it found as JSON.

contract.py DIRECTORY_OF_THE_CHAT_MODEL
"""

import asyncio
import dataclasses
import importlib
import inspect
import json
import os
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import session_pb2 as session

from services.workers.vllm import arguments, compat, options
from services.workers.vllm.continuing import Continued, Continuing
from services.workers.vllm.parsing import Parsing, Reading, parser_class
from services.workers.vllm.tools import Offer

CALLS = (
    'Well.<tool_call>\n{"name": "a", "arguments": {"x": "}é"}}\n</tool_call>'
    '\n<tool_call>\n{"name": "b", "arguments": {}}\n</tool_call>'
)
THOUGHT = "<think>\nHm, so.\n</think>\n\nYes."


def function(name: str, **more: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"x": {"type": "string"}}}
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


def main() -> None:
    from transformers import AutoTokenizer

    api = compat.load()
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
    tokenizer.add_tokens(["<think>", "</think>", "<tool_call>", "</tool_call>"])
    read = Reader(api, tokenizer)
    told: list[float] = []
    compat.follow_weights(told.append)
    bar = importlib.import_module("vllm.model_executor.model_loader.weight_utils").tqdm
    files = list(bar(["a", "b"], disable=True))
    found = {
        "parameters": {
            name: sorted(inspect.signature(getattr(api.AsyncLLM, name)).parameters)
            for name in ("generate", "encode", "abort", "add_lora", "shutdown", "from_vllm_config")
        },
        "engine_arguments": sorted(field.name for field in dataclasses.fields(api.AsyncEngineArgs)),
        "sampling": sorted(inspect.signature(api.SamplingParams).parameters),
        "cpu_defaults": sorted(arguments.CPU_DEFAULTS),
        "options": sorted(options.NAMES),
        "weights": [files, told],
        "remembered": remembered(),
        "calls": [read.whole("hermes", "", CALLS, step) for step in (1, 3, len(CALLS))],
        "thought": [read.whole("", name, THOUGHT, 1) for name in ("qwen3", "deepseek_r1")],
        "open_thought": read.whole("", "deepseek_r1", THOUGHT.removeprefix("<think>"), 1, prompt="<think>"),
        "thought_and_calls": read.whole("hermes", "qwen3", THOUGHT + CALLS, 1),
        "forms": {
            "auto": read.form(Offer([function("a")], "auto", True)),
            "strict": read.form(Offer([function("a", strict=True)], "auto", True)),
            "required": read.form(Offer([function("a", strict=True)], "required", True)),
            "single": read.form(Offer([function("a", strict=True)], "required", False)),
        },
        "continued": continued(api, tokenizer),
        "unknown": [read.refusal(tool_parser="hermse", reasoning_parser=""), read.refusal("", "qwen33")],
    }
    print(json.dumps(found))


def remembered() -> list[Any]:
    """A variable of vLLM's before and after it changes, once vLLM has been told to remember them."""
    name = "VLLM_LOGGING_LEVEL"
    compat.remember_environment()
    envs = importlib.import_module("vllm.envs")
    before = getattr(envs, name)
    os.environ[name] = "CRITICAL"
    return [before, getattr(envs, name)]


def continued(api: compat.Api, tokenizer: Any) -> list[list[str]]:
    """For every place where an answer may break off, with a stop text or none: the whole, what was had, the rest."""
    prompt = {"prompt_token_ids": tokenizer.encode("Say: ")}
    found = []
    for stop in ([], ["over the lazy", "never"], ["\U0001f98a!"]):
        ids = tokenizer.encode("The quick \U0001f98a\u20ac j\u00fcmps  over the lazy dog\U0001f98a! \u4f60\u597d\n end")
        sampling = {"stop": stop, "max_tokens": 500}
        had = _as_told(api, tokenizer, prompt, sampling, ids)
        for cut in range(1, len(had)):
            said = session.Continuation(token_ids=ids[:cut], text=had[cut])
            taken_up = Continuing(api, tokenizer, ()).take_up(said, prompt, sampling, plain=True)
            api.SamplingParams(**taken_up.arguments)
            rest = ids[cut:] if not taken_up.over else []
            steps = [
                SimpleNamespace(outputs=[_piece(token, rest, at)], num_cached_tokens=0) for at, token in enumerate(rest)
            ]
            found.append([had[-1], had[cut], asyncio.run(_text(taken_up, steps))])
    return found


def _as_told(api: compat.Api, tokenizer: Any, prompt: Any, sampling: Any, ids: list[int]) -> list[str]:
    """What the caller has had after each token of an answer that does not break off."""
    params = api.SamplingParams(**sampling)
    request = SimpleNamespace(request_id="r", sampling_params=params, prompt_embeds=None, **prompt)
    detokenizer = api.IncrementalDetokenizer.from_new_request(tokenizer, request)
    had = [""]
    for at, token in enumerate(ids):
        stopped = detokenizer.update([token], False) is not None
        had.append(detokenizer.get_next_output_text(stopped or at == len(ids) - 1, False))
        if stopped:
            break
    return had


def _piece(token: int, rest: list[int], at: int) -> Any:
    return SimpleNamespace(token_ids=[token], finish_reason="length" if at == len(rest) - 1 else None)


async def _text(taken_up: Continued, steps: list[Any]) -> str:
    async def engine() -> AsyncIterator[Any]:
        for step in steps:
            yield step

    text = ""
    async for told in taken_up.follow(engine() if steps else None):
        text += told.outputs[0].text
    return text


class Reader:
    """Reads answers that nobody generated."""

    def __init__(self, api: compat.Api, tokenizer: Any) -> None:
        self._api = api
        self._tokenizer = tokenizer
        self._model_config = SimpleNamespace(
            model="m", hf_config=SimpleNamespace(model_type="llama"), hf_overrides=None
        )

    def whole(
        self, tool_parser: str, reasoning_parser: str, text: str, step: int, prompt: str = "Hi"
    ) -> dict[str, Any]:
        """What our reading makes of a text that comes in pieces of so many tokens."""
        parser = self._reading(tool_parser, reasoning_parser, Offer([function("a"), function("b")], "auto", True))
        choice = parser.choice(parallel=True)
        ids = self._tokenizer.encode(text)
        prompt_ids = self._tokenizer.encode(prompt)
        deltas, so_far = [], ""
        for begin in range(0, len(ids), step):
            last = begin + step >= len(ids)
            now = self._tokenizer.decode(ids[: begin + step])
            now = now if last else now.rstrip("\ufffd")  # the engine, too, holds half a character back
            delta = generation.Delta()
            choice.fill(delta, now[len(so_far) :], ids[begin : begin + step], prompt_ids, last=last)
            so_far = now
            deltas.append(delta)
        calls: dict[int, list[str]] = {}
        for call in (call for delta in deltas for call in delta.tool_calls):
            name, arguments_json = calls.setdefault(call.index, ["", ""])
            calls[call.index] = [name + call.name, arguments_json + call.arguments_json]
        thinking = sum(bool(delta.reasoning) for delta in deltas)
        return {
            "text": "".join(delta.text for delta in deltas),
            "reasoning": "".join(delta.reasoning for delta in deltas),
            "calls": [calls[index] for index in sorted(calls)],
            "ids": sum(bool(call.id) for delta in deltas for call in delta.tool_calls),
            "pieces": sum(bool(delta.tool_calls) for delta in deltas),
            "counted": choice.reasoning_tokens,
            "thinking": thinking,
        }

    def form(self, offer: Offer) -> Any:
        """What constrains an answer to that offer."""
        form = self._reading("hermes", "", offer).sampling({}).get("structured_outputs")
        return form and json.loads(form.structural_tag)

    def refusal(self, tool_parser: str, reasoning_parser: str) -> str:
        try:
            parser_class(self._api, self._model_config, tool_parser=tool_parser, reasoning_parser=reasoning_parser)
        except ValueError as error:
            return str(error)
        return ""

    def _reading(self, tool_parser: str, reasoning_parser: str, offer: Offer) -> Reading:
        made_by = parser_class(
            self._api, self._model_config, tool_parser=tool_parser, reasoning_parser=reasoning_parser
        )
        parsing = Parsing(self._api, made_by, self._tokenizer, self._model_config)
        messages = [{"role": "user", "content": "Hi"}]
        return parsing.reading(model="m", messages=messages, offer=offer, template_kwargs={}, arguments={})


if __name__ == "__main__":
    main()
