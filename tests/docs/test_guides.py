"""The guides say what the code does: commands, options, settings, ports, errors, reasons, deadlines, links."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click
import pytest

from euca_rpc import config as configuration
from euca_rpc.cli.main import euca
from euca_rpc.clock import MINUTE
from euca_rpc.cloud import bootstrap, lifecycle
from euca_rpc.config import Config
from euca_rpc.errors import SYMBOLS
from euca_rpc.wire import pki

docs: Any = sys.modules["docs_pages"]

USERS, ADMINISTRATORS = "docs/users-guide.md", "docs/administrators-guide.md"
EC2 = docs.root / "plugins" / "interfaces" / "euca_ec2"


def ticked(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# ------------------------------------------------------------------------------------------------- commands
def commands(group: click.Group, context: click.Context, path: str = "") -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if command.hidden:
            continue
        yield f"{path}{name}"
        if isinstance(command, click.Group):
            yield from commands(command, click.Context(command, info_name=name), f"{path}{name} ")


EVERY_COMMAND = list(commands(euca, click.Context(euca, info_name="euca")))


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_every_command_is_in_a_guide(command: str) -> None:
    spelt = re.compile(rf"\beuca (?:--?\S+ )*{re.escape(command)}(?![\w-])")
    assert any(spelt.search(docs.read(page)) for page in docs.guides), f"no guide shows `euca {command}`"


def typed(text: str) -> Iterator[list[str]]:
    """The words after each `euca` that a shell would run in ``text``."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
        lexer.whitespace_split = True
        lexer.commenters = "#"
        try:
            words = list(lexer)
        except ValueError:  # a quotation that goes on in the next line is no line of ours
            continue
        while words:
            end = next((n for n, word in enumerate(words) if re.fullmatch(r"[|&;()<>]+", word)), len(words))
            if words[:1] == ["euca"]:
                yield words[1:end]
            words = words[end + 1 :]


def in_blocks() -> list[tuple[str, list[str]]]:
    return [
        (f"{block.page}:{block.line}", words)
        for page in docs.pages()
        for block in docs.blocks(page)
        if block.info.split()[:1] == ["sh"]
        for words in typed(block.text)
    ]


def in_prose() -> list[tuple[str, list[str]]]:
    return [
        (page, words)
        for page in docs.pages()
        for inline in re.findall(r"`(euca [^`]+)`", docs.prose(page))
        for words in typed(inline)
    ]


def parse(words: list[str]) -> None:
    """As `euca` would, with no value converted and nothing run.  Raises click.UsageError."""
    command: click.Command = euca
    context = click.Context(euca, info_name="euca")
    while True:
        options, rest, order = command.make_parser(context).parse_args(list(words))
        if not isinstance(command, click.Group) or not rest:
            break
        found = command.get_command(context, rest[0])
        if found is None:
            raise click.UsageError(f"no command {rest[0]!r} in {context.command_path}")
        command, words = found, rest[1:]
        context = click.Context(found, info_name=rest[0], parent=context)
    if rest:
        raise click.UsageError(f"too much: {rest}")
    said = {name for name, value in options.items() if isinstance(value, str | bool | int | tuple | list)}
    given = {parameter.name for parameter in order} & said  # what was left out is a marker of click's own
    for parameter in command.params:
        if parameter.required and parameter.name not in given:
            raise click.UsageError(f"{parameter.name} is missing")


@pytest.mark.parametrize(("where", "words"), in_blocks(), ids=lambda it: it if isinstance(it, str) else "")
def test_commands_that_are_to_be_typed_parse(where: str, words: list[str]) -> None:
    try:
        parse(words)
    except click.UsageError as error:
        pytest.fail(f"{where}: euca {' '.join(words)}: {error.format_message()}")


def test_the_parser_of_these_tests_refuses_what_euca_refuses() -> None:
    for wrong in ("nods", "up --zone 2", "node add", "credentials admin", "node drain a/b c", "explain"):
        with pytest.raises(click.UsageError):
            parse(wrong.split())
    for right in ("up --zones 2 --detach", "--home X nodes", "node", "node add a/b", "config show --origin"):
        parse(right.split())


def test_commands_in_prose_name_commands_and_options_that_exist() -> None:
    """They may leave things out, so only what they do say is looked at."""
    wrong = []
    for where, words in in_prose():
        command: click.Command = euca
        known = {option for parameter in euca.params for option in parameter.opts} | {"--help", "-h"}
        for word in words:
            if word.startswith("--") and word.partition("=")[0] not in known:
                wrong.append(f"{where}: euca {' '.join(words)}: no option {word}")
            elif isinstance(command, click.Group) and word.split("|")[0].isidentifier() | ("-" in word):
                for one in word.split("|"):
                    found = command.get_command(click.Context(command), one)
                    if found is None and not word.startswith("-"):
                        wrong.append(f"{where}: euca {' '.join(words)}: no command {one}")
                command = found or command
                known |= {option for parameter in command.params for option in parameter.opts}
    assert not wrong


# -------------------------------------------------------------------------------------------------- settings
def documented_settings() -> dict[str, str]:
    return {ticked(row[0])[0]: row[1] for row in docs.table(ADMINISTRATORS, "setting")}


def written(value: Any) -> str:
    if isinstance(value, tuple) and value:
        return ", ".join(f"`{one}`" for one in value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | tuple):
        return f"`{value}`" if value else "–"
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_every_setting_is_documented_with_its_default_and_no_other() -> None:
    from euca_ec2.settings import Ec2Settings
    from euca_web.settings import PortalSettings

    there = {key: written(value) for key, value, _ in Config(Path("/")).values() if key != "home"}
    there |= {f"interface.ec2.{one.name}": written(one.default) for one in fields(Ec2Settings)}
    there |= {f"interface.portal.{one.name}": written(one.default) for one in fields(PortalSettings)}
    assert documented_settings() == there


def test_the_ports_are_the_ones_in_the_code() -> None:
    table = {row[0]: row[1] for row in docs.table(ADMINISTRATORS, "port of")}
    c, base = configuration, configuration.Listen().port
    assert table == {
        "EC2 endpoint": f"{base + c.EC2}",
        "portal": f"{c.PORTAL_OF_1_0}; with another base port, the one above it",
        "name server": f"{base + c.NAMESERVER}",
        "cloud controller": f"{base + c.CLOUD}",
        "image server": f"{base + c.IMAGES}",
        "enrolment": f"{base + c.ENROL}",
        "cluster controllers": f"{base + c.CLUSTER} and up",
        "node controllers": f"{base + c.NODE} and up",
    }


# --------------------------------------------------------------------------------------------- users' tables
def codes_in_the_interface() -> set[str]:
    from euca_ec2.errors import CODES

    text = "\n".join(path.read_text() for path in EC2.rglob("*.py"))
    direct = re.findall(r"""(?:WireError|none_of)\(\s*"([A-Za-z.]+)\"""", text)
    return {code for code, _ in CODES.values()} | set(direct)


def test_every_error_code_is_in_the_users_table_with_its_symbols() -> None:
    from euca_ec2.errors import CODES

    rows = {ticked(row[0])[0]: ticked(row[1]) for row in docs.table(USERS, "code")}
    assert set(rows) == codes_in_the_interface()
    for code, symbols in rows.items():
        assert set(symbols) <= set(SYMBOLS), code
        if code in {known for known, _ in CODES.values()}:
            assert set(symbols) == {symbol for symbol, (known, _) in CODES.items() if known == code}, code


def test_every_state_and_reason_is_in_the_users_tables() -> None:
    states = [row[0] for row in docs.table(USERS, "state")]
    assert sorted(states) == sorted(
        value for name, value in vars(lifecycle).items() if name.isupper() and isinstance(value, str)
    )
    told = {ticked(row[0])[0] for row in docs.table(USERS, "reason code")}
    source = "\n".join(path.read_text() for path in (docs.root / "euca_rpc" / "cloud").glob("*.py"))
    assert told == set(re.findall(r'"((?:Server|Client)\.[A-Za-z]+)"', source))


def test_deadlines_and_sizes_are_the_ones_in_the_code() -> None:
    limits = {row[0]: row[2] for row in docs.table(USERS, "state")}
    assert limits["pending"] == f"{lifecycle.START_DEADLINE // MINUTE} minutes"
    assert limits["stopping"] == limits["shutting-down"] == f"{lifecycle.END_DEADLINE // MINUTE} minutes"
    assert f"at most {lifecycle.RESTARTS_AN_HOUR} times an hour" in " ".join(docs.read(USERS).split())
    types = docs.table(USERS, "type")
    assert types == [
        [t.name, str(t.cores), f"{t.memory_mb} MB", f"{t.disk_gb} GB"] for t in bootstrap.VM_TYPES
    ]
    assert f"{pki.CERT_DAYS} days" in docs.read(ADMINISTRATORS)


def test_what_is_accepted_without_effect_is_told_and_nothing_else() -> None:
    source = "\n".join(path.read_text() for path in (EC2 / "messages").glob("*.py"))
    ignored = re.findall(r'param\(\s*"([A-Za-z]+)[^)]*ignored=True', source)
    assert ignored
    assert {name for row in docs.table(USERS, "request") for name in ticked(row[0])} == set(ignored)


# ----------------------------------------------------------------------------------------------------- links
def slug(heading: str) -> str:
    """As GitHub makes it."""
    plain = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", lambda found: found[1] or "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = docs.prose(str(page.relative_to(docs.root)))
    return {slug(found) for found in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", docs.pages())
def test_links_lead_somewhere(page: str) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", docs.prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (docs.root / page).parent / path if path else docs.root / page
        if not target.exists() or (anchor and anchor not in anchors(target.resolve())):
            dead.append(link)
    assert not dead


def test_the_index_names_every_page() -> None:
    index = docs.read("docs/README.md")
    for page in docs.pages():
        if page.startswith("docs/") and page.count("/") == 1 and page != "docs/README.md":
            assert f"({page.removeprefix('docs/')})" in index, page
