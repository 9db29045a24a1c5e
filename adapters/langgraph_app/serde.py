"""What a checkpoint is written as: strict msgpack, each value with a digest.

SQLite does not notice a flipped bit inside a value, and LangGraph's default would build any object that a
forged checkpoint names. Here only LangGraph's own safe types are built, and only from bytes that are the ones
that were written.
"""

from __future__ import annotations

import hashlib
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from aegir_dspy.errors import DamagedRunError

__all__ = ["SealedSerializer"]

_DIGEST_BYTES = 16


class SealedSerializer(JsonPlusSerializer):
    """Values followed by 16 bytes of BLAKE2b over their type and content."""

    def __init__(self) -> None:
        super().__init__(allowed_msgpack_modules=None)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Type and sealed bytes of a value."""
        kind, content = super().dumps_typed(obj)
        return kind, content + _digest(kind, content)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value. Raises DamagedRunError where the bytes are not those that were written."""
        kind, sealed = data
        content, digest = sealed[:-_DIGEST_BYTES], sealed[-_DIGEST_BYTES:]
        if digest != _digest(kind, content):
            raise DamagedRunError("expected a value as it was written, found another: it is damaged")
        return super().loads_typed((kind, content))


def _digest(kind: str, content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES, person=kind.encode()[:16]).digest()
