"""Every feature that needs no fault to show: the rows of the matrix, in its order."""

from services.cli.verify import forms, media, prompts, sampling, texts, tools, vectors

FEATURES = (
    *texts.FEATURES,
    *sampling.FEATURES,
    *tools.FEATURES,
    *forms.FEATURES,
    *media.FEATURES,
    *prompts.FEATURES,
    *vectors.FEATURES,
)
