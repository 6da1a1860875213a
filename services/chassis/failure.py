"""The one error that crosses wires."""

from collections.abc import Mapping

from hybridinference.inference.v1 import error_reason_pb2 as reasons


class Failure(Exception):
    """A failure that somebody can act on.

    Attributes:
        reason: for programs, a value of ErrorReason.
        message: for people; says what to do where something can be done.
        metadata: the variable parts, under the keys that the reason's comment names.
        retry_after: seconds after which trying again may help, or None.
    """

    def __init__(
        self,
        reason: reasons.ErrorReason,
        message: str,
        *,
        retry_after: float | None = None,
        metadata: Mapping[str, str] | None = None,
        **fields: str,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.metadata: dict[str, str] = {**(metadata or {}), **fields}

    def __repr__(self) -> str:
        return f"Failure({self.reason_name}, {self.message!r})"

    @property
    def reason_name(self) -> str:
        """The reason's name without its prefix, as ErrorInfo carries it: `MODEL_NOT_FOUND`."""
        return reasons.ErrorReason.Name(self.reason).removeprefix("ERROR_REASON_")
