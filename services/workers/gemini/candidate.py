"""One candidate of an answer as it arrives: its parts as deltas, and how it ended."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.inference.text import valid_text
from services.workers.gemini.endings import ending
from services.workers.gemini.logprobs import token_logprobs
from services.workers.gemini.signatures import Memory, Signed
from services.workers.gemini.wire import text, words
from services.workers.vendor import failures
from services.workers.vendor.text import Joiner

# Nobody calls as many tools in a turn; a server that counts on would fill our memory.
_MOST_CALLS = 1024
# Protobuf's word for a field that is not set; some servers write it out.
_NOT_ENDED = "FINISH_REASON_UNSPECIFIED"
# What says something about a part, and is none.
_ABOUT = frozenset({"thought", "thoughtSignature", "partMetadata"})


class Candidate:
    """Takes what arrives of one candidate.

    `reason` is how it ended, `said_bytes` how much it has said. Parts of kinds that nobody asked for (pictures, code
    that was run) fail the answer: it would not be whole without.
    """

    def __init__(self, number: int, memory: Memory, *, new_id: Callable[[], str], one_call: bool) -> None:
        self.reason = generation.FINISH_REASON_UNSPECIFIED
        self.said_bytes = 0
        self._number = number
        self._memory = memory
        self._new_id = new_id
        self._one_call = one_call
        self._calls = 0
        self._joiner = Joiner()
        self._digest = hashlib.sha256()
        self._signed: Signed | None = None
        self._spoke = False

    def event(self, value: Mapping[str, Any]) -> generation.GenerationEvent | None:
        """The event of one piece, if it says anything.

        Raises:
            Failure: PROVIDER_MALFORMED; or why the candidate was given up.
        """
        event = generation.GenerationEvent()
        delta = event.delta
        content = value.get("content")
        if content is not None:
            parts = content.get("parts") if isinstance(content, dict) else 0
            if parts is not None and not isinstance(parts, list):
                raise failures.malformed("a candidate that cannot be read")
            for part in parts or ():
                self._part(part, delta)
        logprobs = value.get("logprobsResult")
        if logprobs:
            delta.logprobs.extend(token_logprobs(logprobs))
        reason = value.get("finishReason")
        if reason and reason != _NOT_ENDED:
            self._say(delta, self._joiner.rest("text"))
            self._think(delta, self._joiner.rest("thought"))
            self.reason = ending(reason, called=self._calls > 0)
        if not delta.ByteSize():
            return None
        if self._number:
            delta.choice = self._number
        return event

    def remember(self) -> None:
        """Keep the signature of the whole text, now that it is whole."""
        if self._signed is not None and self._spoke:  # no words are those of any other answer
            self._memory.keep_text(self._digest.digest(), self._signed)

    def _part(self, part: object, delta: generation.Delta) -> None:
        if not isinstance(part, dict):
            raise failures.malformed("a part that is no object")
        signature = _signature(part)
        if "text" in part:
            said = part["text"]
            if not isinstance(said, str):
                raise failures.malformed("a piece of text that is none")
            if part.get("thought"):
                self._think(delta, self._joiner.piece("thought", said))
                said = ""
            else:
                said = self._say(delta, self._joiner.piece("text", said))
            self._sign(signature, len(said))
        elif "functionCall" in part:
            self._call(part["functionCall"], signature, delta)
        else:
            unknown = next((name for name in part if name not in _ABOUT), "")
            if unknown:
                shown = unknown if re.fullmatch(r"[A-Za-z]{1,40}", unknown) else "unknown"
                raise failures.malformed(f"a part of the kind `{shown}`, which was not asked for")
            self._sign(signature, 0)

    def _say(self, delta: generation.Delta, said: str) -> str:
        if said:
            delta.text += said
            self._spoke = True
            encoded = said.encode()
            self.said_bytes += len(encoded)
            self._digest.update(encoded)
        return said

    def _think(self, delta: generation.Delta, thought: str) -> None:
        if thought:
            delta.reasoning += thought
            self.said_bytes += len(thought.encode())

    def _sign(self, signature: bytes, tail: int) -> None:
        if signature:
            self._signed = Signed(signature, tail)
        elif tail and self._signed is not None:
            # More of the same text: a signature covers it to its end.
            self._signed = self._signed._replace(tail=self._signed.tail + tail)

    def _call(self, call: object, signature: bytes, delta: generation.Delta) -> None:
        if (
            not isinstance(call, dict)
            or not words(call.get("name"))
            or not isinstance(call.get("args", {}), dict | None)
        ):
            raise failures.malformed("a tool call that cannot be read")
        if call.get("partialArgs") or call.get("willContinue"):
            raise failures.malformed("a piece of a tool call, which was not asked for")
        try:
            arguments = text(call.get("args") or {})
        except ValueError:
            raise failures.malformed("a tool call that cannot be read") from None
        if self._calls >= _MOST_CALLS:
            raise failures.malformed(f"more than {_MOST_CALLS} tool calls")
        self._calls += 1
        if self.reason == generation.FINISH_REASON_STOP:
            self.reason = generation.FINISH_REASON_TOOL_CALLS  # some servers say with each piece that it is the last
        if self._one_call and self._calls > 1:
            return  # the caller said that it takes one at a time; the API cannot be told
        identifier = valid_text(words(call.get("id"))) or self._new_id()
        if signature:
            self._memory.keep_call(identifier, signature)
        name = valid_text(call["name"])
        self.said_bytes += len(name) + len(arguments)
        delta.tool_calls.add(
            index=self._calls - 1,
            id=identifier,
            name=name,
            arguments_json=arguments,
            signature=signature,
        )


def _signature(part: Mapping[str, Any]) -> bytes:
    given = part.get("thoughtSignature")
    if not given:
        return b""
    try:
        # Protobuf's JSON may be written with either alphabet.
        return base64.b64decode(given.translate(_STANDARD), validate=True)
    except (AttributeError, ValueError, binascii.Error):
        raise failures.malformed("a thought signature that cannot be read") from None


_STANDARD = str.maketrans("-_", "+/")
