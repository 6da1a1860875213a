"""What a caller of /v1/responses calls the fields of a spec."""

import dataclasses
import re
from collections.abc import Sequence

_PARAMS = {
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "logprobs": "include",
    "logprobs.top": "top_logprobs",
    "provider_options_json.verbosity": "text.verbosity",
}
_MESSAGE = re.compile(r"messages\[(\d+)\](?:\.parts(?:\[(\d+)\])?)?(.*)", re.ASCII)
_TOOL = re.compile(r"tools\[(\d+)\](.*)", re.ASCII)
_OF_AN_ITEM = {".tool_call.id": ".call_id", ".tool_result.tool_call_id": ".call_id"}


@dataclasses.dataclass(frozen=True, slots=True)
class Params:
    """Where what became the spec stood in the body.

    Attributes:
        parts: for each message, the paths of its parts.
        tools: for each tool, its path.
    """

    parts: Sequence[Sequence[str]] = ()
    tools: Sequence[str] = ()

    def of(self, field: str) -> str:
        """The caller's word for a field: `messages[0].parts[1]` may be `input[2]`. His own words stay as they are."""
        if message := _MESSAGE.fullmatch(field):
            paths = self.parts[int(message[1])] if int(message[1]) < len(self.parts) else ()
            return _path(paths, message[2]) + _OF_AN_ITEM.get(message[3], "")
        if (tool := _TOOL.fullmatch(field)) and int(tool[1]) < len(self.tools):
            return self.tools[int(tool[1])] + tool[2].removesuffix("_json")
        return _PARAMS.get(field, field.removeprefix("sampling.").removeprefix("provider_options_json."))


def _path(paths: Sequence[str], part: str | None) -> str:
    """The path of one part of a message, or of what holds all of them."""
    if part is not None and int(part) < len(paths):
        return paths[int(part)]
    if len(paths) == 1:
        return paths[0]
    holders = {path.rpartition("[")[0] for path in paths}
    return holders.pop() if len(holders) == 1 else "input"
