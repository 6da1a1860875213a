"""The chunks of a prompt's completion: those of a chat, but for where text and log probabilities stand."""

from collections.abc import Mapping
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.workers.openai import decode
from services.workers.openai.logprobs import legacy_logprobs

PATH = "/completions"


class Answer(decode.Answer):
    """What has come of one answer."""

    def fill(self, delta: generation.Delta, index: int, choice: Mapping[str, Any]) -> None:
        """Put what a choice says into a delta."""
        text = choice.get("text")
        if text:
            delta.text = self.joined(index, "text", text)
        logprobs = choice.get("logprobs")
        if logprobs:
            delta.logprobs.extend(legacy_logprobs(logprobs))
