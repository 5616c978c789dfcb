"""What all commands share: where the home is, JSON or not, both spellings of a name, how an error ends
the process.

    0 done · 1 refused · 2 wrong use or configuration · 3 nobody answered
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from euca_rpc import config
from euca_rpc.cli.output import Output, clean
from euca_rpc.errors import EucaError

REFUSED, USAGE, UNREACHABLE = 1, 2, 3


@dataclass
class Invocation:
    """What the options common to every command said."""

    home: str | None = None
    as_json: bool = False
    flags: dict[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> Output:
        return Output(self.as_json)

    def config(self, flags: Mapping[str, Any] | None = None) -> config.Config:
        return config.load(self.home, {**self.flags, **(flags or {})})


invocation = click.make_pass_decorator(Invocation, ensure=True)


def _remember(name: str) -> Any:
    def callback(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value:  # said before or after the command's name alike
            setattr(context.ensure_object(Invocation), name, value)

    return callback


def _common() -> list[click.Parameter]:
    return [
        click.Option(
            ["--home"],
            metavar="DIR",
            expose_value=False,
            callback=_remember("home"),
            help="The cloud's home directory (default: EUCA_HOME, else ~/.euca).",
        ),
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            expose_value=False,
            callback=_remember("as_json"),
            help="One JSON document on standard output.",
        ),
        click.Option(
            ["--man"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_manual,
            help="The whole manual of this command and exit.",
        ),
    ]


def _manual(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from euca_rpc.cli.manual import manual  # only here: it walks all commands

        click.echo_via_pager(manual(context))
        context.exit()


def _examples(text: str, formatter: click.HelpFormatter) -> None:
    if text:
        with formatter.section("Examples"):
            formatter.write_text("\b\n" + text.strip())


class Command(click.Command):
    """A command with the common options and examples in its help; an option of its own goes before a common one."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        own = {word for option in self.params for word in option.opts}
        self.params.extend(option for option in _common() if not own & set(option.opts))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        _examples(self.examples, formatter)


class Group(click.Group):
    """A group of them; `add-image` and `add_image` name the same command."""

    command_class = Command

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.params.extend(_common())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is None:
            found = super().get_command(ctx, cmd_name.replace("-", "_"))
        return found or super().get_command(ctx, cmd_name.replace("_", "-"))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        _examples(self.examples, formatter)


Group.group_class = Group


def run(group: click.Command) -> None:
    """The command, its errors as a sentence and an exit code."""
    logging.getLogger("euca_rpc").addHandler(logging.NullHandler())  # a daemon opens its own log
    try:
        code = group.main(standalone_mode=False)
    except EucaError as error:
        _end(error.sentence, exit_code(error), error.to_wire())
    except click.UsageError as error:
        error.show()
        sys.exit(USAGE)
    except click.ClickException as error:
        _end(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _end("Interrupted.", 130)
    except BrokenPipeError:  # `euca events | head`
        sys.stderr.close()
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def exit_code(error: EucaError) -> int:
    if error.symbol == "config_invalid":
        return USAGE
    return UNREACHABLE if error.kind == "unavailable" else REFUSED


def _end(sentence: str, code: int, document: Mapping[str, Any] | None = None) -> None:
    output = Output()
    if "--json" in sys.argv and document is not None:
        output.document({"error": document})
    else:
        output.errors.print(f"euca: {clean(sentence, lines=True)}", style="red", markup=False)
    sys.exit(code)
