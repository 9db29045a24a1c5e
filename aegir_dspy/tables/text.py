"""Bytes of a text file to text: a bounded sample, its encoding found out."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aegir_dspy.tables.config import ReadConfig
from aegir_dspy.tables.encoding import detect_encoding
from aegir_dspy.tables.failure import Unreadable

__all__ = ["TextSample", "read_text"]

_CHUNKS = 4
_MAGIC = {
    b"PK\x03\x04": "a zip archive or office document",
    b"%PDF": "a PDF document",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"\x7fELF": "a program",
    b"\xd0\xcf\x11\xe0": "an old office document",
    b"PAR1": "a Parquet file",
    b"SQLite format 3\0": "a SQLite database",
}
_CONTROL = bytes({*range(32)} - {*b"\t\n\v\f\r\x1b\x1c\x1d\x1e\x1f\x01\x02"})


@dataclass(frozen=True, slots=True)
class TextSample:
    """What was looked at of a file.

    Attributes:
        head: text from the beginning.
        chunks: text from further inside, each beginning with a line (perhaps one inside a quoted cell).
        complete: whether `head` is the whole file.
        encoding: name of the encoding it was decoded with.
        damage: why only a part of a packed file could be unpacked, or None.
    """

    head: str
    chunks: tuple[str, ...]
    complete: bool
    encoding: str
    damage: Unreadable | None = None


def read_text(path: Path, config: ReadConfig) -> TextSample:
    """A sample of at most ``config.sample_bytes`` bytes; gzip is unpacked.

    Raises:
        Unreadable: the file is empty or no text.
        OSError: the file cannot be opened or read.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        size = config.sample_bytes + 1
        head, damage = _read_packed(raw, size) if packed else (raw.read(size), None)
        complete = len(head) < size and not damage
        _check_text(head)
        chunks: list[bytes] = []
        if len(head) == size:
            head = head[: config.sample_bytes // (1 if packed else 2)]
            chunks = [] if packed else _read_chunks(raw, config.sample_bytes // 2)
    encoding = detect_encoding(head, *chunks)
    if "16" in encoding or "32" in encoding:
        # A line end is no single byte here, so nothing but the head can be cut out safely.
        chunks = []
    decoded = tuple(_decode(chunk, encoding) for chunk in chunks)
    return TextSample(_decode(head, encoding), decoded, complete, encoding, damage)


def _read_packed(raw: IO[bytes], size: int) -> tuple[bytes, Unreadable | None]:
    """Up to `size` unpacked bytes; what came before damage, if anything, and the damage."""
    data = b""
    try:
        with gzip.open(raw) as file:
            while len(data) < size and (block := file.read1(min(1 << 16, size - len(data)))):
                data += block
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        line = data.count(b"\n") + 1
        damage = Unreadable(f"expected gzip data, found damage ({error}); compress it anew", line=line)
        if not data:
            raise damage from error
        return data, damage
    return data, None


def _read_chunks(raw: IO[bytes], budget: int) -> list[bytes]:
    """Parts from evenly spread places behind the head, each from the beginning of a line on."""
    size, chunks = raw.seek(0, 2), []
    for number in range(1, _CHUNKS + 1):
        length = budget // _CHUNKS
        raw.seek(max(budget, number * size // _CHUNKS - length))
        part = raw.read(length)
        line_end = re.search(rb"\r\n|\n|\r", part)
        if line_end:
            chunks.append(part[line_end.end() :])
    return chunks


def _check_text(head: bytes) -> None:
    if not head.strip():
        raise Unreadable("expected a table, found an empty file; remove it or fill it", line=1)
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise Unreadable(
                f"expected delimited text, found {what}; export it as CSV or name it by its type"
            )
    sample = head[: 1 << 16]
    controls = len(sample) - len(sample.translate(None, _CONTROL))
    zeros_are_utf16 = sample[::2].count(0) < 0.1 * len(sample) or sample[1::2].count(0) < 0.1 * len(sample)
    wide = sample.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")) or (
        sample.count(0) > 0.15 * len(sample) and zeros_are_utf16
    )
    if controls > 0.02 * len(sample) and not wide:
        raise Unreadable(
            "expected delimited text, found binary data; export it as CSV, JSON lines or Parquet"
        )


def _decode(data: bytes, encoding: str) -> str:
    text = data.decode(encoding, "replace")
    return text.removeprefix("\ufeff")
