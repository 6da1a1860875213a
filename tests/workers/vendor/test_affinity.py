"""Which key is whose."""

import collections

from hypothesis import given
from hypothesis import strategies as st

from services.workers.vendor import affinity

LABELS = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=12, unique=True)
TENANTS = st.text(max_size=12)


@given(TENANTS, LABELS)
def test_an_order_has_every_key_once_and_stays_the_same(tenant: str, labels: list[str]) -> None:
    order = affinity.order(tenant, labels)
    assert sorted(order) == list(range(len(labels)))
    assert affinity.order(tenant, labels) == order


@given(TENANTS, LABELS, st.data())
def test_a_key_that_is_taken_away_leaves_the_order_of_the_others(
    tenant: str, labels: list[str], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(labels))
    left = [label for label in labels if label != gone]
    before = [labels[number] for number in affinity.order(tenant, labels)]
    assert [left[number] for number in affinity.order(tenant, left)] == [one for one in before if one != gone]


@given(TENANTS, LABELS)
def test_the_place_of_a_key_in_the_configuration_does_not_matter(tenant: str, labels: list[str]) -> None:
    shuffled = sorted(labels)
    first = labels[affinity.order(tenant, labels)[0]]
    assert shuffled[affinity.order(tenant, shuffled)[0]] == first


def test_callers_are_spread_over_the_keys() -> None:
    begun = collections.Counter(affinity.order(f"tenant-{number}", ["a", "b", "c", "d"])[0] for number in range(4000))
    assert all(850 < count < 1150 for count in begun.values()), begun


def test_a_label_says_nothing_of_its_key() -> None:
    assert affinity.label("sk-canary") == affinity.label("sk-canary") != affinity.label("sk-canarz")
    assert "canary" not in affinity.label("sk-canary")
