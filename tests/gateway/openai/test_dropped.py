"""The header that tells what was left out."""

from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai.dropped import header

SPEC = generation.GenerationSpec(provider_options_json='{"min p\\n": 1, "zähl": 2}')


def test_nothing_dropped_is_no_header() -> None:
    assert header((), SPEC) == ()


def test_names_are_the_callers_own_and_fit_a_header() -> None:
    fields = ["sampling.seed", "sampling.top_k", "provider_options_json"]
    assert header(fields, SPEC) == (("x-hybrid-dropped", "seed,top_k,min%20p%0A,z%C3%A4hl"),)


def test_many_long_names_are_cut() -> None:
    options = ",".join(f'"{index}{"x" * 1000}": 1' for index in range(1000))
    ((_, value),) = header(["provider_options_json"], generation.GenerationSpec(provider_options_json=f"{{{options}}}"))
    assert len(value) < 4096
