"""A whole RWKV-7 model as the kernels read it, and its layers as one call."""

from __future__ import annotations

import ctypes
from operator import attrgetter
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from aegir_dspy.rwkv.kernels.library import Layer, Matrix, Net, Reading, Scoring, library
from aegir_dspy.rwkv.kernels.packing import GROUP, Packed, pack
from aegir_dspy.rwkv.kernels.threads import together
from aegir_dspy.rwkv.scores import Scores
from aegir_dspy.rwkv.state import StateTensors

if TYPE_CHECKING:
    from torch import nn

    from aegir_dspy.rwkv.model import RWKV7, Block

__all__ = ["Network"]

_ROWS = 256  # tokens that go through all layers at once: what lies between two products stays in the cache
_WORTH = 1 << 20  # multiplications below which a thread is not woken
_versions = attrgetter("_version")


class Network:
    """Packed weights of a model, and the calls that use them. Safe to use from several threads.

    Matrices are in the model's type or, for `dtype` int8, in int8 with a scale for every output, but the low
    ranks and what has no multiple of 64 inputs: those are in the model's type.
    """

    def __init__(self, model: RWKV7, dtype: torch.dtype) -> None:
        self.geometry, self.dtype = model.geometry, dtype
        self._sources = [p for p in model.parameters() if not p.is_inference()]
        self._stamp = list(map(_versions, self._sources))
        self._plain = model.emb.weight.dtype
        self._held: list[Tensor | Packed] = []  # what C points to
        layers = [self._layer(block) for block in model.layers()]
        self._layers = (Layer * len(layers))(*layers)
        g = self.geometry
        table = None if g.ngram_buckets else self._vector(_normalised(model))
        norm = (ctypes.c_void_p * 2)(*map(self._vector, (model.ln_out.weight, model.ln_out.bias)))
        self._net = Net(g.layers, g.width, g.heads, g.ffn, g.vocab, self._layers, table, norm)
        self._head_source = model.head.weight
        self._head_stamp = 0 if self._head_source.is_inference() else self._head_source._version
        self._head = pack(model.head.weight, self._dtype(model.head.weight))
        self._emb, self._norm = model.emb.weight, next(model.layers()).ln0
        self._project = pack(model.ngram.project, self._plain) if g.ngram_buckets else None
        self._free: list[Tensor] = []  # scratch nobody uses
        self._numbers = sum(p.weights.numel() for p in self._held if isinstance(p, Packed))
        self._count = torch.arange(1)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()  # a copied model packs its own weights

    @property
    def is_current(self) -> bool:
        """Whether the model's weights are what they were."""
        return list(map(_versions, self._sources)) == self._stamp

    @property
    def head_is_current(self) -> bool:
        """Whether the output matrix is."""
        return self._head_source.is_inference() or self._head_source._version == self._head_stamp

    def read(
        self,
        tokens: Tensor,
        recalled: Tensor | None,
        offsets: Tensor | None,
        state: StateTensors,
        maps: Tensor | None = None,
    ) -> Tensor:
        """All layers and the last norm.

        Args:
            tokens: (M,) of B streams, one stream after the other.
            recalled: (M, width) of the n-gram memory, for a model that has one.
            offsets: (B + 1,) int64: stream b has the rows offsets[b] … offsets[b + 1]; None: one row each.
            state: of B streams; shift and kv are overwritten, tail is left alone.
            maps: (L, B, H, K, K) identities, which become what becomes of them with nothing added.

        Returns:
            (M, D) normalised hidden vectors.
        """
        rows, tokens = len(tokens), tokens.to(torch.int64).contiguous()
        hidden, x = torch.empty(rows, self.geometry.width), self._embedded(tokens, recalled)
        for first in range(0, rows, _ROWS):
            last = min(first + _ROWS, rows)
            part = None if x is None else x[first:last]
            cut = offsets
            if rows > _ROWS:
                cut = (self._up_to(rows) if offsets is None else offsets).clamp(first, last) - first
            self._pass(tokens[first:last], part, cut, state, maps, hidden[first:last])
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """(M, D) float32 → (M, V) float32."""
        return self._score(hidden, 0, None).logits

    def scores(self, hidden: Tensor, choices: int, room: Tensor | None = None) -> Scores:
        """Logits of (M, D) float32, and the best among the first `choices` tokens.

        Args:
            room: where the logits shall lie, what an earlier call returned: large ones are dear to allocate.
                It is not used when it is too small.
        """
        return self._score(hidden, choices, room)

    def _pass(
        self,
        tokens: Tensor,
        x: Tensor | None,
        offsets: Tensor | None,
        state: StateTensors,
        maps: Tensor | None,
        hidden: Tensor,
    ) -> None:
        kernels, rows, streams = library(), len(tokens), state.batch
        assert kernels is not None
        offsets = self._up_to(rows) if offsets is None else offsets
        threads = torch.get_num_threads() if rows * self._numbers >= _WORTH else 1
        bytes_ = kernels.aegir_scratch(self._net, rows, streams)
        scratch = self._take(bytes_)
        shift, kv = state.shift, state.kv
        call = Reading(
            net=ctypes.pointer(self._net), rows=rows, streams=streams, threads=threads,
            offsets=offsets.data_ptr(), tokens=tokens.data_ptr() if x is None else None,
            x=None if x is None else x.data_ptr(), shift=shift.data_ptr(), kv=kv.data_ptr(),
            maps=None if maps is None else maps.data_ptr(), hidden=hidden.data_ptr(),
            scratch=scratch.data_ptr(), shift_stride=shift.stride()[:2], kv_stride=kv.stride(0),
        )  # fmt: skip
        together(threads, lambda: kernels.aegir_read(call))
        self._free.append(scratch)
        if call.wrong:
            raise IndexError(f"expected tokens in 0…{self.geometry.vocab - 1}, found others")

    def _score(self, hidden: Tensor, choices: int, room: Tensor | None) -> Scores:
        rows, width, vocab = len(hidden), self._head.width, self.geometry.vocab
        if room is None or room.untyped_storage().nbytes() < rows * width * room.itemsize:
            room = torch.empty(rows * width)
        logits = torch.as_strided(room, (rows, vocab), (width, 1), 0)
        best, total = torch.empty(rows, dtype=torch.int64), torch.empty(rows)
        if rows:
            told = {"best": best.data_ptr(), "total": total.data_ptr()}
            self._multiply(self._head, hidden, logits, vocab=vocab, choices=choices, **told)
        return Scores(logits, best, total)

    def _multiply(self, packed: Packed, x: Tensor, out: Tensor, **more: int) -> None:
        """`x` (M, depth) float32 times one matrix to `out` (M, width); `more` is for `aegir_score`."""
        kernels, rows, x = library(), len(x), x.contiguous()
        assert kernels is not None
        threads = torch.get_num_threads() if rows * packed.weights.numel() >= _WORTH else 1
        scratch = self._take(x.numel() * 4)
        call = Scoring(
            m=ctypes.pointer(packed.struct), **{"in": x.data_ptr()}, out=out.data_ptr(),
            scratch=scratch.data_ptr(), rows=rows, threads=threads, **more,
        )  # fmt: skip
        together(threads, lambda: kernels.aegir_score(call))
        self._free.append(scratch)

    def _embedded(self, tokens: Tensor, recalled: Tensor | None) -> Tensor | None:
        """(M, D) float32 what the first layer reads; None where a table has it."""
        if recalled is None or self._project is None:
            return None
        norm, x = self._norm, torch.empty(len(recalled), self._project.width)
        if len(x):
            missing = self._project.depth - recalled.shape[1]
            self._multiply(self._project, F.pad(recalled.float(), (0, missing)), x)
        x = F.embedding(tokens, self._emb).float() + x
        return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias)

    def _take(self, size: int) -> Tensor:
        """Scratch that nobody else has, of at least so many bytes."""
        try:
            found = self._free.pop()
        except IndexError:
            found = torch.empty(0, dtype=torch.uint8)
        return found if len(found) >= size else torch.empty(size, dtype=torch.uint8)

    def _up_to(self, count: int) -> Tensor:
        """At least 0, 1, … count: the offsets of streams of one token."""
        if len(self._count) <= count:
            self._count = torch.arange(2 * count + 1)
        return self._count

    def _layer(self, block: Block) -> Layer:
        att, ffn = block.att, block.ffn
        first = not hasattr(att, "v0")
        low = {n: getattr(att, n).t() for n in ("w1", "w2", "a1", "a2", "g1", "g2")}
        low |= {} if first else {n: getattr(att, n).t() for n in ("v1", "v2")}
        big = {"r": att.receptance, "k": att.key, "v": att.value, "o": att.output}
        big |= {"key": ffn.key, "value": ffn.value}
        vectors = {n: getattr(att, n) for n in ("x_r", "x_w", "x_k", "x_v", "x_a", "x_g", "w0", "a0")}
        vectors |= {"k_k": att.k_k, "k_a": att.k_a, "r_k": att.r_k, "x_ffn": ffn.x_k}
        vectors |= {} if first else {"v0": att.v0}
        norms: dict[str, nn.LayerNorm | nn.GroupNorm]
        norms = {"norm1": block.ln1, "norm2": block.ln2, "norm_head": att.ln_x}
        return Layer(
            **{n: self._matrix(weight, self._plain) for n, weight in low.items()},
            **{n: self._matrix(line.weight, self._dtype(line.weight)) for n, line in big.items()},
            **{n: self._vector(vector) for n, vector in vectors.items()},
            **{n: (self._vector(norm.weight), self._vector(norm.bias)) for n, norm in norms.items()},
        )

    def _dtype(self, weight: Tensor) -> torch.dtype:
        fits = self.dtype != torch.int8 or not (weight.shape[1] % GROUP or self.geometry.head_size % GROUP)
        return self.dtype if fits else self._plain

    def _matrix(self, weight: Tensor, dtype: torch.dtype) -> Matrix:
        packed = pack(weight, dtype)
        self._held.append(packed)
        return packed.struct

    def _vector(self, vector: Tensor) -> int:
        held = vector.detach().float().contiguous()
        self._held.append(held)
        return held.data_ptr()


def _normalised(model: RWKV7) -> Tensor:
    """The embeddings as the first layer reads them, (V, D) float32: exact, and a norm less at every token."""
    norm = next(model.layers()).ln0
    return F.layer_norm(model.emb.weight.detach().float(), norm.normalized_shape, norm.weight, norm.bias)
