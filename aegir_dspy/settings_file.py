"""Where settings are written down: ``aegir.toml``, else ``[tool.aegir]`` of ``pyproject.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from aegir_dspy.errors import InputError

__all__ = ["read_settings"]

_FILES: tuple[tuple[str, tuple[str, ...]], ...] = (("aegir.toml", ()), ("pyproject.toml", ("tool", "aegir")))


def read_settings(folder: Path) -> tuple[dict[str, Any], str]:
    """What the first file in `folder` that has any says, and where, in words; ``({}, "")`` without one.

    Raises:
        InputError: a file cannot be read, or is no TOML.
    """
    for name, keys in _FILES:
        path = folder / name
        if not path.is_file():
            continue
        try:
            settings: Any = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"expected TOML in {path}, found: {error}") from error
        for key in keys:
            settings = settings.get(key, {}) if isinstance(settings, dict) else {}
        where = f"{path} [{'.'.join(keys)}]" if keys else str(path)
        if settings and not isinstance(settings, dict):
            raise InputError(f"expected options and their values in {where}, found {settings!r}")
        if settings:
            return settings, where
    return {}, ""
