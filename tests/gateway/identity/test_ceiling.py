"""An operator's ceiling, over keys that are to be made and keys that there are."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from services.config.access import Ceiling
from services.gateway.identity.ceiling import beyond, monthly, within
from services.gateway.identity.grant import Grant, Limits

NAMES = ("a", "b", "c")
UNNAMED = ("generate", "embed", "models", "explain")
SCOPES = (*UNNAMED, "overview")

grants = st.builds(
    Grant,
    key_id=st.just("k"),
    owner=st.sampled_from(NAMES),
    models=st.frozensets(st.sampled_from(NAMES)),
    scopes=st.frozensets(st.sampled_from(SCOPES)),
    limits=st.builds(Limits, usd_per_month=st.none() | st.integers(0, 10**12)),
    criticality=st.integers(0, 4),
    weight=st.sampled_from((0.5, 1.0, 2.0)),
)
ceilings = st.builds(
    Ceiling,
    owners=st.none() | st.lists(st.sampled_from(NAMES)).map(tuple),
    models=st.none() | st.lists(st.sampled_from(NAMES)).map(tuple),
    scopes=st.none() | st.lists(st.sampled_from(SCOPES)).map(tuple),
    budget_usd_per_month=st.none() | st.integers(0, 1000).map(float),
    criticality=st.none() | st.sampled_from(("sheddable", "sheddable-plus", "critical", "critical-plus")),
    weight=st.none() | st.sampled_from((0.5, 1.0, 2.0)),
)


def allows(some: frozenset[str], every: tuple[str, ...]) -> set[str]:
    return set(some or every)


@given(grants, ceilings)
def test_what_is_left_is_below_the_ceiling_and_allows_nothing_new(grant: Grant, ceiling: Ceiling) -> None:
    left = within(grant, ceiling)
    if left is None:
        return
    assert beyond(left, ceiling) == ""
    assert allows(left.models, NAMES) <= allows(grant.models, NAMES)
    assert allows(left.scopes, UNNAMED) <= allows(grant.scopes, UNNAMED)
    before, after = grant.limits.usd_per_month, left.limits.usd_per_month
    assert before is None or (after is not None and after <= before)
    assert (left.criticality or 3) <= (grant.criticality or 3)
    assert left.weight <= grant.weight


@given(grants, ceilings)
def test_a_key_below_the_ceiling_is_left_as_it_is(grant: Grant, ceiling: Ceiling) -> None:
    if not beyond(grant, ceiling):
        assert within(grant, ceiling) == grant


def test_a_key_of_whose_models_none_is_allowed_any_more_is_left_nothing_rather_than_all() -> None:
    grant = Grant("k", "a", models=frozenset("a"))
    assert within(grant, Ceiling(models=("b",))) is None
    assert within(grant, Ceiling(models=())) is None
    assert within(Grant("k", "a"), Ceiling(scopes=())) is None
    assert within(Grant("k", "a"), Ceiling(owners=("b",))) is None


def test_what_is_left_open_is_above_what_is_bounded() -> None:
    grant = Grant("k", "a")
    assert beyond(grant, Ceiling(models=("a",))) == "models"
    assert beyond(grant, Ceiling(scopes=("models",))) == "scopes"
    assert beyond(grant, Ceiling(budget_usd_per_month=1)) == "budget_nano_usd_per_month"
    assert beyond(grant, Ceiling(owners=("b",))) == "owner"
    assert beyond(grant, Ceiling()) == ""


def test_who_is_bounded_in_anything_shows_others_the_mesh_only_where_the_ceiling_says_so() -> None:
    sees, plain = Grant("k", "a", scopes=frozenset(SCOPES)), Grant("k", "a", scopes=frozenset(UNNAMED))
    owners, named = Ceiling(owners=("a",)), Ceiling(owners=("a",), scopes=SCOPES)
    assert (beyond(sees, owners), within(sees, owners)) == ("scopes", plain)
    assert (beyond(sees, named), within(sees, named)) == ("", sees)
    assert (beyond(sees, Ceiling()), within(sees, Ceiling())) == ("", sees)
    assert within(Grant("k", "a"), named) == plain, "what no scope of the key names is not given to it by the ceiling"
    assert within(Grant("k", "a", scopes=frozenset({"overview"})), owners) is None


def test_no_key_is_more_critical_or_weighs_more_than_its_ceiling() -> None:
    grant = Grant("k", "a")
    assert beyond(grant, Ceiling(criticality="sheddable")) == "criticality", "what a key says nothing of is critical"
    assert beyond(grant, Ceiling(criticality="critical", weight=1)) == ""
    assert beyond(dataclasses.replace(grant, criticality=4), Ceiling(criticality="critical")) == "criticality"
    assert beyond(grant, Ceiling(weight=0.5)) == "weight"
    left = within(dataclasses.replace(grant, criticality=4, weight=9.0), Ceiling(criticality="sheddable", weight=0.5))
    assert left == dataclasses.replace(grant, criticality=1, weight=0.5)


def test_a_ceiling_in_dollars_is_exact_to_the_nano_dollar() -> None:
    assert monthly(Ceiling(budget_usd_per_month=0.1)) == 100_000_000
    assert monthly(Ceiling(budget_usd_per_month=1234567.000000001)) == 1_234_567_000_000_001
    grant = dataclasses.replace(Grant("k", "a"), limits=Limits(usd_per_month=100_000_001))
    assert beyond(grant, Ceiling(budget_usd_per_month=0.1)) == "budget_nano_usd_per_month"
