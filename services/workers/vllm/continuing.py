"""Going on with an answer that another engine began, exactly where that one stopped.

What was said becomes part of the prompt. The text is made here, by vLLM's own detokenizer, which is first fed the
tokens that were said: so it stands where the other engine's stood, with half a character and the beginning of a stop
text still held back.
"""

import dataclasses
import types
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from typing import Any

from hybridinference.worker.v1 import session_pb2 as session

from services.inference.text import valid_text
from services.workers.continuing import cannot_continue
from services.workers.vllm import compat

# They look at tokens of the answer alone, and would not see those that are part of the prompt now. A penalty on
# repetition counts prompt and answer alike.
_OF_ANSWER_ALONE = ("presence_penalty", "frequency_penalty", "bad_words", "structured_outputs")
_NO_SEED = 1 << 63


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """What is new of the one choice; as vLLM's CompletionOutput."""

    text: str
    token_ids: Sequence[int]
    finish_reason: str | None
    index: int = 0
    logprobs: None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """An output of the engine with its text; as vLLM's RequestOutput."""

    outputs: Sequence[Piece]
    prompt_token_ids: Sequence[int]
    num_cached_tokens: int
    finished: bool


class Continued:
    """An answer that goes on.

    Attributes:
        arguments: of the engine's SamplingParams, for what is left to say.
        prompt: the engine's prompt, with what was said.
        over: whether there is nothing more to come.
    """

    def __init__(
        self,
        detokenizer: Any,
        said: session.Continuation,
        *,
        prompt: Mapping[str, Any],
        arguments: Mapping[str, Any],
        ends: Collection[int],
    ) -> None:
        """Stand where the other engine stood.

        Args:
            detokenizer: vLLM's, fresh.
            said: what was said.
            prompt: the prompt as it was asked.
            arguments: of sampling, as they were asked.
            ends: tokens that end an answer.

        Raises:
            Failure: UNSUPPORTED, where the text is not that of the tokens.
        """
        ids = list(said.token_ids)
        self._detokenizer = detokenizer
        self._asked = prompt["prompt_token_ids"]
        self._sent = len(said.text)
        ended = ids[-1] in ends
        stopped = detokenizer.update(ids, ended) is not None
        if not valid_text(detokenizer.output_text).startswith(said.text):
            raise cannot_continue("The text that was delivered is not that of its tokens.")
        self._reason = "stop" if stopped or ended else "length" if len(ids) >= arguments["max_tokens"] else None
        self.over = self._reason is not None
        self.prompt = {**prompt, "prompt_token_ids": [*self._asked, *ids]}
        self.arguments = _rest(arguments, len(ids))

    async def follow(self, outputs: AsyncIterator[Any] | None) -> AsyncGenerator[Told, None]:
        """The engine's outputs, which have tokens only, with their text; what remains of an answer that is over."""
        if outputs is None:
            yield self._output(self._text(), (), self._reason, cached=0)
            return
        async for output in outputs:
            yield self._told(output)
            if self.over:  # at a stop text: the engine knows of none
                return

    def _told(self, output: Any) -> Told:
        (choice,) = output.outputs
        reason, before = choice.finish_reason, self._detokenizer.num_output_tokens()
        if self._detokenizer.update(list(choice.token_ids), reason == "stop") is not None:
            reason = "stop"
        self._reason, self.over = reason, reason is not None
        ids = self._detokenizer.output_token_ids[before:]  # without what followed a stop text
        return self._output(self._text(), ids, reason, cached=min(output.num_cached_tokens or 0, len(self._asked)))

    def _text(self) -> str:
        """What the caller has not had, as far as it may have it."""
        text: str = self._detokenizer.get_next_output_text(self.over, False)[self._sent :]
        self._sent += len(text)
        return text

    def _output(self, text: str, ids: Sequence[int], reason: str | None, *, cached: int) -> Told:
        return Told([Piece(text, ids, reason)], self._asked, cached, finished=self.over)


class Continuing:
    """Takes up answers of one model."""

    def __init__(self, api: compat.Api, tokenizer: Any, end_tokens: Collection[int]) -> None:
        self._api = api
        self._tokenizer = tokenizer
        self._end_tokens = end_tokens

    def take_up(
        self, said: session.Continuation, prompt: Mapping[str, Any], arguments: Mapping[str, Any], *, plain: bool
    ) -> Continued:
        """Go on with what was said.

        Args:
            said: tokens, at least one, and text.
            prompt: the rendered prompt.
            arguments: of sampling, as they were asked.
            plain: whether it is one choice of text, of which nothing is told apart and nothing else is told.

        Raises:
            Failure: UNSUPPORTED, where it cannot be done exactly.
        """
        if not plain or not said.token_ids:
            raise cannot_continue("Only one choice of plain text can be gone on with.")
        for name in _OF_ANSWER_ALONE:
            if arguments.get(name):
                raise cannot_continue(f"An answer with `{name}` cannot be gone on with.")
        params = self._api.SamplingParams(**arguments)
        request = types.SimpleNamespace(
            request_id="continuation",
            sampling_params=params,
            prompt_token_ids=prompt["prompt_token_ids"],
            prompt_embeds=None,
        )
        ends = {*(arguments.get("stop_token_ids") or ()), *(() if arguments.get("ignore_eos") else self._end_tokens)}
        detokenizer = self._api.IncrementalDetokenizer.from_new_request(self._tokenizer, request)
        return Continued(detokenizer, said, prompt=prompt, arguments=arguments, ends=ends)


def _rest(arguments: Mapping[str, Any], said: int) -> dict[str, Any]:
    """The arguments for what is left of an answer of which so many tokens were said."""
    rest = {name: value for name, value in arguments.items() if name != "stop"}
    rest |= {"detokenize": False, "max_tokens": arguments["max_tokens"] - said}
    if arguments.get("min_tokens"):
        rest["min_tokens"] = max(0, arguments["min_tokens"] - said)
    if arguments.get("seed") is not None:
        # Not the numbers that were drawn already: tokens would follow each other as they did before.
        rest["seed"] = (arguments["seed"] + said) % _NO_SEED
    return rest
