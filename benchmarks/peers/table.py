"""All peers that are measured."""

from collections.abc import Mapping

from benchmarks.peers.litellm import litellm
from benchmarks.peers.peer import Peer, from_npm, from_pypi
from benchmarks.peers.portkey import PACKAGE, portkey
from benchmarks.peers.smg import smg
from benchmarks.peers.vllm_router import vllm_router

PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        from_pypi("litellm", litellm),
        from_pypi("vllm-router", vllm_router),
        from_pypi("smg", smg),
        from_npm("portkey", PACKAGE, portkey),
    )
}
