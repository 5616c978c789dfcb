"""For administrators: all images, and adding one by uploading it.

browser ─► portal (a thread of its own, piece by piece) ─► image server: inspects ─► the cloud registers what it found
"""

from __future__ import annotations

from euca_rpc.errors import EucaError
from euca_rpc.ids import KERNEL_IMAGE, RAMDISK_IMAGE, parse_resource_id
from euca_rpc.images.inspection import ARCHITECTURES, FORMATS, KINDS
from euca_rpc.types import NewImage

from ..asked import Answer, Asked, Fields, Page, Redirect
from ..paging import part
from .images import ALL_KINDS, fitting


def listed(asked: Asked) -> Page:
    page = part(fitting(asked), asked.query)
    owners = asked.core.people.owners(asked.caller, {image.created_by for image in page.rows})
    return Page("staff_images.html", {"page": page, "kinds": ALL_KINDS, "owners": owners})


def add_form(asked: Asked) -> Page:
    there = [image for image in asked.core.images.describe(asked.caller) if image.state == "available"]
    return Page(
        "image_add.html",
        {
            "kinds": KINDS,
            "formats": FORMATS,
            "architectures": ARCHITECTURES,
            "kernels": [image for image in there if image.kind == "kernel"],
            "ramdisks": [image for image in there if image.kind == "ramdisk"],
            "largest": asked.settings.upload_gb << 30,
        },
    )


def add(asked: Asked) -> Answer:
    form, file = asked.form, asked.file
    if file is None or not file.size:
        raise EucaError("parameter_missing", "Choose a file that is not empty.")
    kind = form.choice("kind", *KINDS)
    machine = kind == "machine"
    wanted = NewImage(
        form.line("name", 128),
        kind,
        form.choice("format", *FORMATS) if machine else "raw",
        form.choice("architecture", *ARCHITECTURES),
        _id(form, "kernel", KERNEL_IMAGE) if machine else None,
        _id(form, "ramdisk", RAMDISK_IMAGE) if machine else None,
        form.ticked("public"),
    )
    image = asked.core.images.upload(asked.caller, wanted, file.size, file.chunks())
    return Redirect(f"/images/{image.id}", f"{image.name} is there as {image.id}.")


def _id(form: Fields, name: str, prefix: str) -> str | None:
    text = form.line(name, 40)
    found = parse_resource_id(text, prefix)
    if text and found is None:
        raise EucaError("parameter_invalid", f"{text!r} is no id of a {name}.")
    return found
