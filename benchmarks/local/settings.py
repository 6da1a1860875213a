"""How the engine is set up: the same for everybody who serves with it."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

MODEL = "bench"


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """The engine's settings.

    Attributes:
        model: directory of the model.
        max_num_seqs: most answers that run at once.
        max_model_len: longest context, in tokens.
        dtype: of weights and cache. float32 is the fastest where the CPU knows no bfloat16.
        kv_cache_bytes: room for the context of all answers.
        threads: of the engine's process. One leaves a core for the front-end on a machine with two.
        layers: of the model, where not all are to run; the answers then mean nothing.
    """

    model: pathlib.Path
    max_num_seqs: int = 64
    max_model_len: int = 2048
    max_num_batched_tokens: int = 2048
    dtype: str = "float32"
    kv_cache_bytes: int = 1 << 30
    threads: int = 1
    layers: int = 0

    def arguments(self) -> dict[str, Any]:
        """The arguments of vLLM's engine. What is not among them is vLLM's own default for everybody."""
        given: dict[str, Any] = {
            "dtype": self.dtype,
            "enforce_eager": True,
            "max_model_len": self.max_model_len,
            "max_num_batched_tokens": self.max_num_batched_tokens,
            "max_num_seqs": self.max_num_seqs,
            "kv_cache_memory_bytes": self.kv_cache_bytes,
        }
        if self.layers:
            given |= {"hf_overrides": {"num_hidden_layers": self.layers}, "load_format": "dummy"}
        return given

    def command_line(self) -> Sequence[str]:
        """The same for vLLM's own servers."""
        line = ["--model", str(self.model), "--served-model-name", MODEL]
        for name, value in self.arguments().items():
            flag = f"--{name.replace('_', '-')}"
            if value is True:
                line.append(flag)
            else:
                line += [flag, json.dumps(value) if isinstance(value, dict) else str(value)]
        return line

    def environment(self) -> dict[str, str]:
        """The environment of vLLM's own servers: what the mesh's worker sets before it imports vLLM."""
        return {
            "OMP_NUM_THREADS": str(self.threads),
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": "WARNING",
            # One process for the engine instead of two, as in the mesh's worker.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        }
