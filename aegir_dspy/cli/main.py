"""``aegir``: the command. Data on stdout, progress and errors on stderr.

Exit codes: 0 done, 1 a check failed or part of the input could not be read, 2 usage or bad input. Every
option can also be given as ``AEGIR_<COMMAND>_<OPTION>`` in the environment, or in ``aegir.toml``
(``[annotate]`` …) or ``[tool.aegir.annotate]`` of ``pyproject.toml``: flag over environment over file.
"""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from aegir_dspy._version import __version__
from aegir_dspy.cli import annotate, doctor, evaluate, train
from aegir_dspy.errors import AegirError, InputError

__all__ = ["app", "main"]

app = typer.Typer(
    name="aegir",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "AEGIR", "help_option_names": ["-h", "--help"]},
    help="Say what the columns of tables mean, offline, with a swarm of small recurrent models.",
)
app.command("annotate", epilog=annotate.EXAMPLES)(annotate.annotate)
app.command("eval", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.add_typer(train.app, name="train")
app.command("doctor")(doctor.doctor)


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"aegir-dspy {__version__}")
        raise typer.Exit


@app.callback()
def _settings(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    ctx.default_map = _file_settings(Path.cwd())


def main() -> None:
    """Run the command; expected errors become one line on stderr and exit code 2."""
    try:
        app()
    except AegirError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:  # the reader of stdout has gone; do not let the interpreter flush into it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"aegir: {' '.join(message.split())}\n")
    raise SystemExit(code)


def _file_settings(folder: Path) -> dict[str, Any]:
    """Defaults by command from ``aegir.toml``, else from ``[tool.aegir]`` of ``pyproject.toml``."""
    for name, keys in (("aegir.toml", ()), ("pyproject.toml", ("tool", "aegir"))):
        path = folder / name
        if not path.is_file():
            continue
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"expected TOML in {path}, found: {error}") from error
        for key in keys:
            settings = settings.get(key, {})
        if settings:
            return _dashes(settings)
    return {}


def _dashes(settings: dict[str, Any]) -> dict[str, Any]:
    """click knows options by their Python names."""
    return {
        key.replace("-", "_"): _dashes(value) if isinstance(value, dict) else value
        for key, value in settings.items()
    }
