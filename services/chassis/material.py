"""What proves who a process is, as it was read and found to be good."""

import dataclasses
from collections.abc import Sequence


class CertificateError(Exception):
    """What is in the files cannot be used. Each problem says what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


@dataclasses.dataclass(frozen=True, slots=True)
class Material:
    """What proves who a process is, PEM, and until when it does.

    Attributes:
        ca: those who sign.
        chain: the process's certificate, then those in between.
        key: its private key.
        expires: when the certificate does, in seconds since 1970.
        ca_expires: when the authority does that has signed it, in seconds since 1970.
    """

    ca: bytes
    chain: bytes
    key: bytes = dataclasses.field(repr=False)
    expires: float
    ca_expires: float
