"""The header that tells what was left out."""

import json
import urllib.parse

import pytest
from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai.dropped import header

SPEC = generation.GenerationSpec(provider_options_json='{"min p\\n": 1, "zähl": 2}')


def test_nothing_dropped_is_no_header() -> None:
    assert header((), SPEC) == ()


def test_names_are_the_callers_own_and_fit_a_header() -> None:
    fields = ["sampling.seed", "sampling.top_k", "provider_options_json"]
    assert header(fields, SPEC) == (("x-hybrid-dropped", "seed,top_k,min%20p%0A,z%C3%A4hl"),)


@pytest.mark.parametrize("character", ["x", "ä", "字", "😀"])
def test_many_long_names_are_cut_to_what_a_header_holds_and_that_is_told(character: str) -> None:
    options = {f"{index}{character * 1000}": 1 for index in range(1000)}
    spec = generation.GenerationSpec(provider_options_json=json.dumps(options, ensure_ascii=False))
    ((_, value),) = header(["sampling.seed", "provider_options_json"], spec)
    assert len(value) < 2100
    names = value.split(",")
    assert (names[0], names[-1]) == ("seed", "...")
    whole = [urllib.parse.quote(name[:64], safe="") for name in options]
    assert names[1:-1] == whole[: len(names) - 2]
