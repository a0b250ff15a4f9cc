"""The commands, and what all of them set up first."""

from __future__ import annotations

from typing import Annotated

import typer

from tokensieve.cli.benchmarks import add_benchmarks
from tokensieve.cli.encode import encode_command
from tokensieve.cli.evaluate import evaluate_command
from tokensieve.cli.explain import explain_command
from tokensieve.cli.export import export_command
from tokensieve.cli.info import info_command
from tokensieve.cli.merge import merge_command
from tokensieve.cli.old_options import CommandWithOldOptions
from tokensieve.cli.predict import predict_command
from tokensieve.cli.push import push_command
from tokensieve.cli.quantize import quantize_command
from tokensieve.cli.report import report_command
from tokensieve.cli.serve import serve_command
from tokensieve.cli.train import train_command
from tokensieve.cli.tune import tune_command
from tokensieve.version import __version__

app = typer.Typer(
    name="tokensieve",
    help="Document classifiers that let unimportant tokens go, for real: train, evaluate, predict, serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train", cls=CommandWithOldOptions)(train_command)
app.command("evaluate", cls=CommandWithOldOptions)(evaluate_command)
app.command("predict", cls=CommandWithOldOptions)(predict_command)
app.command("encode")(encode_command)
app.command("merge")(merge_command)
app.command("info", cls=CommandWithOldOptions)(info_command)
app.command("explain")(explain_command)
app.command("report")(report_command)
app.command("tune")(tune_command)
app.command("quantize")(quantize_command)
app.command("serve")(serve_command)
app.command("export")(export_command)
app.command("push")(push_command)
add_benchmarks(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tokensieve {__version__}")
        raise typer.Exit()


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
