"""Text that protobuf can carry."""


def valid_text(text: str) -> str:
    """The text with each lone surrogate replaced by U+FFFD, and each pair by the character that it stands for."""
    if text.isascii():  # reads a flag
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
