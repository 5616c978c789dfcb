"""For administrators: zones and nodes, VM types, policies, what they see, and the launches that were refused."""

from __future__ import annotations

from euca_rpc.errors import EucaError
from euca_rpc.types import Event, VmType

from ..asked import Answer, Asked, Page, Redirect
from ..confirm import Change, confirm, known
from ..forms import MOST

CHANGES = {
    "drain": Change(
        "Drain",
        "Put no more machines on this node?",
        "Those that are there run on.",
        "takes no more machines.",
    ),
    "undrain": Change("Use again", "Put machines on this node again?", done="takes machines again."),
    "sleep": Change(
        "Put to sleep",
        "Put this node to sleep?",
        "It holds no machine, and takes none until it is woken: by you, or by a policy.",
        "is put to sleep.",
    ),
    "wake": Change("Wake", "Wake this node?", done="is being woken."),
    "fence": Change(
        "Fence",
        "Do you state that this host is powered off?",
        "Its certificate is revoked and all its machines end, for good. If the host is on, machines go on running that "
        "nobody can reach any more: look first.",
        "is fenced; its machines have ended.",
        danger=True,
    ),
}


def nodes(asked: Asked) -> Page:
    found = asked.core.nodes.describe(asked.caller)
    return Page("nodes.html", {"zones": asked.core.zones.describe(asked.caller), "nodes": found})


def ask(asked: Asked) -> Page:
    id, name = _node(asked), asked.path["change"]
    change_ = known(CHANGES, name)
    return confirm(f"{change_.button} {id}", change_, f"/admin/nodes/{id}/{name}", "/admin/nodes")


def change(asked: Asked) -> Answer:
    id, change_ = _node(asked), known(CHANGES, asked.path["change"])
    nodes_ = asked.core.nodes
    match asked.path["change"]:
        case "fence":
            nodes_.fence(asked.caller, id)
        case "sleep" | "wake" as other:
            nodes_.sleep(asked.caller, id, other == "sleep")
        case other:
            nodes_.drain(asked.caller, id, other == "drain")
    return Redirect("/admin/nodes", f"{id} {change_.done}")


def types(asked: Asked) -> Page:
    return Page("types.html", {"types": asked.core.types.describe(asked.caller)})


def set_type(asked: Asked) -> Answer:
    """A new one, or another size for one that is there, which keeps its place in the list."""
    form, nouns = asked.form, asked.core.types
    name = form.line("name", 64)
    there = nouns.describe(asked.caller)
    place = {one.name: one.position for one in there}
    made = nouns.set(
        asked.caller,
        VmType(
            name,
            form.whole("cores", 1, MOST, 1),
            form.whole("memory_mb", 1, MOST, 128),
            form.whole("disk_gb", 1, MOST, 1),
            place.get(name, max(place.values(), default=-1) + 1),
        ),
    )
    return Redirect(
        "/admin/types", f"{made.name} is set; machines that were launched before keep their size."
    )


REMOVE_TYPE = Change(
    "Remove it", "Launch no more machines of this type?", "Machines of it that are there go on.", danger=True
)


def ask_remove_type(asked: Asked) -> Page:
    (found,) = asked.core.types.describe(asked.caller, [asked.path["name"]])
    return confirm(f"Remove {found.name}", REMOVE_TYPE, f"/admin/types/{found.name}/remove", "/admin/types")


def remove_type(asked: Asked) -> Answer:
    name = asked.path["name"]
    asked.core.types.remove(asked.caller, name)
    return Redirect("/admin/types", f"{name} was removed.")


def policies(asked: Asked) -> Page:
    refused = asked.core.history.events(asked.caller, kind="launch.refused", limit=20)
    return Page(
        "policies.html",
        {
            "policies": asked.core.nodes.policies(asked.caller),
            "published": asked.core.nodes.published(asked.caller),
            "refusals": [(event, refusal(event)) for event in refused.rows],
        },
    )


def refusal(event: Event) -> dict[str, str]:
    """What a refused launch asked for, and why not, in words."""
    return {name: str(event.facts.get(name, "")) for name in ("asked", "zone", "reason")}


def _node(asked: Asked) -> str:
    id = f"{asked.path['zone']}/{asked.path['host']}"
    if all(status.node.id != id for status in asked.core.nodes.describe(asked.caller)):
        raise EucaError(
            "node_not_found", f"There is no node {id[:130]}; the list shows those that there are."
        )
    return id
