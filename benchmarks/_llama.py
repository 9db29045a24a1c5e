"""The same weights in llama.cpp, for the rows of a peer: written as GGUF, timed by its own tool.

Needs the package gguf and the program llama-batched-bench, which llama.cpp builds from its sources::

    cmake -B build -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON
    cmake --build build --target llama-batched-bench

Values do not matter to the time, types do: matrices become bfloat16 or blocks of 8-bit integers (q8_0), the
decay's low ranks and all vectors stay float32, as llama.cpp's own converter has it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aegir_dspy.errors import PrerequisiteError
from aegir_dspy.rwkv import Geometry

__all__ = ["TYPES", "timed", "write_gguf"]

TYPES = ("bf16", "q8_0")
_NAMES = {
    "ln1": "attn_norm", "ln2": "attn_norm_2", "att.ln_x": "time_mix_ln", "att.key": "time_mix_key",
    "att.value": "time_mix_value", "att.receptance": "time_mix_receptance", "att.output": "time_mix_output",
    "ffn.key": "channel_mix_key", "ffn.value": "channel_mix_value",
}  # fmt: skip
_TOP = {"emb": "token_embd", "blocks.0.ln0": "token_embd_norm", "ln_out": "output_norm", "head": "output"}


def timed(
    program: Path, model: Path, prompt: int, tokens: int, batch: int, threads: int
) -> tuple[float, float]:
    """Tokens a second of B streams together: reading a prompt of so many tokens, and decoding as many."""
    room = batch * -(-(prompt + tokens) // 256) * 256  # of each stream a multiple of 256
    sizes = {"-npp": prompt, "-ntg": tokens, "-npl": batch, "-c": room, "-t": threads, "-b": 2048, "-ub": 512}
    command = [str(program), "-m", str(model), "--output-format", "jsonl"]
    for name, value in sizes.items():
        command += [name, str(value)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in found.stdout.splitlines() if line.startswith("{")]
    if found.returncode or not lines:
        raise PrerequisiteError(f"expected figures from {program}; found: {found.stderr[-200:].strip()!r}")
    figures = json.loads(lines[-1])
    return float(figures["speed_pp"]), float(figures["speed_tg"])


def write_gguf(path: Path, weights: dict[str, Tensor], geometry: Geometry, kind: str) -> None:
    """Write official RWKV-7 weights as llama.cpp reads them. Raises PrerequisiteError without gguf."""
    try:
        import gguf
    except ImportError as error:
        raise PrerequisiteError("llama.cpp's rows need the package gguf: pip install gguf") from error
    writer = gguf.GGUFWriter(path, "rwkv7")
    _describe(writer, geometry)
    raw = getattr(gguf.GGMLQuantizationType, kind.upper())
    for name, tensor in _renamed(weights, geometry.layers):
        array = tensor.float().contiguous().numpy()
        if array.squeeze().ndim == 2 and not any(part in name for part in ("lerp", "mix_w1", "mix_w2")):
            writer.add_tensor(name, gguf.quants.quantize(array, raw), raw_dtype=raw)
        else:
            writer.add_tensor(name, array.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer, geometry: Geometry) -> None:  # type: ignore[no-untyped-def]
    g = geometry
    writer.add_context_length(1 << 20)
    writer.add_embedding_length(g.width)
    writer.add_block_count(g.layers)
    writer.add_layer_norm_eps(1e-5)
    writer.add_wkv_head_size(g.head_size)
    writer.add_decay_lora_rank(g.decay_rank)
    writer.add_iclr_lora_rank(g.rate_rank)
    writer.add_value_residual_mix_lora_rank(g.value_rank)
    writer.add_gate_lora_rank(g.gate_rank)
    writer.add_feed_forward_length(g.ffn)
    writer.add_head_count(0)
    writer.add_tokenizer_model("rwkv")  # of words that nobody reads
    writer.add_token_list([f"<{i}>" for i in range(g.vocab)])
    writer.add_token_types([1] * g.vocab)
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_unk_token_id):
        add(0)


def _renamed(weights: dict[str, Tensor], layers: int) -> Iterator[tuple[str, Tensor]]:
    for old, new in _TOP.items():
        for end in ("weight", "bias"):
            if f"{old}.{end}" in weights:
                yield f"{new}.{end}", weights[f"{old}.{end}"]
    for layer in range(layers):
        prefix = f"blocks.{layer}."
        own = {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}
        mixes = torch.stack([own[f"att.x_{x}"].flatten() for x in "rwkvag"])
        yield f"blk.{layer}.time_mix_lerp_fused.weight", mixes.view(6, 1, 1, -1)
        yield f"blk.{layer}.channel_mix_lerp_k.weight", own["ffn.x_k"].view(1, 1, -1)
        for rest in ("k_k", "k_a", "r_k", "w0", "a0"):
            yield f"blk.{layer}.time_mix_{rest}.weight", own[f"att.{rest}"].flatten()
        for rest in ("w1", "w2", "a1", "a2", "g1", "g2"):
            yield f"blk.{layer}.time_mix_{rest}.weight", own[f"att.{rest}"].T
        for rest in ("v0", "v1", "v2"):  # the first layer has to have some, and does not use them
            found = own.get(f"att.{rest}", own[f"att.a{rest[1]}"])
            yield f"blk.{layer}.time_mix_{rest}.weight", found.flatten() if rest == "v0" else found.T
        for old, new in _NAMES.items():
            for end in ("weight", "bias"):
                if f"{old}.{end}" in own:
                    yield f"blk.{layer}.{new}.{end}", own[f"{old}.{end}"]
