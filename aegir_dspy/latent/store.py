"""What specialists read, kept on disk: a second reading of the same is a look-up.

A key names everything that decides a reading (`content_key`). Values lie in shards, safetensors files that
each hold one batch; an SQLite index beside them says where, and is rebuilt from the shards when it is lost.
Files are written under a temporary name and renamed, transactions are short: several processes may read and
write one folder. When the shards grow over the limit, the least recently used go first.

Every entry carries the sha256 of its key, its reader's identity and its content, with a secret key the
HMAC-SHA256. It is checked whenever the entry is read: an entry that fails is refused, its shard deleted, a
warning given and `StateStore.refused` counted, and the caller reads anew. Without a secret key that finds
damage and mix-ups, not a forger who can write to the folder. Nothing is ever unpickled.

Features are kept in float32, bit by bit, and so are states unless `StoreConfig.dtype` says otherwise.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from aegir_dspy._version import __version__
from aegir_dspy.errors import InputError, StateError
from aegir_dspy.rwkv.state import Identity, StateTensors, zero_tensors

__all__ = ["Kept", "StateStore", "StoreConfig", "content_key"]

_FORMAT = "aegir.states/1"
_SHARD_BYTES = 16_000_000  # a shard is what is evicted at once
_STALE_SECONDS = 3600  # a temporary file this old was left by a process that died
_BUSY_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS shards (name TEXT PRIMARY KEY, bytes INTEGER NOT NULL, used INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS entries (key TEXT, kind TEXT, shard TEXT NOT NULL, row INTEGER NOT NULL,
    PRIMARY KEY (key, kind)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_shard ON entries (shard);
CREATE INDEX IF NOT EXISTS by_use ON shards (used);
"""
_UNREADABLE = (SafetensorError, OSError, LookupError, TypeError, ValueError, RuntimeError)
_SHARD = re.compile(r"(features|state-\w+)-[0-9a-f]{64}\.safetensors")
_INDEX_LOST = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """How readings are kept.

    Attributes:
        dtype: of the matrix states: ``float32`` gives back the same bits; ``bfloat16`` (half the size) and
            ``int8`` with one scale a layer and head (a quarter) do not, readings from such states differ in
            the last digits. Token shifts and features are always float32.
        max_bytes: size of all shards together; the least recently used go when it is exceeded.
        key: secret for HMAC-SHA256; None for plain sha256.
    """

    dtype: Literal["float32", "bfloat16", "int8"] = "float32"
    max_bytes: int = 1_000_000_000
    key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16", "int8") or self.max_bytes < 1 or self.key == b"":
            raise InputError(
                "expected dtype float32, bfloat16 or int8, max_bytes >= 1 and a key that is not empty, found "
                f"{self.dtype!r}, {self.max_bytes} and a key of {len(self.key or b'')} bytes"
            )


class Kept(NamedTuple):
    """One reading. features: (2·D) float32. state: one stream, or None where it was not asked for."""

    features: Tensor
    state: StateTensors | None


def content_key(piece: bytes, identity: Identity, how: str = "", start: str = "") -> str:
    """The name of a reading: sha256 over what was read × by whom × how.

    Args:
        piece: the bytes that are read.
        identity: checkpoint, tokenizer, geometry and layout of the reader.
        how: serialization and arithmetic, as far as the bytes do not tell.
        start: key of the state it is read from; empty for the zero state.

    This package's version is part of the key: a release that reads otherwise does not find what another kept.
    """
    sha = hashlib.sha256()
    for part in (_FORMAT.encode(), __version__.encode(), _identity_json(identity), how.encode(),
                 start.encode(), piece):  # fmt: skip
        sha.update(len(part).to_bytes(8, "big") + part)
    return sha.hexdigest()


class StateStore:
    """A folder of readings by content. Safe for several threads and processes.

    Args:
        folder: made if it is not there.
        config: see `StoreConfig`; processes that share a folder should agree on the secret key.

    Attributes:
        refused: entries that were asked for and failed their check, since this object was made.
        failed: batches that could not be written or looked up, for want of space or rights.

    Raises:
        InputError: the folder cannot be made or written to.
    """

    def __init__(self, folder: str | Path, config: StoreConfig | None = None) -> None:
        self.folder, self.config = Path(folder), config or StoreConfig()
        self.refused = self.failed = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_index()
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"expected a folder to keep states in, found {self.folder} ({error}): name another, or none"
            ) from error

    def __deepcopy__(self, memo: object) -> StateStore:
        return self  # a folder: copies of a program share it

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return int(self._indexed(lambda db: db.execute("SELECT TOTAL(bytes) FROM shards").fetchone()[0]))

    @property
    def entries(self) -> int:
        """Number of entries: the features of a reading are one, its state is another."""
        return int(self._indexed(lambda db: db.execute("SELECT COUNT(*) FROM entries").fetchone()[0]))

    def get(self, key: str, identity: Identity, *, states: bool = False, strict: bool = False) -> Kept | None:
        """One reading, or None.

        Raises:
            StateError: `strict`, and there is no such entry or it was refused.
        """
        before = self.refused
        (found,) = self.get_many([key], identity, states=states)
        if strict and found is None:
            why = "one that fails its check" if self.refused > before else "none"
            raise StateError(f"expected a reading {key[:12]} in {self.folder}, found {why}: read it anew")
        return found

    def get_many(self, keys: Sequence[str], identity: Identity, *, states: bool = False) -> list[Kept | None]:
        """The readings of these keys by this reader; None where there is none, or none that passes its check.

        Args:
            states: ask for the states too; a reading kept without its state is then None.
        """
        try:
            features = self._get("features", keys, identity)
            if not states:
                return [Kept(features[k]["features"], None) if k in features else None for k in keys]
            found = self._get(self._state_kind, [k for k in keys if k in features], identity)
        except (OSError, sqlite3.Error) as error:
            self.failed += 1
            warnings.warn(f"what was kept in {self.folder} could not be looked up: {error}", stacklevel=2)
            return [None] * len(keys)
        return [Kept(features[k]["features"], _decoded(found[k])) if k in found else None for k in keys]

    def put_many(
        self, keys: Sequence[str], identity: Identity, features: Tensor, states: StateTensors | None = None
    ) -> None:
        """Keep N readings; what is there already is not written again. A full disk is a warning.

        Args:
            features: (N, 2·D).
            states: N streams, or None to keep the features alone.
        """
        batches: dict[str, Callable[[list[int]], dict[str, Tensor]]] = {
            "features": lambda rows: {"features": features[rows].float().cpu()}
        }
        if states is not None:
            batches[self._state_kind] = lambda rows: _encoded(states.select(rows), self.config.dtype)
        try:
            for kind, batch in batches.items():
                self._put(kind, keys, identity, batch)
        except (OSError, SafetensorError, sqlite3.Error) as error:
            self.failed += 1
            warnings.warn(f"what was read could not be kept in {self.folder}: {error}", stacklevel=2)

    # --- shards -----------------------------------------------------------------------------------

    @property
    def _state_kind(self) -> str:
        return f"state-{self.config.dtype}"

    def _put(
        self,
        kind: str,
        keys: Sequence[str],
        identity: Identity,
        batch: Callable[[list[int]], dict[str, Tensor]],
    ) -> None:
        known = self._where(kind, keys)
        rows = list({key: i for i, key in enumerate(keys) if key not in known}.values())
        if not rows:
            return
        size = sum(t.numel() * t.element_size() for t in batch(rows[:1]).values()) + 64
        step = max(1, min(_SHARD_BYTES, self.config.max_bytes // 8) // size)
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            self._write(kind, [keys[i] for i in part], identity, batch(part))

    def _write(self, kind: str, keys: list[str], identity: Identity, values: dict[str, Tensor]) -> None:
        """One shard: every tensor has the entries on its first axis; keys and digests are bytes."""
        values = {name: tensor.contiguous() for name, tensor in values.items()}
        digests = list(self._digests(kind, keys, identity, values))
        whole = {**values, "keys": _rows(map(bytes.fromhex, keys)), "digests": _rows(digests)}
        name = f"{kind}-{hashlib.sha256(b''.join(digests)).hexdigest()}.safetensors"
        temporary = self.folder / f"{name}.{uuid4().hex}.tmp"
        try:
            save_file(whole, temporary, {"format": _FORMAT, "kind": kind})
            size = temporary.stat().st_size
            temporary.replace(self.folder / name)
        finally:
            temporary.unlink(missing_ok=True)

        def enter(db: sqlite3.Connection) -> list[str]:
            _enter(db, name, kind, keys, size)
            return self._evict(db)

        self._unlink(self._indexed(enter))

    def _get(self, kind: str, keys: Sequence[str], identity: Identity) -> dict[str, dict[str, Tensor]]:
        """The tensors of each key that is there and passes; which shards were used is noted."""
        places: dict[str, list[tuple[str, int]]] = {}
        for key, (shard, row) in self._where(kind, keys).items():
            places.setdefault(shard, []).append((key, row))
        found: dict[str, dict[str, Tensor]] = {}
        for shard, wanted in places.items():
            try:
                found |= self._read(shard, kind, wanted, identity)
            except FileNotFoundError:  # another process evicted it meanwhile
                self._forget(shard)
            except StateError as error:
                self.refused += len(wanted)
                self._forget(shard)
                warnings.warn(f"{error}: it was deleted, its columns are read anew", stacklevel=4)
        if places:
            self._indexed(lambda db: _touch(db, list(places)))
        return found

    def _read(
        self, shard: str, kind: str, wanted: list[tuple[str, int]], identity: Identity
    ) -> dict[str, dict[str, Tensor]]:
        """Copies of the wanted rows, after their check. Raises StateError when any one fails."""
        keys, rows = [key for key, _ in wanted], torch.tensor([row for _, row in wanted])
        path = self.folder / shard
        if not path.exists():
            raise FileNotFoundError(path)
        try:
            with safe_open(str(path), framework="pt") as file:
                names = set(file.keys()) - {"keys", "digests"}
                values = {name: file.get_tensor(name).index_select(0, rows) for name in sorted(names)}
                digests = file.get_tensor("digests").index_select(0, rows)
            expected = self._digests(kind, keys, identity, values)
            passed = all(
                hmac.compare_digest(bytes(own.tolist()), sha)
                for own, sha in zip(digests, expected, strict=True)
            )
            fits = _spec(values) == _expected_spec(kind, identity)
        except FileNotFoundError:
            raise
        except _UNREADABLE as error:
            raise StateError(f"expected a shard of readings, found {path}: {error}") from error
        if not passed or not fits:
            what = "another content than its digest says" if fits else "tensors of another model"
            raise StateError(f"expected readings by {identity.checkpoint[:12]}, found {what} in {path}")
        return {key: {name: t[i] for name, t in values.items()} for i, key in enumerate(keys)}

    def _digests(
        self, kind: str, keys: Sequence[str], identity: Identity, values: Mapping[str, Tensor]
    ) -> Iterator[bytes]:
        """The sha256 or HMAC of each row."""
        common = json.dumps([_FORMAT, kind, _spec(values)]).encode() + _identity_json(identity)
        flat = [
            values[name].reshape(len(keys), -1).view(torch.uint8).numpy()
            for name in sorted(values)
            if values[name].numel()
        ]
        for i, key in enumerate(keys):
            start = common + bytes.fromhex(key)
            secret = self.config.key
            sha = hashlib.sha256(start) if secret is None else hmac.new(secret, start, "sha256")
            for rows in flat:
                sha.update(rows[i])
            yield sha.digest()

    # --- the index --------------------------------------------------------------------------------

    def _indexed(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction; a broken index is made again from the shards first.

        A connection is opened for each piece of work: a tenth of a millisecond, for which threads, forks and
        an index that another process replaced need no thought.
        """
        try:
            return self._transaction(work)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _INDEX_LOST:
                raise
            for suffix in ("", "-journal"):
                Path(f"{self._index}{suffix}").unlink(missing_ok=True)
            self._make_index()
            return self._transaction(work)

    @property
    def _index(self) -> Path:
        return self.folder / "states-1.sqlite"

    def _make_index(self) -> None:
        with self._connected() as db:
            db.executescript(_SCHEMA)
        self._unlink(self._transaction(self._reconcile))

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._connected() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                result = work(db)
                db.execute("COMMIT")
                return result
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    def _connected(self) -> closing[sqlite3.Connection]:
        db = sqlite3.connect(self._index, timeout=_BUSY_SECONDS, isolation_level=None)
        db.execute("PRAGMA synchronous = OFF")  # a lost index is made again
        return closing(db)

    def _reconcile(self, db: sqlite3.Connection) -> list[str]:
        """Make the index agree with the shards that are there; what has to go then."""
        there = {path.name: path for path in self.folder.iterdir() if _SHARD.fullmatch(path.name)}
        known = {name for (name,) in db.execute("SELECT name FROM shards")}
        gone = []
        for name in sorted(known - set(there)):
            _drop(db, name)
        for name in sorted(set(there) - known):
            try:
                with safe_open(str(there[name]), framework="pt") as file:
                    keys = [bytes(row).hex() for row in file.get_tensor("keys").tolist()]
                _enter(db, name, _kind(name), keys, there[name].stat().st_size)
            except _UNREADABLE:  # of no use to anybody
                gone.append(name)
        for left in self.folder.glob("*-*.safetensors.*.tmp"):
            _unlink_stale(left)
        return gone + self._evict(db)

    def _where(self, kind: str, keys: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Shard and row of the keys that are there."""

        def look_up(db: sqlite3.Connection) -> dict[str, tuple[str, int]]:
            found: dict[str, tuple[str, int]] = {}
            for first in range(0, len(keys), 500):
                some = keys[first : first + 500]
                query = f"SELECT key, shard, row FROM entries WHERE kind = ? AND key IN ({_marks(some)})"
                rows = db.execute(query, [kind, *some]).fetchall()
                found |= {key: (shard, row) for key, shard, row in rows if _SHARD.fullmatch(shard)}
            return found

        return self._indexed(look_up) if keys else {}

    def _evict(self, db: sqlite3.Connection) -> list[str]:
        """Drop the least recently used shards over the limit from the index; their names."""
        (total,) = db.execute("SELECT TOTAL(bytes) FROM shards").fetchone()
        gone: list[str] = []
        if total <= self.config.max_bytes:
            return gone
        for name, size in db.execute("SELECT name, bytes FROM shards ORDER BY used, name").fetchall():
            _drop(db, name)
            gone.append(name)
            total -= size
            if total <= self.config.max_bytes:
                break
        return gone

    def _forget(self, shard: str) -> None:
        self._indexed(lambda db: _drop(db, shard))
        self._unlink([shard])

    def _unlink(self, names: Iterable[str]) -> None:
        for name in filter(_SHARD.fullmatch, names):  # an index that was tampered with names other files
            (self.folder / name).unlink(missing_ok=True)


def _enter(db: sqlite3.Connection, name: str, kind: str, keys: Sequence[str], size: int) -> None:
    (last,) = db.execute("SELECT COALESCE(MAX(used), 0) FROM shards").fetchone()
    db.execute("INSERT OR REPLACE INTO shards VALUES (?, ?, ?)", (name, size, last + 1))
    entries = ((key, kind, name, row) for row, key in enumerate(keys))
    db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", entries)


def _drop(db: sqlite3.Connection, shard: str) -> None:
    db.execute("DELETE FROM entries WHERE shard = ?", (shard,))
    db.execute("DELETE FROM shards WHERE name = ?", (shard,))


def _touch(db: sqlite3.Connection, shards: list[str]) -> None:
    """Make them the most recently used. A count, not a clock: clocks go backward."""
    for first in range(0, len(shards), 500):
        some = shards[first : first + 500]
        query = f"UPDATE shards SET used = (SELECT MAX(used) + 1 FROM shards) WHERE name IN ({_marks(some)})"
        db.execute(query, some)


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))


def _kind(shard: str) -> str:
    return shard.rpartition("-")[0]


def _unlink_stale(path: Path) -> None:
    try:
        if time.time() - path.stat().st_mtime > _STALE_SECONDS:
            path.unlink()
    except FileNotFoundError:
        pass  # renamed meanwhile


def _identity_json(identity: Identity) -> bytes:
    return json.dumps(asdict(identity), sort_keys=True).encode()


def _rows(values: Iterable[bytes]) -> Tensor:
    """(N, 32) uint8 from N hashes."""
    joined = bytearray(b"".join(values))
    return torch.frombuffer(joined, dtype=torch.uint8).view(-1, 32)


def _spec(values: Mapping[str, Tensor]) -> list[list[object]]:
    """Name, type and shape of one row of each tensor."""
    return [[name, str(t.dtype), list(t.shape[1:])] for name, t in sorted(values.items())]


def _expected_spec(kind: str, identity: Identity) -> list[list[object]]:
    if kind == "features":
        return [["features", "torch.float32", [2 * identity.geometry.width]]]
    return _spec(_encoded(zero_tensors(identity.geometry, 1), kind.removeprefix("state-")))


def _encoded(states: StateTensors, dtype: str) -> dict[str, Tensor]:
    """States as tensors with the stream on the first axis, matrices in `dtype`."""
    kv = states.kv.detach().float().cpu().transpose(0, 1)  # (B, L, H, K, V)
    found = {
        "shift": states.shift.detach().float().cpu().permute(2, 0, 1, 3).contiguous(),
        "tail": states.tail.cpu(),
    }
    if dtype == "int8":
        scale = kv.abs().amax((3, 4), keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
        return {**found, "kv": (kv / scale).round().to(torch.int8), "scale": scale}
    return {**found, "kv": kv.to(getattr(torch, dtype)).contiguous()}


def _decoded(row: Mapping[str, Tensor]) -> StateTensors:
    """One stream."""
    kv = row["kv"].float() * row["scale"] if "scale" in row else row["kv"].float()
    return StateTensors(row["shift"].unsqueeze(2), kv.unsqueeze(1), row["tail"].unsqueeze(0))
