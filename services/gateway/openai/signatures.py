"""Gemini's thought signatures of tool calls, where its own OpenAI-compatible endpoint puts them."""

import base64
import binascii
from typing import Any

from services.gateway.openai.fields import Fields, refuse


def signature(call: Fields) -> bytes:
    """The signature that came back with a call; empty where there is none.

    Raises:
        Failure: SPEC_INVALID, with the path of the mistake.
    """
    extra = call.members("extra_content")
    vendor = extra.members("google") if extra else None
    text = vendor.text("thought_signature") if vendor else None
    if vendor is None or text is None:
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        refuse(vendor.path("thought_signature"), "must be valid base64, as it was received.")


def shaped(signature: bytes) -> dict[str, Any]:
    """What a call carries for the client to send back; nothing where there is no signature."""
    if not signature:
        return {}
    return {"extra_content": {"google": {"thought_signature": base64.b64encode(signature).decode()}}}
