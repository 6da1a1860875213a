"""What every section of the configuration has in common."""

import pydantic


class Section(pydantic.BaseModel):
    """A frozen section; unknown keys are mistakes."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
