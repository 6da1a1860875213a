"""The secrets under which keys are stored, in a file of their own and never in the database."""

import dataclasses
import hmac
import pathlib
import re
import secrets
from collections.abc import Mapping, Sequence

from services.gateway import secret_file
from services.gateway.identity import credential as credentials
from services.gateway.identity.credential import Credential

_BYTES = 32
_LINE = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ID_DIGITS = 12


@dataclasses.dataclass(frozen=True, slots=True)
class Peppers:
    """All peppers, the one for new keys first.

    Attributes:
        secrets: 32 bytes each, by the id of each, in the order of the file.
    """

    secrets: Mapping[str, bytes] = dataclasses.field(repr=False)

    @classmethod
    def of(cls, secrets: Sequence[bytes]) -> "Peppers":
        """Of one or more, the one for new keys first."""
        return cls({_id_of(secret): secret for secret in secrets})

    @classmethod
    def of_file(cls, path: pathlib.Path) -> "Peppers":
        """Of a file with one in each line, 64 hexadecimal digits. It is made, with one, where there is none.

        To change it, put a line in front: keys made from then on are stored under that, and others go on working while
        the line is there that they were stored under.

        Raises:
            OSError: it can be neither read nor made.
            ValueError: it does not hold peppers, or others can read it.
        """
        text = secret_file.read(path, f"{secrets.token_hex(_BYTES)}\n".encode()).decode("ascii", "replace")
        lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        for number, line in lines:
            if not _LINE.fullmatch(line):  # never quoted: it may be a pepper with a slip in it
                raise ValueError(f"{path}:{number}: a pepper is {2 * _BYTES} digits of 0-9 and a-f")
        if not lines:
            raise ValueError(f"{path} holds no pepper; put back what was there, or remove it, and a new one is made")
        return cls.of([bytes.fromhex(line) for _, line in lines])

    def mac(self, credential: Credential) -> tuple[str, bytes]:
        """What is stored of a new secret: the id of the pepper, and the HMAC under it."""
        pepper_id, pepper = next(iter(self.secrets.items()))
        return pepper_id, credentials.mac(pepper, credential)

    def macs(self, credential: Credential) -> Mapping[str, bytes]:
        """The HMAC under each pepper, by the pepper's id: as many for every key, whatever is known of it."""
        return {pepper_id: credentials.mac(pepper, credential) for pepper_id, pepper in self.secrets.items()}


def _id_of(pepper: bytes) -> str:
    """What a pepper is called in the database. Of 256 random bits a hash says nothing; no credential reads so."""
    return hmac.digest(pepper, b"id of a pepper", "sha256").hex()[:_ID_DIGITS]
