"""What there is: zones, nodes, instances, users, types, images, events; and why one of them is as it is."""

from __future__ import annotations

from typing import Any

import click

from euca_rpc.cli.frame import Command, Invocation, invocation
from euca_rpc.cli.output import cell, clean
from euca_rpc.cli.remote import ask

COLUMNS = {
    "zones": ("name", "up", "types", "trouble"),
    "nodes": (
        "id",
        "state",
        "power",
        "up",
        "hypervisor",
        "architecture",
        "offer",
        "free",
        "instances",
        "trouble",
        "warnings",
    ),
    "instances": (
        "id",
        "state",
        "type",
        "node",
        "public_address",
        "private_address",
        "user",
        "lease",
        "reason",
    ),
    "users": ("name", "account", "admin", "status", "email"),
    "images": (
        "id",
        "kind",
        "state",
        "name",
        "format",
        "architecture",
        "bytes",
        "kernel",
        "ramdisk",
        "public",
        "reason",
    ),
    "policies": ("name", "cloud", "zones", "state", "failures", "last_failure", "hooks"),
    "types": ("name", "cores", "memory_mb", "disk_gb"),
    "events": ("at", "kind", "subject", "actor", "facts"),
}
SELDOM = ("lease",)  # columns that are shown if there is anything in them
HELP = {
    "zones": "The availability zones, each a cluster, and the room in them.",
    "nodes": "The nodes: what each offers, what is claimed of it, when it was last heard.",
    "instances": "All users' instances, with the reason of those that are not plainly running.",
    "users": "Who may use the cloud.",
    "policies": "The placement policies that are loaded: where each is in force, and how it behaves.",
    "types": "The VM types, smallest first.",
}


def make(verb: str) -> click.Command:
    @invocation
    def show(one: Invocation) -> None:
        rows = ask(one.config(), verb)
        seldom = [name for name in SELDOM if not any(row.get(name) for row in rows)]
        one.output.rows(rows, [name for name in COLUMNS[verb] if name not in seldom], none=f"no {verb}")

    examples = f"euca {verb}\neuca {verb} --json | jq '.[].{COLUMNS[verb][0]}'"
    return Command(verb, callback=show, help=HELP[verb], examples=examples)


LISTS = {verb: make(verb) for verb in HELP}


@click.command(
    "events",
    cls=Command,
    help="The last events of the cloud's history, the newest at the end; of one SUBJECT if it is named.",
    examples="euca events --last 20\neuca events i-1a2b3c4d\neuca events --json | jq -r .[].kind",
)
@click.argument("subject", required=False)
@click.option("--last", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@invocation
def events(one: Invocation, subject: str | None, last: int) -> None:
    found = ask(one.config(), "events", {"subject": subject, "limit": last})
    one.output.rows(found[::-1], COLUMNS["events"], none="no events")


@click.command(
    "explain",
    cls=Command,
    help="Why an instance is in its state, or why a launch was refused: the reason on each node.\n\n"
    "ID is an instance (i-…), a reservation (r-…), a node (zone/host), the request id of a refused launch, or `last` for "
    "the newest refusal.",
    examples="euca explain i-1a2b3c4d\neuca explain zone-a/host-1\neuca explain last",
)
@click.argument("id")
@invocation
def explain(one: Invocation, id: str) -> None:
    story: Any = ask(one.config(), "explain", {"id": id})
    if one.as_json:
        one.output.document(story)
        return
    for line in paragraphs(story):
        one.output.say(line)


def paragraphs(story: Any, indent: str = "") -> list[str]:
    """Nested facts as indented lines; sentences stand as they are."""
    if isinstance(story, dict):
        lines: list[str] = []
        for key, value in story.items():
            if isinstance(value, dict | list):
                lines.append(f"{indent}{key.replace('_', ' ')}:")
                lines += paragraphs(value, indent + "  ") or [f"{indent}  none"]
            elif value not in (None, ""):
                lines.append(f"{indent}{key.replace('_', ' ')}: {clean(cell(value))}")
        return lines
    if isinstance(story, list):
        lines = []
        for item in story:
            inner = paragraphs(item, indent + "  ")
            if inner:
                lines.append(f"{indent}- {inner[0].strip()}")
                lines += inner[1:]
        return lines
    return [f"{indent}{clean(str(story))}"]
