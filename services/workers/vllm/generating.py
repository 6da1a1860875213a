"""Generating text with an engine."""

import contextlib
import copy
import dataclasses
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.workers.provider import AttemptContext
from services.workers.vllm import answer, translation
from services.workers.vllm.abilities import Effort
from services.workers.vllm.continuing import Continued, Continuing
from services.workers.vllm.engine import Engine, salted
from services.workers.vllm.failures import invalid
from services.workers.vllm.messages import chat_messages, has_pictures
from services.workers.vllm.parsing import Parsing, Reading
from services.workers.vllm.tools import Offer, offer
from services.workers.vllm.vocabulary import Vocabulary


class Generator:
    """Renders prompts, has the engine go on with them, and makes events of what it puts out."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._api = engine.api
        self._llm = engine.llm
        tokenizer = engine.llm.get_tokenizer()
        self._vocabulary = Vocabulary(tokenizer)
        self._continuing = Continuing(engine.api, tokenizer, engine.end_tokens)
        self._parsing: Parsing | None = None
        self._thinks = False
        if engine.parser_class is not None:
            self._parsing = Parsing(engine.api, engine.parser_class, tokenizer, engine.model_config)
            self._thinks = engine.parser_class.reasoning_parser_cls is not None
        own = getattr(tokenizer, "chat_template", None)  # several by name, where a model has them
        self.effort = Effort(engine.chat_template or str(own or "") if self._thinks else "")
        self._numbers = itertools.count(1)

    @property
    def calls_tools(self) -> bool:
        """Whether there is a parser for tool calls."""
        return self._parsing is not None and self._engine.parser_class.tool_parser_cls is not None

    async def generate(
        self, spec: generation.GenerationSpec, context: AttemptContext
    ) -> AsyncGenerator[generation.GenerationEvent, None]:
        """Generate. Closing the generator aborts the request in the engine."""
        translation.check(spec, admitted=self._engine.admitted)
        messages, offered = chat_messages(spec), offer(spec)
        told = self.effort.template_kwargs(spec.reasoning_effort)
        given = "prompt" if spec.HasField("prompt") else "messages"
        with self._engine.failures(model=spec.model, field=given, prompt=given), _readable_pictures(spec):
            if given == "prompt":
                prompt = await self._tokenized(spec.prompt, salted(context.tenant))
            else:
                # A copy, since the renderer makes objects of the arguments of tool calls.
                prompt = await self._rendered(copy.deepcopy(messages), offered, told, salted(context.tenant))
        arguments = translation.sampling_arguments(
            spec,
            self._engine.sampling_defaults,
            prompt_tokens=len(prompt["prompt_token_ids"]),
            context_tokens=self._engine.context_tokens,
        )
        at_fault = "tools" if offered.tools else _form_of(spec, arguments) or (given if given == "prompt" else "")
        with self._engine.failures(model=spec.model, field=at_fault, prompt=given):
            if "structured_outputs" in arguments:
                arguments["structured_outputs"] = self._api.StructuredOutputsParams(**arguments["structured_outputs"])
            reading = self._reading(spec, messages, offered, told, arguments)
            if reading is not None:
                arguments = reading.sampling(arguments)
            fold = self._fold(spec, reading, offered)
            more = self._besides(spec, reading, prompt, context.traceparent)
            if context.continuation is None:
                running = self._running(prompt, arguments, more)
            else:
                plain = reading is None and spec.choices <= 1 and not spec.HasField("logprobs")
                running = self._going_on(
                    self._continuing.take_up(context.continuation, prompt, arguments, plain=plain), more
                )
            begun = False
            async with running as outputs:
                async for output in outputs:
                    if not begun:
                        begun = True
                        yield answer.started(spec.model)
                    for event in fold.deltas(output):
                        yield event
        yield fold.finished()

    async def warm_up(self) -> bool:
        """Render a conversation, since the first takes 0.4 s. Whether it can be: some models have no chat template."""
        try:
            await self._rendered([{"role": "user", "content": "Hello"}], Offer([], "auto", True), {}, {})
        except self._api.errors.no_template:
            return False
        return True

    async def _rendered(
        self, messages: list[dict[str, Any]], offered: Offer, told: Mapping[str, Any], extras: dict[str, str]
    ) -> dict[str, Any]:
        """The prompt in tokens. Template and tokenizer run in the renderer's own threads."""
        renderer = self._llm.renderer
        kwargs = {"add_generation_prompt": True, "tokenize": True, **told}
        if offered.tools:
            kwargs["tools"] = offered.tools
        params = self._api.ChatParams(chat_template=self._engine.chat_template, chat_template_kwargs=kwargs)
        _, (prompt,) = await renderer.render_chat_async(
            [messages], params, renderer.default_chat_tok_params, prompt_extras=extras
        )
        rendered: dict[str, Any] = prompt
        return rendered

    async def _tokenized(self, prompt: generation.Prompt, extras: dict[str, str]) -> dict[str, Any]:
        """A prompt as it is. A text gets what the model's tokenizer begins texts with; token ids get nothing."""
        given: dict[str, Any] = {"prompt": prompt.text}
        if prompt.HasField("token_ids"):
            given = {"prompt_token_ids": list(prompt.token_ids.ids)}
        params = dataclasses.replace(self._llm.renderer.default_cmpl_tok_params, add_special_tokens=True)
        (tokenized,) = await self._llm.renderer.render_cmpl_async([given], params, prompt_extras=extras)
        rendered: dict[str, Any] = tokenized
        return rendered

    def _reading(
        self,
        spec: generation.GenerationSpec,
        messages: list[dict[str, Any]],
        offered: Offer,
        told: Mapping[str, Any],
        arguments: Mapping[str, Any],
    ) -> Reading | None:
        """How the answer is to be read, where it is not text alone. What is text alone costs less without parsers."""
        if self._parsing is None or spec.HasField("prompt") or not (offered.tools or self._thinks):
            return None
        return self._parsing.reading(
            model=spec.model, messages=messages, offer=offered, template_kwargs=told, arguments=arguments
        )

    def _fold(self, spec: generation.GenerationSpec, reading: Reading | None, offered: Offer) -> answer.Answer:
        choices = spec.choices or 1
        return answer.Answer(
            choices=choices,
            top_logprobs=spec.logprobs.top,
            vocabulary=self._vocabulary,
            parsers=[reading.choice(parallel=offered.parallel) for _ in range(choices)] if reading else (),
        )

    def _besides(
        self, spec: generation.GenerationSpec, reading: Reading | None, prompt: Mapping[str, Any], traceparent: str
    ) -> dict[str, Any]:
        """Arguments of the engine's `generate` besides prompt and sampling."""
        more = reading.of_engine(prompt["prompt_token_ids"]) if reading else {}
        if self._thinks and reading is None:
            more["reasoning_ended"] = True  # all is text: a form applies from the first token on
        if spec.model in self._engine.adapters:
            more["lora_request"] = self._engine.adapters[spec.model]
        if traceparent and self._engine.traced:
            more["trace_headers"] = {"traceparent": traceparent}
        return more

    @contextlib.asynccontextmanager
    async def _running(
        self, prompt: dict[str, Any], arguments: Mapping[str, Any], more: Mapping[str, Any]
    ) -> AsyncIterator[AsyncGenerator[Any, None]]:
        """The engine's outputs. However this ends, the engine is rid of the request."""
        params = self._api.SamplingParams(**arguments, output_kind=self._api.RequestOutputKind.DELTA)
        request_id = str(next(self._numbers))
        try:
            async with contextlib.aclosing(self._llm.generate(prompt, params, request_id, **more)) as outputs:
                yield outputs
        finally:
            # The engine aborts by itself what is cancelled, unless that happens while the request is being handed over.
            await self._llm.abort(request_id)

    @contextlib.asynccontextmanager
    async def _going_on(
        self, continued: Continued, more: Mapping[str, Any]
    ) -> AsyncIterator[AsyncGenerator[Any, None]]:
        """What follows on what another engine said, as that one would have put it out."""
        async with contextlib.AsyncExitStack() as stack:
            outputs = None
            if not continued.over:
                outputs = await stack.enter_async_context(self._running(continued.prompt, continued.arguments, more))
            yield await stack.enter_async_context(contextlib.aclosing(continued.follow(outputs)))


@contextlib.contextmanager
def _readable_pictures(spec: generation.GenerationSpec) -> Iterator[None]:
    """What the renderer raises of pictures that it cannot read is no exception of vLLM's own."""
    try:
        yield
    except ValueError as error:
        if not has_pictures(spec):
            raise
        raise invalid("messages", "A picture cannot be read.") from error


def _form_of(spec: generation.GenerationSpec, arguments: Mapping[str, Any]) -> str:
    """The field that gives the answer its form."""
    if "structured_outputs" not in arguments:
        return ""
    return "response_format" if spec.HasField("response_format") else "provider_options_json.structured_outputs"
