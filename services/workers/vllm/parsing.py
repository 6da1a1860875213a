"""Tool calls and thinking, told apart from text by vLLM's own parsers."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.inference.text import valid_text
from services.workers.vllm import compat
from services.workers.vllm.failures import invalid
from services.workers.vllm.tools import Offer


def parser_class(api: compat.Api, model_config: Any, *, tool_parser: str, reasoning_parser: str) -> Any:
    """vLLM's class of parsers for a model; None where nothing is to be parsed.

    Raises:
        ValueError: there is no parser of that name.
    """
    if not tool_parser and not reasoning_parser:
        return None
    try:
        return api.ParserManager.get_parser(
            tool_parser_name=tool_parser or None,
            reasoning_parser_name=reasoning_parser or None,
            enable_auto_tools=bool(tool_parser),
            model_name=model_config.model,
            is_harmony=getattr(model_config.hf_config, "model_type", "") == "gpt_oss",
        )
    except (TypeError, ImportError) as error:
        raise ValueError(f"tool_parser, reasoning_parser: {error}") from error


class Parsing:
    """Makes parsers for the answers of one model."""

    def __init__(self, api: compat.Api, made_by: Any, tokenizer: Any, model_config: Any) -> None:
        self._api = api
        self._class = made_by
        self._tokenizer = tokenizer
        self._model_config = model_config
        try:
            self._parser([], {})
        except Exception as error:  # whatever a parser says of a tokenizer that it cannot use
            raise ValueError(f"tool_parser, reasoning_parser: they do not fit this model: {error}") from error

    def reading(
        self,
        *,
        model: str,
        messages: list[dict[str, Any]],
        offer: Offer,
        template_kwargs: Mapping[str, Any],
        arguments: Mapping[str, Any],
    ) -> "Reading":
        """How one answer is to be read.

        Args:
            model: what was asked for.
            messages: the conversation.
            offer: the tools.
            template_kwargs: what the chat template was told besides.
            arguments: for sampling, with `structured_outputs` in the engine's own type.

        Raises:
            Failure: SPEC_INVALID, where vLLM's own check of the request fails.
        """
        request: dict[str, Any] = {"model": model, "messages": messages, "stream": True}
        request["skip_special_tokens"] = arguments.get("skip_special_tokens", True)
        if offer.tools:
            request |= {"tools": offer.tools, "tool_choice": offer.choice, "parallel_tool_calls": offer.parallel}
        if "structured_outputs" in arguments and not offer.forced:  # a forced call has a form of its own
            request["structured_outputs"] = arguments["structured_outputs"]
        try:
            checked = self._api.ChatCompletionRequest(**request)
            adjusting = self._parser(checked.tools, template_kwargs)
            checked = adjusting.adjust_request(checked)
        except (ValueError, RecursionError) as error:  # pydantic's, whose text quotes the conversation, and of schemas
            raise invalid("tools" if offer.tools else "messages", "The request is not one that vLLM takes.") from error
        return Reading(checked, adjusting, lambda: self._parser(checked.tools, template_kwargs), template_kwargs)

    def _parser(self, tools: Any, template_kwargs: Mapping[str, Any]) -> Any:
        return self._class(
            self._tokenizer, tools, chat_template_kwargs=dict(template_kwargs), model_config=self._model_config
        )


class Reading:
    """How one answer is read: what the engine has to be told, and a parser for each choice."""

    def __init__(self, request: Any, adjusting: Any, make: Any, template_kwargs: Mapping[str, Any]) -> None:
        self._request = request
        self._adjusting = adjusting
        self._make = make
        self._template_kwargs = dict(template_kwargs)

    def sampling(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments for sampling, with what the parsers need."""
        rest = {name: value for name, value in arguments.items() if name != "structured_outputs"}
        form = self._request.extract_structured_outputs()
        if form is not None:
            rest["structured_outputs"] = form
        for name in ("skip_special_tokens", "spaces_between_special_tokens"):
            rest[name] = getattr(self._request, name)
        return rest

    def of_engine(self, prompt_token_ids: list[int]) -> dict[str, Any]:
        """Further arguments of the engine's `generate`: where thinking ends, so that only what follows has a form."""
        if self._adjusting.reasoning_parser is None:
            return {}
        return {
            "reasoning_ended": self._request.resolve_reasoning_ended(self._adjusting, prompt_token_ids),
            "reasoning_parser_kwargs": {"chat_template_kwargs": self._template_kwargs},
        }

    def choice(self, *, parallel: bool) -> "ChoiceParser":
        """A parser for one choice."""
        return ChoiceParser(self._make(), self._request, parallel=parallel)


class ChoiceParser:
    """Reads one choice as it comes."""

    def __init__(self, parser: Any, request: Any, *, parallel: bool) -> None:
        self._parser = parser
        self._request = request
        self._parallel = parallel
        self._named: set[int] = set()
        self._ids: list[int] = []
        self._thought = 0

    @property
    def called(self) -> bool:
        """Whether a tool was called."""
        return bool(self._named)

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of thinking so far."""
        # Parsers that look for a mark at its beginning count nothing where the prompt already holds that mark.
        return self._parser.count_reasoning_tokens(self._ids) or self._thought

    def fill(
        self, delta: generation.Delta, text: str, ids: Sequence[int], prompt_ids: Sequence[int], *, last: bool
    ) -> None:
        """Put what is new into a delta."""
        ids = list(ids)
        message = self._parser.parse_delta(text, ids, self._request, prompt_ids, finished=last)
        if self._parser.reasoning_parser is not None:
            self._ids += ids
        if message is None:
            return
        if message.reasoning:
            delta.reasoning = valid_text(message.reasoning)
            if not message.content:
                self._thought += len(ids)
        if message.content:
            delta.text = valid_text(message.content)
        for call in message.tool_calls or ():
            if self._parallel or not call.index:
                self._call(delta, call)

    def _call(self, delta: generation.Delta, call: Any) -> None:
        function = call.function
        name = (function and function.name) or ""
        arguments = (function and function.arguments) or ""
        if call.index not in self._named:
            if not name:
                return  # a call that nobody can make
            self._named.add(call.index)
            identifier = call.id or f"call_{uuid.uuid4().hex}"
            delta.tool_calls.add(
                index=call.index, id=identifier, name=valid_text(name), arguments_json=valid_text(arguments)
            )
        elif arguments:
            delta.tool_calls.add(index=call.index, arguments_json=valid_text(arguments))
