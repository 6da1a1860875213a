"""Server-sent events, as bytes: what arrives in any pieces, cut into the data of whole events."""

from services.workers.vendor import failures

# No token needs as much; without a limit a server could fill our memory with a line that never ends.
LONGEST_BYTES = 1 << 20
# What some editors and servers put before a text in UTF-8, to be passed over.
_MARK = b"\xef\xbb\xbf"


class Frames:
    """Takes what arrives, gives the data of each event that has ended. An event that has not is never given."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, arrived: bytes) -> list[bytes]:
        """The data of the events that end here.

        Raises:
            Failure: PROVIDER_MALFORMED, for an event of more than LONGEST_BYTES.
        """
        lines = (self._rest + arrived).split(b"\n")
        self._rest = lines.pop()
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._add(line)
            elif line in (b"", b"\r") and self._data:  # anything else is a comment, or a field that means nothing here
                events.append(b"\n".join(self._data))
                self._data, self._size = [], 0
            elif line.startswith(_MARK + b"data:"):
                self._add(line.removeprefix(_MARK))
        if len(self._rest) > LONGEST_BYTES:
            raise failures.malformed(f"a line of more than {LONGEST_BYTES >> 20} MiB")
        return events

    def _add(self, line: bytes) -> None:
        self._size += len(line)
        if self._size > LONGEST_BYTES:
            raise failures.malformed(f"an event of more than {LONGEST_BYTES >> 20} MiB")
        self._data.append(line[5:].strip())
