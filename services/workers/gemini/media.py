"""Pictures, recordings and documents as parts: by value, or by an address that Google fetches."""

import base64
import posixpath
from typing import Any

from hybridinference.inference.v1 import conversation_pb2 as conversation

from services.workers.gemini import failures

_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".pdf": "application/pdf",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".html": "text/html",
    ".csv": "text/csv",
    ".mp3": "audio/mp3",
    ".wav": "audio/wav",
    ".mp4": "video/mp4",
}
_RESOLUTIONS = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH"}


def image(picture: conversation.Image, path: str) -> dict[str, Any]:
    """A picture.

    Raises:
        Failure: SPEC_INVALID, where there is none.
    """
    source = picture.WhichOneof("source")
    if source == "url":
        return _address(picture.url, picture.media_type or _guessed(picture.url))
    if source is None:
        raise failures.invalid(path, "must have a picture's bytes or address")
    return _inline(picture.data, picture.media_type or "image/png")


def file(document: conversation.File, path: str, *, files_at: str) -> dict[str, Any]:
    """A file. One that was uploaded is known by its address, which begins with `files_at`, or by its name `files/…`.

    Raises:
        Failure: SPEC_INVALID, where there is none, or its media type is not known.
    """
    source = document.WhichOneof("source")
    if source == "url":
        return _address(document.url, document.media_type or _guessed(document.url))
    if source == "id":
        uri = files_at + document.id if document.id.startswith("files/") else document.id
        return _address(uri, document.media_type)
    media_type = document.media_type or _guessed(document.name)
    if source is None or not media_type:
        raise failures.invalid(path, "must have a file's bytes and its media type, an address, or an id")
    return _inline(document.data, media_type)


def resolution(details: list[str]) -> dict[str, Any]:
    """How closely to look, for all that is looked at: the API can be told no other way.

    `high` if anything asks for it; `low` only where nothing asks for more.
    """
    if "high" in details:
        return {"mediaResolution": _RESOLUTIONS["high"]}
    if details and all(detail == "low" for detail in details):
        return {"mediaResolution": _RESOLUTIONS["low"]}
    return {}


def _inline(data: bytes, media_type: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": media_type, "data": base64.b64encode(data).decode()}}


def _address(uri: str, media_type: str) -> dict[str, Any]:
    named = {"mimeType": media_type} if media_type else {}
    return {"fileData": {**named, "fileUri": uri}}


def _guessed(name: str) -> str:
    return _TYPES.get(posixpath.splitext(name.partition("?")[0].partition("#")[0])[1].lower(), "")
