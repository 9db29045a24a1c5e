"""A latent lens: what a model made of a whole vocabulary or glossary, kept under its content.

A lens holds two things read once from the texts of a registry: a vector for each of its labels, which
sharpens what is said of a column, and one fused state, every text read alone and the states fused. The state
is an immutable `State` with the identity of the model that read it, so it fuses like an agent's:
``aegir_dspy.fuse([state, lens.state])``. A lens may sharpen or speed up; what passes the verifier is not its
business, and nothing there looks at one.

As one more member of a column's fused context, untrained for it, the state of sotab82's lens showed no gain:
56 of 78 dev columns right with it, 61 without, 54 alone (one run of `benchmarks/text.py --quick`, too few to
call it harm). So nothing fuses it by default; what the annotator uses are the vectors.

The key is the sha256 of what decides the content: the registry's texts, the checkpoint that read them, and
the projection that made the vectors.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from aegir_dspy.errors import StateError
from aegir_dspy.latent.fusion import fuse_tensors
from aegir_dspy.latent.specialist import FrozenSpecialist
from aegir_dspy.rwkv.geometry import Geometry
from aegir_dspy.rwkv.state import Identity, State, StateTensors

__all__ = ["Lens", "LensCache", "lens_key", "projection_hash", "registry_hash"]

_FORMAT = "aegir.lens/1"
Vectors = Callable[[], Tensor]


def registry_hash(texts: Sequence[Sequence[bytes]]) -> str:
    """sha256 of the texts of each label, in order."""
    sha = hashlib.sha256()
    for label in texts:
        sha.update(len(label).to_bytes(8, "big"))
        for text in label:
            sha.update(len(text).to_bytes(8, "big") + text)
    return sha.hexdigest()


def projection_hash(projection: nn.Module) -> str:
    """sha256 of a module's tensors, by name."""
    sha = hashlib.sha256()
    for name, tensor in sorted(projection.state_dict().items()):
        sha.update(f"{name} {tuple(tensor.shape)};".encode())
        sha.update(tensor.detach().cpu().double().numpy().tobytes())
    return sha.hexdigest()


def lens_key(registry: str, checkpoint: str, projection: str) -> str:
    """The address of a lens, from the hashes of what decides it."""
    return hashlib.sha256(f"{_FORMAT} {registry} {checkpoint} {projection}".encode()).hexdigest()


@dataclass(frozen=True)
class Lens:
    """A vocabulary as read by one model.

    Attributes:
        registry, projection: hashes of the texts and of what made the vectors.
        vectors: (L, size), one for each label.
        state: every text read alone, fused.
    """

    registry: str
    projection: str
    vectors: Tensor
    state: State

    @property
    def key(self) -> str:
        """The address: the same texts, model and projection give the same key."""
        return lens_key(self.registry, self.state.identity.checkpoint, self.projection)

    @property
    def digest(self) -> str:
        """sha256 of key and contents."""
        sha = hashlib.sha256(f"{self.key} {self.state.digest} {tuple(self.vectors.shape)}".encode())
        sha.update(self.vectors.contiguous().cpu().numpy().tobytes())
        return sha.hexdigest()

    @classmethod
    def read(
        cls, specialist: FrozenSpecialist, texts: Sequence[Sequence[bytes]], vectors: Tensor, projection: str
    ) -> Lens:
        """Read a registry.

        Args:
            texts: of each label, serialized as the model is used to; empty ones are no texts.
            vectors: (L, size) of the labels; projection: the hash of what made them.

        Raises:
            StateError: no texts, or not a vector for each label.
        """
        flat = [text for label in texts for text in label if text]
        if not flat or len(texts) != len(vectors):
            raise StateError(
                f"expected texts and a vector for each of {len(texts)} labels, found {len(flat)} texts and "
                f"{len(vectors)} vectors: describe the labels, and encode the same ones"
            )
        alone = specialist.read(flat).states
        fused = fuse_tensors(alone, torch.ones(1, len(flat), dtype=torch.bool))
        cpu = StateTensors(*(tensor.cpu() for tensor in fused))
        state = State(cpu, specialist.identity, sum(map(len, flat)))
        return cls(registry_hash(texts), projection, vectors.cpu(), state)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file under a temporary name, then rename."""
        path, identity = Path(path), self.state.identity
        tensors = {name: tensor.contiguous() for name, tensor in self.state.tensors._asdict().items()}
        meta = {
            "format": _FORMAT,
            "registry": self.registry,
            "projection": self.projection,
            "checkpoint": identity.checkpoint,
            "tokenizer": identity.tokenizer,
            "geometry": json.dumps(identity.geometry.to_json(), sort_keys=True),
            "layout": identity.layout,
            "tokens": str(self.state.tokens),
            "digest": self.digest,
        }
        temporary = path.with_name(f"{path.name}.{uuid4().hex}.tmp")
        save_file({**tensors, "vectors": self.vectors.contiguous()}, temporary, meta)
        temporary.replace(path)

    @classmethod
    def load(cls, path: str | Path, identity: Identity, key: str | None = None) -> Lens:
        """Read what `save` wrote.

        Args:
            identity: of the model that is going to use it. key: the lens expected; None for any.

        Raises:
            StateError: no lens, a damaged one, another model's, or another registry's.
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                meta = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in (*StateTensors._fields, "vectors")}
            vectors = tensors.pop("vectors")
            geometry = Geometry.from_json(json.loads(meta["geometry"]))
            own = Identity(meta["checkpoint"], meta["tokenizer"], geometry, meta["layout"])
            state = State(StateTensors(**tensors), own, int(meta["tokens"]))
            lens = cls(meta["registry"], meta["projection"], vectors, state)
            whole = meta["format"] == _FORMAT and meta["digest"] == lens.digest
        except Exception as error:
            raise StateError(
                f"expected a lens written by Lens.save, found {path}: {error}; read the vocabulary again"
            ) from error
        if not whole:
            raise StateError(
                f"expected the contents that the digest names, found others in {path}: "
                "delete the file and read the vocabulary again"
            )
        identity.require(own)
        if key is not None and lens.key != key:
            raise StateError(
                f"expected lens {key[:12]}, found {lens.key[:12]} in {path}: read the vocabulary again"
            )
        return lens


class LensCache:
    """Lenses kept in a folder by their key."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def get(
        self,
        specialist: FrozenSpecialist,
        texts: Sequence[Sequence[bytes]],
        vectors: Vectors,
        projection: str,
    ) -> Lens:
        """The lens of these texts, read only if it is not there yet. A file that is refused is read anew.

        Args:
            vectors: makes the (L, size) vectors when they are needed.
            projection: the hash of what makes them.
        """
        key = lens_key(registry_hash(texts), specialist.identity.checkpoint, projection)
        path = self.folder / f"{key}.safetensors"
        if path.exists():
            try:
                return Lens.load(path, specialist.identity, key)
            except StateError as error:
                warnings.warn(f"{error}", stacklevel=2)
        lens = Lens.read(specialist, texts, vectors(), projection)
        self.folder.mkdir(parents=True, exist_ok=True)
        lens.save(path)
        return lens
