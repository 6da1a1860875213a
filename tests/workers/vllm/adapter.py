"""A LoRA adapter for SmolLM2-135M, made of noise. Its scale decides whether it is felt."""

import json
import pathlib
import random
import struct

_HIDDEN, _KEY_VALUE, _RANK, _LAYERS = 576, 192, 8, 30


def write_adapter(directory: pathlib.Path, *, scale: float) -> pathlib.Path:
    """Write an adapter in PEFT's format. A scale near 0 leaves greedy answers as they are, a large one none."""
    directory.mkdir(parents=True)
    rng = random.Random(0)
    shapes: dict[str, tuple[list[int], float]] = {}
    for layer in range(_LAYERS):
        for module, width in (("q_proj", _HIDDEN), ("v_proj", _KEY_VALUE)):
            prefix = f"base_model.model.model.layers.{layer}.self_attn.{module}."
            shapes[prefix + "lora_A.weight"] = ([_RANK, _HIDDEN], 0.02)
            shapes[prefix + "lora_B.weight"] = ([width, _RANK], scale)
    header: dict[str, object] = {}
    content = bytearray()
    for name, (shape, deviation) in shapes.items():
        begin, count = len(content), shape[0] * shape[1]
        content += struct.pack(f"<{count}f", *(rng.gauss(0, deviation) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(content)]}
    head = json.dumps(header).encode()  # the whole of the safetensors format: the header's length, the header, numbers
    (directory / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + content)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "smollm2", "r": _RANK}
    config |= {"lora_alpha": 16, "lora_dropout": 0.0, "bias": "none", "target_modules": ["q_proj", "v_proj"]}
    (directory / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return directory
