"""``aegir``: the command. Data on stdout, progress and errors on stderr.

Exit codes: 0 done, 1 a check failed or part of the input could not be read, 2 usage or bad input. Every
option can also be given as ``AEGIR_<COMMAND>_<OPTION>`` in the environment, or in ``aegir.toml``
(``[annotate]`` …) or ``[tool.aegir.annotate]`` of ``pyproject.toml``: flag over environment over file.
``[providers.<name>]`` there are remote models, see `aegir_dspy.adapters.providers.config`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from aegir_dspy._version import __version__
from aegir_dspy.cli import annotate, doctor, evaluate, serve, trace, train, verify
from aegir_dspy.errors import AegirError, InputError
from aegir_dspy.settings_file import read_settings

__all__ = ["app", "main"]

# typer brings its own click, or takes the installed one: either way this is what a wrong option raises.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_OTHERS = ("providers",)  # sections of the settings' file that are no commands

app = typer.Typer(
    name="aegir",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "AEGIR", "help_option_names": ["-h", "--help"]},
    help="Say what the columns of tables mean, offline, with a swarm of small recurrent models.",
)
app.command("annotate", epilog=annotate.EXAMPLES)(annotate.annotate)
app.command("verify", epilog=verify.EXAMPLES)(verify.verify)
app.command("eval", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("serve", epilog=serve.EXAMPLES)(serve.serve)
app.command("trace", epilog=trace.EXAMPLES)(trace.trace)
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
    ctx.default_map = _file_settings(Path.cwd(), ctx.command)


def main() -> None:
    """Run the command; errors become one line on stderr and exit code 2."""
    try:
        code = app(prog_name="aegir", standalone_mode=False)
    except _UsageError as error:
        _fail_usage(error)
    except AegirError as error:
        _fail(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 130)
    except BrokenPipeError:  # the reader of stdout has gone; do not let the interpreter flush into it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        if os.environ.get("AEGIR_TRACEBACK"):
            raise
        kind = type(error).__name__
        _fail(f"a defect, please report it: {kind}: {error} (AEGIR_TRACEBACK=1 shows where)", 2)
    raise SystemExit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"aegir: {' '.join(message.split())}\n")
    raise SystemExit(code)


def _fail_usage(error: Any) -> NoReturn:
    message = str(error.format_message())
    if "\n" in message:  # the whole help, for a command without arguments
        error.show()
        raise SystemExit(2)
    _fail(f"{message.rstrip('.')}: see '{error.ctx.command_path if error.ctx else 'aegir'} --help'", 2)


def _file_settings(folder: Path, command: Any) -> dict[str, Any]:
    """Defaults by command from the settings' file."""
    settings, where = read_settings(folder)
    return _defaults({key: value for key, value in settings.items() if key not in _OTHERS}, command, where)


def _defaults(settings: Any, command: Any, where: str) -> dict[str, Any]:
    """The settings of a command under the names click knows, every section and option a known one."""
    if not isinstance(settings, dict):
        raise InputError(f"expected options and their values in {where}, found {settings!r}")
    inner: dict[str, Any] = getattr(command, "commands", {})
    known = inner or {option.name: None for option in command.params}
    found = {}
    for key, value in settings.items():
        name = key if inner else key.replace("-", "_")
        if name not in known:
            raise InputError(f"expected one of {', '.join(sorted(known))} in {where}, found {key!r}")
        found[name] = _defaults(value, inner[name], f"{where}, {key}") if inner else value
    return found
