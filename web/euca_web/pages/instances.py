"""Instances: the list, one of them with its console, and what can be done to it.

A caller sees its account's, an administrator all: that is the core's decision, not this page's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as NoAnswer

from euca_rpc.clock import HOUR, moment
from euca_rpc.errors import EucaError
from euca_rpc.ids import INSTANCE, parse_resource_id
from euca_rpc.shown import InstanceStatus, Owner

from .. import paging
from ..asked import Answer, Asked, Page, Redirect
from ..confirm import Change, confirm, known

STATES = (
    ("", "all"),
    ("pending", "pending"),
    ("running", "running"),
    ("stopping", "stopping"),
    ("stopped", "stopped"),
    ("shutting-down", "shutting down"),
    ("terminated", "terminated"),
)


CHANGES = {
    "terminate": Change(
        "Terminate it",
        "End this machine for good?",
        "Its disk is deleted. There is no way back.",
        "is being terminated.",
        danger=True,
    ),
    "stop": Change(
        "Stop it",
        "Power this machine off?",
        "It keeps its disk and gives back its cores and memory; starting it again needs free room on its node.",
        "is being stopped.",
    ),
    "reboot": Change(
        "Reboot it",
        "Restart this machine now?",
        "What runs in it ends as at a reset. Its disk and addresses stay.",
        "is being rebooted.",
    ),
    "start": Change("Start it", "Start this machine from its disk?", done="is being started."),
}


def listed(asked: Asked) -> Page:
    query = asked.query
    found = asked.core.instances.page(
        asked.caller,
        search=query.text("search", 200),
        state=query.choice("state", *(value for value, _ in STATES)),
        after=query.text("after"),
        limit=paging.PER_PAGE,
    )
    return Page("instances.html", {"page": found, "states": STATES, "owners": owners_of(asked, found.rows)})


def owners_of(asked: Asked, rows: Sequence[InstanceStatus]) -> Mapping[str, Owner] | None:
    """By user id, for an administrator, whose list has everybody's; None for others."""
    if not asked.caller.is_admin:
        return None
    return asked.core.people.owners(asked.caller, {row.instance.created_by for row in rows})


def one(asked: Asked) -> Page:
    status = _status(asked)
    by = status.instance.created_by
    owner = asked.core.people.owners(asked.caller, [by]).get(by)
    return Page("instance.html", {"status": status, "owner": owner})


def console(asked: Asked) -> Page:
    status = _status(asked)
    future = asked.core.instances.console(asked.caller, status.instance.id)
    try:
        shown = future.result(asked.settings.console_seconds)
    except (NoAnswer, CancelledError):
        future.cancel()
        raise EucaError(
            "unreachable",
            f"The node of {status.instance.id} did not give its console within {asked.settings.console_seconds:g} s; try again.",
        ) from None
    text = shown.text.decode("utf-8", "replace").replace("\r\n", "\n")
    return Page("console.html", {"status": status, "text": readable(text), "at": shown.at})


def readable(text: str) -> str:
    """A guest may print anything: what is no character for people is left out, so that no page is spoilt by it."""
    return "".join(
        character
        for character in text
        if character in "\n\t" or (ord(character) >= 32 and character != "\x7f")
    )


def ask(asked: Asked) -> Page:
    id, name = _status(asked).instance.id, asked.path["change"]
    change_ = known(CHANGES, name)
    return confirm(f"{name.capitalize()} {id}", change_, f"/instances/{id}/{name}", f"/instances/{id}")


def change(asked: Asked) -> Answer:
    id, name = _id(asked), asked.path["change"]
    change_ = known(CHANGES, name)
    nouns = asked.core.instances
    verb = {"terminate": nouns.terminate, "stop": nouns.stop, "reboot": nouns.reboot, "start": nouns.start}
    verb[name](asked.caller, [id])
    return Redirect(f"/instances/{id}", f"{id} {change_.done}")


def extend(asked: Asked) -> Answer:
    """The lease ends so many hours later than it would, or than now if that is later."""
    status = _status(asked)
    hours = asked.form.whole("hours", 1, 10_000, 24)
    until = max(status.lease.until if status.lease else 0, asked.core.clock.now()) + hours * HOUR
    told = asked.core.instances.extend(asked.caller, status.instance.id, until)
    said = f"Its lease ends at {moment(told.lease.until)} now." if told.lease else ""
    return Redirect(f"/instances/{status.instance.id}", said)


def _status(asked: Asked) -> InstanceStatus:
    ((_, (status,)),) = asked.core.instances.describe(asked.caller, [_id(asked)])
    return status


def _id(asked: Asked) -> str:
    id = parse_resource_id(asked.path["id"], INSTANCE)
    if id is None:
        raise EucaError("instance_not_found", "No instance has such an id: i- and eight hexadecimal digits.")
    return id
