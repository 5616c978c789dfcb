"""`euca config show`, `euca completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from euca_rpc.cli.frame import Command, Group, Invocation, invocation


@click.group("config", cls=Group, help="What the daemons of this home are started with.")
def config() -> None:
    pass


@config.command("show", examples="euca config show --origin\neuca config show --json | jq .")
@click.option(
    "--origin", is_flag=True, help="Where each value comes from: default, file, flag or environment."
)
@invocation
def show(one: Invocation, origin: bool) -> None:
    """All settings of HOME/euca.toml with their values."""
    values = list(one.config().values())
    if one.as_json:
        one.output.document(
            {key: {"value": value, "origin": where} if origin else value for key, value, where in values}
        )
        return
    rows = [
        {"key": key, "value": value} | ({"origin": where} if origin else {}) for key, value, where in values
    ]
    one.output.rows(rows)


@click.command(
    "completion",
    cls=Command,
    help="Print what makes a shell complete `euca`'s words.",
    examples='eval "$(euca completion bash)"',
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(context.find_root().command, {}, "euca", "_EUCA_COMPLETE").source())
