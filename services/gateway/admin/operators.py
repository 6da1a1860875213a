"""Who may call the admin service, by the credentials in their files."""

import hashlib
import hmac
import pathlib
import re
import secrets
from collections.abc import Iterable, Mapping

from services.config.access import Operator
from services.gateway import secret_file

_SCHEME = "Bearer "
_PREFIX = "ha_"
_SECRET_BYTES = 32
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 bytes as base64url, without padding
_SECRET_CHARACTERS = 43
# Nobody's: what an unknown name is compared with, so that it takes as long to refuse as a wrong secret.
_NOBODY = hashlib.sha256(b"nobody's").digest()


class Operators:
    """The operators of a configuration. What they prove themselves with is kept as a digest alone."""

    def __init__(self, known: Mapping[str, tuple[Operator, bytes]]) -> None:
        """`known` has each operator by its name, with the SHA-256 of its credential."""
        self._known = known

    @classmethod
    def of_files(cls, operators: Iterable[Operator]) -> "Operators":
        """With the credentials of the files that they name, which are made, for their user alone, where missing.

        Raises:
            OSError: a file can be neither read nor made.
            ValueError: one holds no credential of its operator, or others can read it.
        """
        return cls({each.name: (each, hashlib.sha256(_credential(each)).digest()) for each in operators})

    def identified(self, authorization: str) -> Operator | None:
        """Whose credential that `authorization` is; None where it is nobody's.

        How long it takes says neither whether there is such a name nor how much of a secret was right.
        """
        given = authorization.removeprefix(_SCHEME)
        # A name may have an underscore, and so may a secret: that one has always the same length.
        name = given.removeprefix(_PREFIX)[: -_SECRET_CHARACTERS - 1]
        operator, digest = self._known.get(name, (None, _NOBODY))
        right = hmac.compare_digest(hashlib.sha256(given.encode("utf-8", "replace")).digest(), digest)
        return operator if right and authorization.startswith(_SCHEME) else None


def _credential(operator: Operator) -> bytes:
    path = pathlib.Path(operator.credential)
    prefix = f"{_PREFIX}{operator.name}_"
    content = secret_file.read(path, f"{prefix}{secrets.token_urlsafe(_SECRET_BYTES)}\n".encode())
    text = content.decode("ascii", "replace").strip()
    if not text.startswith(prefix) or not _SECRET.fullmatch(text.removeprefix(prefix)):
        raise ValueError(f"{path} holds no credential of `{operator.name}`; remove it, and a new one is made")
    return text.encode()
