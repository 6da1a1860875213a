"""Envoy's own statistics: those that are documented are there, with labels that say what they are of."""

import pathlib
import re

import httpx2
import pytest

from tests.edge.certificates import Authority

pytestmark = [pytest.mark.edge, pytest.mark.asyncio(loop_scope="module")]

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "edge.md"


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    Authority().write(directory, "edge")
    return {"edge": {"tls": {"certificate": f"{directory}/edge.crt", "key": f"{directory}/edge.key"}}}


async def test_every_statistic_that_is_documented_is_there(envoy):
    async with httpx2.AsyncClient(base_url=f"https://127.0.0.1:{envoy.port}", verify=False) as client:
        assert (await client.get("/v1/models")).status_code == 200
    told = await envoy.prometheus()
    there = {name.removesuffix("_count") for name in re.findall(r"^(envoy_\w+)\{", told, re.MULTILINE)}
    documented = set(re.findall(r"`(envoy_\w+)`", DOCUMENT.read_text()))
    assert len(documented) > 20
    assert documented <= there, documented - there
    labels = 'grpc_service="hybridinference.gateway.v1.OpenAIService",grpc_method="ListModels"'
    assert f'envoy_cluster_grpc_total{{envoy_cluster_name="gateway",{labels}}} 1' in told
