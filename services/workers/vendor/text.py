"""Text that protobuf can carry, out of JSON that may hold half a character."""

from services.inference.text import valid_text


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
        return valid_text(text)

    def rest(self, key: object) -> str:
        """What is left of a text that has ended."""
        return valid_text(self._halves.pop(key, ""))
