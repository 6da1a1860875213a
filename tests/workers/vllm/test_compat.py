"""Finding vLLM's parts where this release keeps them."""

import collections

import pytest

from services.workers.vllm import compat


def test_a_thing_is_found_in_the_first_place_that_has_it() -> None:
    assert compat._find("OrderedDict", "no.such.module", "json", "collections", "typing") is collections.OrderedDict


def test_what_is_nowhere_is_named_with_every_place() -> None:
    with pytest.raises(ImportError, match=r"no `Nothing` \(json: .*; no\.such\.module: "):
        compat._find("Nothing", "json", "no.such.module")


def test_an_exception_that_a_release_lacks_has_a_stand_in() -> None:
    assert compat._error("NoSuchError", ValueError) is ValueError


def test_without_the_engine_loading_says_what_is_missing() -> None:
    with pytest.raises(ImportError, match="vllm"):
        compat.load()
