"""The launch form: from nothing to a running machine without a command line."""

from __future__ import annotations

from euca_rpc.errors import EucaError
from euca_rpc.ids import MACHINE_IMAGE, parse_resource_id
from euca_rpc.types import LaunchRequest

from ..asked import Answer, Asked, Page, Redirect

MOST_USER_DATA = 16 * 1024
MOST_AT_ONCE = 100


def form(asked: Asked) -> Page:
    core, caller = asked.core, asked.caller
    machines = [
        image
        for image in core.images.describe(caller)
        if image.kind == "machine" and image.state == "available"
    ]
    wanted = asked.form if asked.trouble else asked.query
    return Page(
        "launch.html",
        {
            "images": sorted(machines, key=lambda image: (image.name, image.id)),
            "types": core.types.describe(caller),
            "zones": core.zones.describe(caller),
            "keys": core.keys.describe(caller),
            "wanted": wanted,
            # the same form sent twice gives the same machines, not more
            "once": wanted.shown("once") or f"portal-{core.ids.bits(96):024x}",
        },
    )


def launch(asked: Asked) -> Answer:
    said = asked.form
    image = parse_resource_id(said.text("image"), MACHINE_IMAGE)
    if image is None:
        raise EucaError("parameter_missing", "Choose an image to start from.")
    count = said.whole("count", 1, MOST_AT_ONCE, 1)
    name = said.line("name", 255)
    data = said.raw("user_data", MOST_USER_DATA).replace("\r\n", "\n").encode()
    made = asked.core.instances.launch(
        asked.caller,
        LaunchRequest(
            image_id=image,
            min_count=count,
            max_count=count,
            vm_type=said.line("type"),
            key_name=said.line("key") or None,
            zone=said.line("zone") or None,
            user_data=data,
            client_token=said.line("once", 64) or None,
            shutdown_behavior=said.choice("shutdown", "terminate", "stop"),
            tags=(("Name", name),) if name else (),
        ),
    )
    if len(made.instances) == 1:
        id = made.instances[0].instance.id
        return Redirect(f"/instances/{id}", f"{id} is on its way; this page shows when it runs.")
    return Redirect("/instances", f"{len(made.instances)} machines are on their way.")
