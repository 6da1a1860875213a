"""Sampling parameters of vLLM's own API that the contract does not have, as provider options."""

from typing import Annotated, Any

import pydantic

from services.workers.vllm.failures import invalid, unsupported

_FIELD = "provider_options_json"
_Tokens = Annotated[tuple[Annotated[int, pydantic.Field(ge=0, lt=1 << 31)], ...], pydantic.Field(max_length=1024)]
_Texts = Annotated[
    tuple[Annotated[str, pydantic.Field(min_length=1, max_length=4096)], ...],
    pydantic.Field(min_length=1, max_length=1024),
]


class _Form(pydantic.BaseModel):
    """A form of the answer that the contract has no word for."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    regex: str | None = pydantic.Field(default=None, min_length=1, max_length=65_536)
    choice: _Texts | None = None
    grammar: str | None = pydantic.Field(default=None, min_length=1, max_length=65_536)

    @pydantic.model_validator(mode="after")
    def _is_one(self) -> "_Form":
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError("give one of regex, choice and grammar")
        return self


class _Options(pydantic.BaseModel):
    """What may be given. All else that vLLM's API takes reaches into the engine, or has a field in the spec."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    min_p: float | None = pydantic.Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = pydantic.Field(default=None, gt=0)
    min_tokens: int | None = pydantic.Field(default=None, ge=0, lt=1 << 31)
    ignore_eos: bool | None = None
    stop_token_ids: _Tokens | None = None
    include_stop_str_in_output: bool | None = None
    skip_special_tokens: bool | None = None
    spaces_between_special_tokens: bool | None = None
    bad_words: _Texts | None = None
    allowed_token_ids: _Tokens | None = None
    structured_outputs: _Form | None = None


NAMES = frozenset(_Options.model_fields)


def sampling_options(text: str, *, model: str) -> dict[str, Any]:
    """The options as arguments of the engine's SamplingParams; `structured_outputs` as those of its own type.

    Raises:
        Failure: UNSUPPORTED, naming an option that is not taken; SPEC_INVALID, naming one with a bad value.
    """
    if not text:
        return {}
    try:
        options = _Options.model_validate_json(text)
    except pydantic.ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        field = ".".join((_FIELD, *(str(part) for part in detail["loc"])))
        if detail["type"] == "extra_forbidden":
            raise unsupported(field, f"`{field}` is not taken by vllm workers; leave it out.", model=model) from error
        raise invalid(field, f"`{field}`: {detail['msg']}.") from error
    return options.model_dump(mode="json", exclude_none=True)
