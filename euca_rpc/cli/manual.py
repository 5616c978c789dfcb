"""`--man`: the manual of a command and of everything below it, made from the same texts as `--help`."""

from __future__ import annotations

import click


def manual(context: click.Context) -> str:
    pages: list[str] = []
    _walk(context, pages)
    return "\n\n".join(pages) + "\n"


def _walk(context: click.Context, pages: list[str]) -> None:
    title = context.command_path.upper()
    body = context.command.get_help(context)
    pages.append(f"{title}\n{'=' * len(title)}\n{body}")
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None and not command.hidden:
                _walk(click.Context(command, info_name=name, parent=context), pages)
