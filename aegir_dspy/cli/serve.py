"""``aegir serve``: models and tables for OpenAI's clients."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aegir_dspy.errors import InputError

if TYPE_CHECKING:
    from aegir_dspy.rwkv import Engine
    from aegir_dspy.tables import TableSet

__all__ = ["EXAMPLES", "serve"]

EXAMPLES = (
    "Examples: aegir serve · aegir serve --model rwkv7-g1.pth --port 9000 · "
    "AEGIR_API_KEY=… aegir serve --host 0.0.0.0"
)


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(help="Weights: a file, or the name of shipped ones; several times for several models."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address; another than loopback needs a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(envvar=["AEGIR_SERVE_API_KEY", "AEGIR_API_KEY"], help="Key every request must carry."),
    ] = None,
    max_requests: Annotated[int, typer.Option(min=1, help="Most answers open; 429 beyond.")] = 256,
    max_batch: Annotated[int, typer.Option(min=1, help="Most answers decoded at once, a model.")] = 128,
    max_body_mib: Annotated[int, typer.Option(min=1, help="Most MiB of one request; 413 beyond.")] = 4,
    max_prompt_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of a prompt.")] = 65_536,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of an answer.")] = 4096,
    max_states: Annotated[int, typer.Option(min=1, help="Most states kept.")] = 64,
    annotate: Annotated[bool, typer.Option(help="Offer /v1/annotate.")] = True,
    vocabulary: Annotated[str, typer.Option(help="Of /v1/annotate; see aegir annotate.")] = "schema",
    checkpoint: Annotated[Path | None, typer.Option(help="Of /v1/annotate: weights by aegir train.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, int8 or auto.")] = "auto",
) -> None:
    """Serve models as OpenAI does (chats, completions), tables at /v1/annotate, kept states at /v1/states.

    Without --model it serves the shipped specialist "columns". Ctrl-C or SIGTERM finishes what is open.
    """
    from aegir_dspy.adapters.openai_server import Host, Limits
    from aegir_dspy.adapters.openai_server import serve as run

    limits = Limits(
        requests=max_requests,
        body_bytes=max_body_mib << 20,
        prompt_tokens=max_prompt_tokens,
        max_tokens=max_tokens,
        states=max_states,
    )
    chosen = str(checkpoint) if checkpoint else None
    annotating = _annotator(vocabulary, chosen, device) if annotate else None
    engines = _engines(model or ["columns"], device, dtype, max_batch)
    signal.signal(signal.SIGTERM, _leave)
    sys.stderr.write(f"aegir: serving {', '.join(engines)} at http://{host}:{port}/v1\n")
    run(Host(engines, limits=limits, annotate=annotating), address=host, port=port, api_key=api_key)


def _engines(models: list[str], device: str, dtype: str, max_batch: int) -> dict[str, Engine]:
    """The models by the names of their files."""
    from aegir_dspy.adapters.dspy_lm.engine import weights_file, weights_type
    from aegir_dspy.rwkv import Engine

    kind = None if dtype == "auto" else weights_type(dtype)
    engines: dict[str, Engine] = {}
    for path in map(weights_file, models):
        if path.stem in engines:
            raise InputError(f"expected models with different names, found {path.stem} twice")
        engines[path.stem] = Engine.load(path, device=device, dtype=kind)
        engines[path.stem].max_batch = max_batch
    return engines


def _annotator(vocabulary: str, checkpoint: str | None, device: str) -> Callable[[TableSet], dict[str, Any]]:
    """What annotates tables; its weights are loaded here, and what is wrong with them is said here."""
    from aegir_dspy.result import result_document
    from aegir_dspy.swarm import Swarm

    swarm = Swarm(vocabulary=vocabulary, checkpoint=checkpoint, device=device)
    return lambda tables: result_document(swarm(tables=tables))


def _leave(_: int, __: FrameType | None) -> None:
    """The end that was asked for: uvicorn has finished what was open when this is called."""
    raise SystemExit(0)
