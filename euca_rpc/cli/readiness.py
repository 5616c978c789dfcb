"""Is the cloud ready?  `euca wait-ready`, and the steps that `euca up` shows while it comes up.

Ready means: the cloud controller answers, every zone does, every node that should take machines does,
and the ports of EC2 and the portal accept connections. What is missing is named, with what is known of why.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from euca_rpc.cli.frame import Command, Invocation, invocation
from euca_rpc.cli.output import Output
from euca_rpc.cli.remote import ask
from euca_rpc.config import EC2, IMAGES, Config
from euca_rpc.errors import EucaError

LONGEST = 180.0  # seconds: a first libvirt start on a slow machine, with room
PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    ready: bool
    why: str = ""


def parts(config: Config, expect: list[str] | None = None) -> list[Part]:
    """All that must answer, as it is now; of the nodes those in ``expect``, or all that are known."""
    try:
        zones: list[dict[str, Any]] = ask(config, "zones", timeout=5.0)
        nodes: list[dict[str, Any]] = ask(config, "nodes", timeout=5.0)
    except EucaError as error:
        if error.kind != "unavailable":
            raise
        return [Part("cloud controller", False, error.sentence)]
    found = [
        Part("cloud controller", True),
        Part("image server", accepts((config.advertised, config.port(IMAGES)))),
        Part("EC2 endpoint", accepts((config.advertised, config.port(EC2)))),
    ]
    if "portal" in config.cloud.interfaces:
        found.append(Part("portal", accepts((config.advertised, config.portal_port))))
    found += [
        Part(f"zone {zone['name']}", bool(zone["up"]), str(zone.get("trouble") or "")) for zone in zones
    ]
    known = {node["id"]: node for node in nodes}
    wanted = expect if expect is not None else list(known)
    for id in wanted:
        node = known.get(id)
        if node is None:
            found.append(Part(f"node {id}", False, "not known yet"))
        elif node["state"] == "active" and node.get("power", "on") == "on":
            # one that is drained, fenced or asleep is waited for by nobody
            found.append(Part(f"node {id}", bool(node["up"]), str(node["trouble"] or "")))
    return found


def accepts(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=1.0):
            return True
    except OSError:
        return False


def last_words(config: Config) -> str:
    log = config.logs / "up.log"
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f"{lines[-1]} (more in {config.logs})" if lines else f"see {config.logs}"


def follow(
    config: Config,
    output: Output,
    alive: Callable[[], bool] = lambda: True,
    expect: list[str] | None = None,
    longest: float = LONGEST,
) -> list[Part]:
    """Show each part as it becomes ready; return when all are."""
    began = time.monotonic()
    shown: set[str] = set()
    while True:
        now = parts(config, expect)
        for part in now:
            if part.ready and part.name not in shown:
                shown.add(part.name)
                output.done(f"{part.name} answers", time.monotonic() - began)
        missing = [part for part in now if not part.ready]
        if not missing:
            return now
        if not alive():
            raise EucaError("unavailable", f"The cloud ended while it came up: {last_words(config)}")
        if time.monotonic() - began > longest:
            said = "; ".join(f"{part.name}: {part.why or 'does not answer'}" for part in missing[:5])
            raise EucaError(
                "unreachable",
                f"Not ready after {longest:g} s. {said}. The logs are in {config.logs}; `euca doctor` looks further.",
                facts={"missing": [part.name for part in missing]},
            )
        time.sleep(PAUSE)


@click.command(
    "wait-ready",
    cls=Command,
    help="Return when the cloud controller, every zone, every node in use and the EC2 endpoint answer.",
    examples="euca wait-ready --timeout 60 && aws ec2 describe-availability-zones",
)
@click.option("--timeout", default=LONGEST, show_default=True, help="Seconds before giving up (exit code 3).")
@invocation
def wait_ready(one: Invocation, timeout: float) -> None:
    found = follow(one.config(), one.output, longest=timeout)
    if one.as_json:
        one.output.document([{"name": part.name, "ready": part.ready} for part in found])
