"""Text that protobuf can carry, out of JSON that may hold half a character."""


class Joiner:
    """Makes the pieces of several texts valid: halves of one character that came apart are put together again.

    JSON may escape half a character, a lone surrogate, and some servers cut between the halves. Each text has a key.
    """

    def __init__(self) -> None:
        self._halves: dict[object, str] = {}

    def piece(self, key: object, text: str) -> str:
        """The next piece of a text. A first half at its end is kept for the piece that follows."""
        if text.isascii() and not self._halves:  # isascii() reads a flag
            return text
        text = self._halves.pop(key, "") + text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._halves[key] = text[-1]
            text = text[:-1]
        return valid(text)

    def rest(self, key: object) -> str:
        """What is left of a text that has ended."""
        return valid(self._halves.pop(key, ""))


def valid(text: str) -> str:
    """The text with each lone surrogate replaced by U+FFFD, and each pair by the character that it stands for."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
