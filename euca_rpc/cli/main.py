"""`euca`: the one command. Each module of this folder brings some of its words; this one puts them
together.
"""

from __future__ import annotations

import importlib

import click

from euca_rpc.cli.frame import Group, run

# word → where it is.  Imported when it is used: a list of zones need not load the supervisor.
WORDS = {
    "init": "init:init",
    "up": "up:up",
    "down": "up:down",
    "wait-ready": "readiness:wait_ready",
    "status": "status:status",
    "doctor": "doctor:doctor",
    "explain": "lists:explain",
    "zones": "lists:LISTS[zones]",
    "nodes": "lists:LISTS[nodes]",
    "instances": "lists:LISTS[instances]",
    "users": "lists:LISTS[users]",
    "extend": "leases:extend",
    "types": "lists:LISTS[types]",
    "policies": "lists:LISTS[policies]",
    "events": "lists:events",
    "ledger": "ledger:ledger",
    "images": "serve:images",
    "add_image": "images:add_image",
    "remove_image": "images:remove_image",
    "image": "images:image",
    "build_test_image": "images:build_test_image",
    "credentials": "people:credentials",
    "user": "people:user",
    "keys": "credentials:keys",
    "key": "credentials:key",
    "certificates": "credentials:certificates",
    "certificate": "credentials:certificate",
    "rescue": "rescue:rescue",
    "quota": "people:quota",
    "policy": "policies:policy",
    "simulate": "simulate:simulate",
    "trace": "trace:trace",
    "node": "nodes:node",
    "sync_key": "nodes:sync_key",
    "zone": "zones:zone",
    "zone_token": "zones:zone_token",
    "nameserver": "serve:nameserver",
    "cloud": "serve:cloud",
    "cluster": "serve:cluster",
    "config": "show:config",
    "completion": "show:completion",
}


class Words(Group):
    """In the order of first need, each imported only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(WORDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for word in (cmd_name, cmd_name.replace("-", "_"), cmd_name.replace("_", "-")):
            if word in WORDS:
                module, _, name = WORDS[word].partition(":")
                name, _, key = name.rstrip("]").partition("[")
                found = getattr(importlib.import_module(f"euca_rpc.cli.{module}"), name)
                command = found[key] if key else found
                assert isinstance(command, click.Command)
                return command
        return None


@click.group(
    cls=Words,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="A private cloud that speaks EC2.\n\n`euca up` starts one on this machine; `euca status` says how it is; "
    "`euca credentials USER DIR` makes what a client needs.",
    examples="euca up --zones 2 --detach\neuca credentials admin ./admin && . ./admin/eucarc\n"
    "euca build_test_image --register\naws ec2 run-instances --image-id emi-… --key-name mykey",
)
@click.version_option(package_name="euca-rpc", prog_name="euca")
def euca() -> None:
    pass


def main() -> None:
    run(euca)


if __name__ == "__main__":
    main()
