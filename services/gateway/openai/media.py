"""Pictures, recordings and documents of a message: by value or by reference."""

import base64
import binascii
import re

from hybridinference.inference.v1 import conversation_pb2 as conversation

from services.gateway.openai.fields import Fields, refuse

_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*;base64,", re.ASCII | re.IGNORECASE)
FORMAT = re.compile(r"[a-z0-9]{1,16}", re.ASCII)
DETAILS = ("auto", "low", "high")
_AUDIO_TYPES = {"mp3": "audio/mpeg"}  # every other format is called by its own name


def image(part: Fields) -> conversation.Part:
    """The `image_url` part of a chat message."""
    return picture(part.required_members("image_url"), "url")


def picture(source: Fields, name: str) -> conversation.Part:
    """A picture whose address, or content, is the member `name`."""
    url, path = source.required_text(name), source.path(name)
    made = conversation.Image(detail=source.choice("detail", DETAILS) or "")
    if url[:5].lower() == "data:":
        made.media_type, made.data = _data_url(url, path)
        if not made.media_type.startswith("image/"):
            refuse(path, "must be a data: URL of a picture, such as data:image/png;base64,….")
    elif _is_address(url):
        made.url = url
    else:
        refuse(path, "must be an https: URL or a data: URL with base64 content.")
    return conversation.Part(image=made)


def audio(part: Fields) -> conversation.Part:
    """The `input_audio` part."""
    source = part.required_members("input_audio")
    form = source.required_text("format")
    if not FORMAT.fullmatch(form):
        refuse(source.path("format"), "must name an audio format, such as wav or mp3.")
    data = _decoded(source.required_text("data"), source.path("data"))
    return conversation.Part(file=conversation.File(data=data, media_type=_AUDIO_TYPES.get(form, f"audio/{form}")))


def file(part: Fields) -> conversation.Part:
    """The `file` part of a chat message: an id that the provider gave out, or content."""
    return document(part.required_members("file"), ("file_id", "file_data"))


def document(source: Fields, ways: tuple[str, ...]) -> conversation.Part:
    """A document, given in one of some ways: `file_id`, `file_data` and `file_url` are understood."""
    given = {way: text for way in ways if (text := source.text(way)) is not None}
    if len(given) != 1:
        refuse(source.path(), f"must have either {' or '.join(ways)}.")
    ((way, text),) = given.items()
    made = conversation.File(name=source.text("filename") or "")
    if way == "file_id":
        made.id = text
    elif way == "file_url":
        if not _is_address(text):
            refuse(source.path(way), "must be an https: URL.")
        made.url = text
    elif text[:5].lower() == "data:":
        made.media_type, made.data = _data_url(text, source.path(way))
    else:
        made.data = _decoded(text, source.path(way))
    return conversation.Part(file=made)


def _is_address(url: str) -> bool:
    return url[:8].lower() == "https://" or url[:7].lower() == "http://"


def _data_url(url: str, path: str) -> tuple[str, bytes]:
    head = _DATA_URL.match(url)
    if head is None:
        refuse(path, "must be a data: URL with base64 content, such as data:image/png;base64,….")
    return (head["type"] or "").lower(), _decoded(url[head.end() :], path)


def _decoded(text: str, path: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: a character outside ASCII
        refuse(path, "must be valid base64.")
