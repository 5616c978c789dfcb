"""`euca node …`: the node controller itself, and what an administrator does to nodes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from euca_rpc.cli import join
from euca_rpc.cli.frame import Command, Group, Invocation, invocation
from euca_rpc.cli.remote import ask
from euca_rpc.errors import EucaError
from euca_rpc.ids import is_name

NODES_FILE = Path("/etc/default/eucalyptus")


class NodeName(click.ParamType[str]):
    """``zone/host``."""

    name = "zone/host"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        zone, slash, host = str(value).partition("/")
        if not (slash and is_name(zone) and is_name(host)):
            self.fail(
                f"{value!r} is not ZONE/HOST, each of lower-case letters, digits and hyphens", param, ctx
            )
        return str(value)


NODE = NodeName()


@click.group(
    "node",
    cls=Group,
    invoke_without_command=True,
    help="Without a subcommand: run the node controller of this host (one daemon). With one: add a node, take it "
    "out of use, or state that its host is off.",
    examples="euca node add zone-a/host-1\neuca node --zone zone-a --host host-1 --token TOKEN\n"
    "euca node drain zone-a/host-1",
)
@click.option("--zone", help="The availability zone this host belongs to.")
@click.option("--host", help="The name of this host.")
@join.options
@click.option("--hypervisor", help="auto, kvm, qemu, xen, test or simulated.")
@click.option(
    "--offer", nargs=3, type=int, metavar="CORES MB GB", help="What to offer, instead of all there is."
)
@click.pass_context
def node(
    context: click.Context,
    zone: str | None,
    host: str | None,
    token: str | None,
    nameserver: str | None,
    address: str | None,
    advertise: str | None,
    listen_port: int | None,
    hypervisor: str | None,
    offer: tuple[int, int, int] | None,
) -> None:
    if context.invoked_subcommand is not None:
        return
    if not (zone and host):
        raise click.UsageError(
            "the node controller needs --zone and --host; or name a subcommand, see --help"
        )
    flags: dict[str, Any] = {"node.hypervisor": hypervisor}
    if offer:
        flags |= dict(zip(("node.cores", "node.memory_mb", "node.disk_gb"), offer, strict=True))
    one = context.ensure_object(Invocation)
    config = join.configured(one, token, nameserver, address, advertise, flags)
    from euca_rpc.daemons.node import main  # a daemon's imports are not every command's

    main(config, zone, host, listen_port, token)


@node.command(
    "add", examples="euca node add zone-a/host-1\neuca node add zone-a/host-1 --json | jq -r .command"
)
@click.argument("node", type=NODE)
@invocation
def add(one: Invocation, node: str) -> None:
    """Make NODE (zone/host) known and print the one-time token with which its daemon enrols.

    The node makes its own key; the token is good once and for this name alone.
    """
    show_token(one, node, ask(one.config(), "node_add", split(node)))


@node.command(
    "token", examples="euca node token zone-a/host-1\neuca node token zone-a/host-1 --json | jq -r .token"
)
@click.argument("node", type=NODE)
@invocation
def token(one: Invocation, node: str) -> None:
    """Print a new one-time token for NODE, which is known and has yet to enrol, or lost its key.

    Tokens that were made for it before are good for nothing from now on.
    """
    show_token(one, node, ask(one.config(), "node_token", {"name": node}))


def show_token(one: Invocation, node: str, answer: dict[str, Any]) -> None:
    made = {**answer, "command": enrol_command(node, answer["token"])}
    if one.as_json:
        one.output.document(made)
    else:
        one.output.say(f"{node} is known. On that host, once:\n\n  {made['command']}\n")


def split(node: str) -> dict[str, str]:
    zone, host = node.split("/")
    return {"zone": zone, "host": host}


def enrol_command(node: str, token: str) -> str:
    zone, host = node.split("/")
    return f"euca node --zone {zone} --host {host} --token {token}"


def _verb(name: str, said: str, text: str, sure: bool = False) -> None:
    def act(one: Invocation, node: str, yes: bool = True) -> None:
        if not yes:
            click.confirm(
                f"{said} {node}: its machines are given up for good. Is its host off?", abort=True, err=True
            )
        one.output.facts(ask(one.config(), f"node_{name}", {"name": node}))

    parameters: list[click.Parameter] = [click.Argument(["node"], type=NODE)]
    if sure:
        parameters.append(click.Option(["--yes"], is_flag=True, help="Do not ask."))
    examples = f"euca node {name} zone-a/host-1"
    node.add_command(Command(name, callback=invocation(act), params=parameters, help=text, examples=examples))


_verb("drain", "Drain", "Send NODE no new machines; those it has go on.")
_verb("undrain", "Undrain", "Let NODE have new machines again.")
_verb(
    "sleep",
    "Sleep",
    "Put NODE to sleep to save power; refused while it has machines. `euca node wake`, or a policy, wakes it.",
)
_verb("wake", "Wake", "Wake NODE, which sleeps.")
_verb("remove", "Remove", "Forget NODE and revoke its certificate; refused while it has machines.")
_verb(
    "fence",
    "Fence",
    "State that NODE's host is off: its certificate is revoked, its machines are terminated with that reason, what "
    "they claimed is free again. If the host comes back it is told to stop them; their disks are set aside.",
    sure=True,
)


@click.command(
    "sync_key",
    cls=Command,
    help='What `euca_sync_key` did in 1.0: read NODES="host host …" from a file, make each host known in ZONE that '
    "is not known yet, and print the command with which it enrols. No key is copied: each node makes its own.",
    examples="euca sync_key --zone zone-a\neuca sync_key --zone zone-a --nodes-file ./eucalyptus",
)
@click.option("--zone", required=True, help="Where the hosts belong.")
@click.option("--nodes-file", type=click.Path(path_type=Path), default=NODES_FILE, show_default=True)
@invocation
def sync_key(one: Invocation, zone: str, nodes_file: Path) -> None:
    try:
        hosts = nodes_list(nodes_file.read_text())
    except FileNotFoundError:
        raise EucaError(
            "parameter_invalid", f'{nodes_file} does not exist; it should hold a line NODES="host host …"'
        ) from None
    config = one.config()
    known = {row["id"] for row in ask(config, "nodes")}
    commands = {}
    for host in hosts:
        node = NODE.convert(f"{zone}/{host}", None, None)
        if node not in known:
            commands[node] = enrol_command(node, ask(config, "node_add", split(node))["token"])
    if one.as_json:
        one.output.document({"known": sorted(known), "commands": commands})
        return
    if not commands:
        one.output.say(f"All {len(hosts)} hosts of {nodes_file} are known already.")
    for node, command in commands.items():
        one.output.say(f"on {node.partition('/')[2]}:  {command}")


def nodes_list(text: str) -> list[str]:
    """The hosts of the last ``NODES=`` line, as a shell would read it; names of 1.0 may have capitals."""
    found = re.findall(r"""^\s*(?:export\s+)?NODES=(?:"([^"]*)"|'([^']*)'|(\S*))""", text, re.MULTILINE)
    return list(dict.fromkeys("".join(found[-1]).lower().split())) if found else []
