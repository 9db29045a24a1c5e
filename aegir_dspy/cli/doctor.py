"""``aegir doctor``: what is installed, which weights are here, which settings are in force."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from aegir_dspy._version import __version__
from aegir_dspy.cli.annotate import Format

__all__ = ["doctor"]

_CORE = ("torch", "dspy", "rwkv", "langgraph", "litellm", "safetensors", "duckdb", "sqlglot", "pydantic")
_EXTRAS = {
    "train": ("pyarrow", "faker", "sklearn"),
    "lightning": ("agentlightning",),
    "hermit": ("owlready2",),
    "otel": ("opentelemetry.sdk",),
    "postgres": ("psycopg",),
    "ray": ("ray",),
    "serve": ("fastapi", "uvicorn"),
    "spark": ("pyspark",),
}


def doctor(
    format: Annotated[Format, typer.Option(help="text or json.")] = Format.TEXT,
) -> None:
    """Print what is installed and in force; exit code 1 when something the core needs is missing."""
    found = _findings()
    if format is Format.JSON:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    else:
        for topic, entries in found.items():
            typer.echo(f"{topic}")
            for name, value in entries.items():
                typer.echo(f"  {name:<14} {value}")
    missing = [name for name, version in found["packages"].items() if version.startswith("missing")]
    if missing or not found["weights"].get("sha256"):
        raise typer.Exit(1)


def home() -> Path:
    """The folder for caches, states and runs: AEGIR_HOME, or the platform's."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("AEGIR_HOME") or user_cache_path("aegir"))


def _findings() -> dict[str, dict[str, Any]]:
    import torch

    from aegir_dspy.ontology import VOCABULARIES, load_vocabulary

    return {
        "aegir": {
            "version": __version__,
            "python": platform.python_version(),
            "home": str(home()),
            "settings": ", ".join(sorted(k for k in os.environ if k.startswith("AEGIR_"))) or "none set",
        },
        "packages": {name: _package(name) for name in _CORE},
        "extras": {name: _extra(name, modules) for name, modules in _EXTRAS.items()},
        "device": {
            "cpu": f"{torch.get_num_threads()} threads",
            "cuda": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "not available",
        },
        "weights": _weights(),
        "vocabularies": {name: f"{len(load_vocabulary(name))} types" for name in VOCABULARIES},
    }


def _package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"missing: pip install {name}"


def _extra(name: str, modules: tuple[str, ...]) -> str:
    installed = all(_there(module) for module in modules)
    return "installed" if installed else f'not installed: pip install "aegir-dspy[{name}]"'


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it is a part of
        return False


def _weights() -> dict[str, Any]:
    from aegir_dspy.annotator.bundle import default_bundle
    from aegir_dspy.errors import AegirError

    try:
        bundle = default_bundle()
    except (AegirError, FileNotFoundError) as error:
        return {"error": str(error)}
    g = bundle.model.geometry
    return {
        "sha256": bundle.sha256,
        "geometry": f"L{g.layers} D{g.width} N{g.head_size}, n-gram memory {g.ngram_buckets}×{g.ngram_width}",
        "parameters": f"{sum(p.numel() for p in bundle.model.parameters()):,}",
        "labels": str(len(bundle.config.labels)),
    }
