"""Every rule before a real Prometheus: with data of a mesh under load, and every alert caused for real."""

import pytest

from tests.ops.observed import Observed

pytestmark = [pytest.mark.ops, pytest.mark.slow, pytest.mark.timeout(600)]


def test_every_process_is_scraped_by_its_name_and_role(watched: Observed) -> None:
    found = {(one["metric"]["job"], one["metric"].get("process")) for one in watched.query("up == 1")}
    assert {("envoy", "envoy"), ("gateway", "gateway"), ("router", "router"), ("admin", "admin")} <= found
    assert {("loader", "loader"), ("worker", "echo-0"), ("worker", "echo-1"), ("worker", "vendor-0")} <= found
