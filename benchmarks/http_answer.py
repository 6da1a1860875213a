"""An HTTP/1.1 answer as it is read: where its body ends, and how many words there are in it. No more is parsed."""

import re

# Every token of every answer has this word in it, and nothing else of an answer has: not an event, which may bring
# several tokens or none, is counted.
WORD = b"seven"

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)


class Answer:
    """One answer, which is told its bytes in whichever parts they come.

    Attributes:
        status: of HTTP; 0 until the head is there.
        tokens: words so far.
        writes: HTTP chunks of the body so far, or reads where it has no chunks.
        done: it is whole. One that ends with its connection never is.
        endless: it ends with its connection.
        excerpt: how its head begins.
    """

    __slots__ = ("_body", "_carry", "_left", "_rest", "done", "endless", "excerpt", "status", "tokens", "writes")

    def __init__(self) -> None:
        self.status = self.tokens = self.writes = 0
        self.done = self.endless = False
        self.excerpt = self._rest = self._carry = b""
        self._left = 0  # bytes of a body whose length is known
        self._body = self._head

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            ValueError: they are no answer of HTTP/1.1.
        """
        self._body(self._rest + data if self._rest else data)

    def _head(self, data: bytes) -> None:
        end = data.find(_HEAD_END)
        if end < 0:
            self._rest = data
            return
        self.excerpt, head = data[:200], data[:end]
        self.status, self._rest = int(head.partition(b" ")[2][:3]), b""
        if _CHUNKED.search(head) is not None:
            self._body = self._chunked
        elif (length := _LENGTH.search(head)) is not None:
            self._left, self._body = int(length[1]), self._measured
            self.done = self._left == 0
        else:
            self.endless, self._body = True, self._plain
        if rest := data[end + len(_HEAD_END) :]:
            self._body(rest)

    def _chunked(self, data: bytes) -> None:
        at = 0
        while (line := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:line].partition(b";")[0], 16)
            start, stop = line + 2, line + 2 + size
            if size == 0:
                # Either the empty line, or trailers and then the empty line.
                self.done = data.find(_HEAD_END, line) >= 0
                break
            if len(data) < stop + 2:
                break
            self._plain(data[start:stop])
            at = stop + 2
        self._rest = data[at:]

    def _measured(self, data: bytes) -> None:
        self._left -= len(data)
        self.done = self._left <= 0
        self._plain(data)

    def _plain(self, data: bytes) -> None:
        text = self._carry + data
        self.writes += 1
        self.tokens += text.count(WORD)
        self._carry = text[1 - len(WORD) :]
