"""Faults of an echo provider that begin and end while it runs: settings in a file that somebody else writes."""

import pathlib
from typing import Annotated

import pydantic
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.config.provider import EchoProvider

_Rate = Annotated[float | None, pydantic.Field(default=None, ge=0, le=1)]
_Milliseconds = Annotated[float | None, pydantic.Field(default=None, ge=0)]


class _Faults(pydantic.BaseModel):
    """What the file may have."""

    model_config = pydantic.ConfigDict(extra="forbid")

    first_token_ms: _Milliseconds
    token_ms: _Milliseconds
    capacity: Annotated[int | None, pydantic.Field(default=None, ge=0)]
    failure_rate: _Rate
    cut_rate: _Rate
    hang_rate: _Rate


class FaultsFile:
    """The provider's settings, with those of the file for as long as that is there."""

    def __init__(self, config: EchoProvider) -> None:
        self._config = config
        self._file = pathlib.Path(config.faults_file)
        self._written = 0
        self._faulty = config

    def settings(self) -> EchoProvider:
        """The settings now. The file is read again when it has changed.

        Raises:
            Failure: ENGINE_FAILED, for a file that makes no sense.
        """
        if not self._config.faults_file:
            return self._config
        try:
            written = self._file.stat().st_mtime_ns
            if written != self._written:
                self._faulty = self._config.model_copy(update=self._read())
                self._written = written
        except FileNotFoundError:
            return self._config
        return self._faulty

    def _read(self) -> dict[str, float]:
        text = self._file.read_bytes()
        try:
            return _Faults.model_validate_json(text).model_dump(exclude_none=True)
        except pydantic.ValidationError as error:
            detail = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, detail["loc"])) or "it"
            message = f"The faults file makes no sense: {where}: {detail['msg']}."
            raise Failure(reasons.ERROR_REASON_ENGINE_FAILED, message) from error
