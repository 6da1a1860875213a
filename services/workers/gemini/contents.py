"""The conversation in Gemini's words: contents of two roles that take turns, and instructions beside them."""

import base64
from collections.abc import Iterable
from typing import Any

from hybridinference.inference.v1 import conversation_pb2 as conversation

from services.workers.gemini import failures, media, results
from services.workers.gemini.signatures import Memory

# Google's own value for calls that another model made, or whose signature is lost.
UNSIGNED = "skip_thought_signature_validator"

Content = dict[str, Any]


class Contents:
    """Takes the messages in order; `contents` and `instructions` are what has come of them."""

    def __init__(self, memory: Memory, *, signed: bool, files_at: str) -> None:
        self.contents: list[Content] = []
        self.instructions: list[dict[str, Any]] = []
        self.details: list[str] = []
        self._memory = memory
        self._signed = signed
        self._files_at = files_at
        self._calls = results.Calls()

    def add(self, message: conversation.Message, path: str) -> None:
        """The next message.

        Raises:
            Failure: SPEC_INVALID or UNSUPPORTED, naming the part.
        """
        if message.role == conversation.ROLE_TOOL:  # its name is the tool's, which the call has told
            self._say("user", [self._calls.result(part, _path(path, at)) for at, part in enumerate(message.parts)])
            return
        if message.name:
            raise failures.unsupported(f"{path}.name", "speakers have no names")
        if message.role == conversation.ROLE_SYSTEM:
            self.instructions += _spoken(_text(part, _path(path, at)) for at, part in enumerate(message.parts))
        elif message.role == conversation.ROLE_USER:
            self._say("user", _spoken(self._part(part, _path(path, at)) for at, part in enumerate(message.parts)))
        elif message.role == conversation.ROLE_ASSISTANT:
            self._say("model", self._assistant(message, path))
        else:
            raise failures.invalid(f"{path}.role", "must be set")

    def whole(self) -> list[Content]:
        """The contents, once every message is there. They may not be empty: instructions alone are said by the user.

        Raises:
            Failure: SPEC_INVALID, where nobody has said anything.
        """
        if not self.contents:
            self.contents, self.instructions = [{"role": "user", "parts": self.instructions}], []
        if not self.contents[0]["parts"]:
            raise failures.invalid("messages", "must say something")
        for content in self.contents:
            self._complete(content["parts"])
        return self.contents

    def _say(self, role: str, parts: list[dict[str, Any]]) -> None:
        """Roles take turns: what the same one says next is part of its turn."""
        if not parts:
            return
        if not self.contents or self.contents[-1]["role"] != role:
            self.contents.append({"role": role, "parts": []})
        self.contents[-1]["parts"] += parts

    def _complete(self, parts: list[dict[str, Any]]) -> None:
        """Results in order of their calls; a signature on the first call of a turn, which some models insist on."""
        places = [at for at, part in enumerate(parts) if "functionResponse" in part]
        for at, part in zip(places, sorted((parts[at] for at in places), key=self._calls.order), strict=True):
            parts[at] = part
        first = next((part for part in parts if "functionCall" in part), None)
        if first is not None and self._signed:
            first.setdefault("thoughtSignature", UNSIGNED)

    def _assistant(self, message: conversation.Message, path: str) -> list[dict[str, Any]]:
        texts = [part.text for part in message.parts if part.WhichOneof("content") == "text"]
        said = self._said(texts)
        parts: list[dict[str, Any]] = []
        for at, part in enumerate(message.parts):
            kind = part.WhichOneof("content")
            if kind == "text":
                parts += said
                said = []
            elif kind == "refusal":
                parts += _spoken([{"text": part.refusal}])
            elif kind == "tool_call":
                parts.append(self._call(part.tool_call, _path(path, at)))
            elif kind == "reasoning":
                parts += _thought(part.reasoning)
            else:
                raise failures.invalid(_path(path, at), f"cannot be {kind or 'empty'} in this message")
        return parts

    def _said(self, texts: list[str]) -> list[dict[str, Any]]:
        """The text of an answer, with its signature where it was: at the end, on a part of its own."""
        signed = self._memory.text("".join(texts)) if texts else None
        if signed is None:
            return [{"text": text} for text in texts if text]
        whole = "".join(texts)
        head, tail = whole[: len(whole) - signed.tail], whole[len(whole) - signed.tail :]
        last = {"text": tail, "thoughtSignature": _base64(signed.signature)}
        return [{"text": head}, last] if head else [last]

    def _call(self, call: conversation.ToolCall, path: str) -> dict[str, Any]:
        part: dict[str, Any] = {"functionCall": self._calls.call(call, path)}
        signature = call.signature or self._memory.call(call.id)
        if signature:
            part["thoughtSignature"] = _base64(signature)
        return part

    def _part(self, part: conversation.Part, path: str) -> dict[str, Any]:
        kind = part.WhichOneof("content")
        if kind == "image":
            self.details.append(part.image.detail)
            return media.image(part.image, path)
        if kind == "file":
            self.details.append("")
            return media.file(part.file, path, files_at=self._files_at)
        return _text(part, path)


def _path(path: str, at: int) -> str:
    return f"{path}.parts[{at}]"


def _spoken(parts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without empty texts, which the API refuses."""
    return [part for part in parts if part != {"text": ""}]


def _text(part: conversation.Part, path: str) -> dict[str, Any]:
    kind = part.WhichOneof("content")
    if kind != "text":
        raise failures.invalid(path, f"cannot be {kind or 'empty'} in this message")
    return {"text": part.text}


def _thought(reasoning: conversation.Reasoning) -> list[dict[str, Any]]:
    """Earlier thinking goes back with its signature only: without, it may be another model's."""
    if not reasoning.signature:
        return []
    return [{"text": reasoning.text, "thought": True, "thoughtSignature": _base64(reasoning.signature)}]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
