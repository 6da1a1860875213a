import re
from pathlib import Path

import pytest

from services.cli.setup.environment import CLONE
from services.cli.setup.lockfile import requirements, version

LOCKS = sorted((CLONE / "requirements").glob("*.lock"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_pin_has_hashes_and_no_path_of_a_machine(lock: Path):
    pins = requirements(lock)
    assert pins
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}\b", text) for text in pins.values())
    assert sum(text.count("--hash=") for text in pins.values()) == lock.read_text().count("--hash=")
    assert not re.search(r"file:|https?:|\s/", lock.read_text())


def test_the_locks_agree_on_what_the_mesh_and_its_workers_share():
    mesh, *others = (
        requirements(CLONE / "requirements" / f"{name}.lock") for name in ("mesh", "dev", "engine-cpu", "engine-gpu")
    )
    for other in others:
        shared = mesh.keys() & other.keys()
        assert {"grpcio", "protobuf", "pydantic", "structlog"} <= shared
        assert {name: version(mesh[name]) for name in shared} == {name: version(other[name]) for name in shared}


def test_the_cpu_engine_leaves_out_what_breaks_it():
    assert (
        not {"torchvision", "torchaudio", "torchcodec", "triton", "vllm"}
        & requirements(CLONE / "requirements" / "engine-cpu.lock").keys()
    )


def test_a_comment_or_a_marker_is_no_part_of_a_version(tmp_path):
    lock = tmp_path / "x.lock"
    lock.write_text("# by hand\na-b==1.0+cpu ; python_version < '4' \\\n    --hash=sha256:00\n    # via c\n")
    assert {name: version(text) for name, text in requirements(lock).items()} == {"a-b": "1.0+cpu"}
