"""`tokensieve bench` and `tokensieve demo`: the package tokensieve_bench has them, and a clone has the package."""

from __future__ import annotations

from importlib.util import find_spec

import typer

from tokensieve.errors import TokensieveError

NAMES = ("bench", "demo")
ANY_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}


def add_benchmarks(app: typer.Typer) -> None:
    """Add both commands; without the package, add two that only say where it is."""
    if find_spec("tokensieve_bench") is None:
        for name in NAMES:
            app.command(name, hidden=True, add_help_option=False, context_settings=ANY_OPTIONS)(_say_where)
        return
    from tokensieve_bench.commands.bench import bench_command
    from tokensieve_bench.commands.demo import demo_command

    app.command("bench")(bench_command)
    app.command("demo")(demo_command)


def _say_where(context: typer.Context) -> None:
    """Raise TokensieveError, whatever the options are."""
    raise TokensieveError(
        f"`tokensieve {context.info_name}` is not in the wheel: it runs in a clone of tokensieve's repository, "
        "after `make setup` there"
    )
