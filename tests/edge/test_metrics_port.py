"""Envoy's statistics on a port: that page of the admin interface, and no other."""

import httpx2
import pytest

from tests.mesh.driver import free_base

pytestmark = [pytest.mark.edge, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def sections():
    return {"metrics": {"port": free_base()}}


async def test_prometheus_reads_the_statistics_at_either_name(envoy):
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{envoy.config.metrics.port}") as client:
        for page in ("/metrics", "/stats/prometheus"):
            answer = await client.get(page)
            assert answer.status_code == 200
            assert 'envoy_cluster_membership_healthy{envoy_cluster_name="gateway"} 1' in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/config_dump"),
        ("GET", "/metrics/../config_dump"),
        ("GET", "/metrics?filter=x"),
        ("GET", "/metrics%2f..%2fclusters"),
        ("POST", "/metrics"),
        ("POST", "/quitquitquit"),
        ("POST", "/drain_listeners"),
    ],
)
async def test_nothing_else_of_the_admin_interface_is_there(envoy, method, path):
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{envoy.config.metrics.port}") as client:
        assert (await client.request(method, path)).status_code == 404
