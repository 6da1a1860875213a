"""Pictures, recordings and documents of a chat message: by value or by reference."""

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
    """The `image_url` part."""
    source = part.required_members("image_url")
    url, path = source.required_text("url"), source.path("url")
    picture = conversation.Image(detail=source.choice("detail", DETAILS) or "")
    if url[:5].lower() == "data:":
        picture.media_type, picture.data = _data_url(url, path)
        if not picture.media_type.startswith("image/"):
            refuse(path, "must be a data: URL of a picture, such as data:image/png;base64,….")
    elif url[:8].lower() == "https://" or url[:7].lower() == "http://":
        picture.url = url
    else:
        refuse(path, "must be an https: URL or a data: URL with base64 content.")
    return conversation.Part(image=picture)


def audio(part: Fields) -> conversation.Part:
    """The `input_audio` part."""
    source = part.required_members("input_audio")
    form = source.required_text("format")
    if not FORMAT.fullmatch(form):
        refuse(source.path("format"), "must name an audio format, such as wav or mp3.")
    data = _decoded(source.required_text("data"), source.path("data"))
    return conversation.Part(file=conversation.File(data=data, media_type=_AUDIO_TYPES.get(form, f"audio/{form}")))


def file(part: Fields) -> conversation.Part:
    """The `file` part: an id that the provider gave out, or content."""
    source = part.required_members("file")
    document = conversation.File(name=source.text("filename") or "")
    identifier, content = source.text("file_id"), source.text("file_data")
    if (identifier is None) == (content is None):
        refuse(part.path("file"), "must have either file_id or file_data.")
    if content is None:
        document.id = identifier or ""
    elif content[:5].lower() == "data:":
        document.media_type, document.data = _data_url(content, source.path("file_data"))
    else:
        document.data = _decoded(content, source.path("file_data"))
    return conversation.Part(file=document)


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
