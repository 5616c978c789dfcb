"""Images: what may be launched, who may launch it, and taking one away."""

from __future__ import annotations

import re

from euca_rpc.errors import EucaError
from euca_rpc.ids import KERNEL_IMAGE, MACHINE_IMAGE, RAMDISK_IMAGE, parse_resource_id
from euca_rpc.types import Image

from ..asked import Answer, Asked, Page, Redirect
from ..confirm import Change, confirm
from ..paging import part

KINDS = (("", "all"), ("machine", "machine"), ("kernel", "kernel"), ("ramdisk", "ramdisk"))


def listed(asked: Asked) -> Page:
    wanted = asked.query.text("search", 200).lower()
    kind = asked.query.choice("state", *(value for value, _ in KINDS))
    found = sorted(
        (
            image
            for image in asked.core.images.describe(asked.caller)
            if (not kind or image.kind == kind) and (wanted in image.name.lower() or wanted in image.id)
        ),
        key=lambda image: (image.kind != "machine", image.name, image.id),
    )
    return Page("images.html", {"page": part(found, asked.query), "kinds": KINDS})


def one(asked: Asked) -> Page:
    image = _image(asked)
    return Page("image.html", {"image": image, "owned": _owned(asked, image)})


def permit(asked: Asked) -> Answer:
    image = _image(asked)
    public = asked.form.ticked("public")
    accounts = re.findall(r"[^\s,;]+", asked.form.text("accounts", 4000))
    wrong = [account for account in accounts if not re.fullmatch(r"\d{12}", account)]
    if wrong:
        raise EucaError("parameter_invalid", f"{wrong[0][:60]!r} is no account number: 12 digits are needed.")
    asked.core.images.permit(
        asked.caller, image.id, add=[*accounts, *(["all"] if public else [])], reset=True
    )
    return Redirect(f"/images/{image.id}", f"The launch permissions of {image.id} were changed.")


REMOVE = Change(
    "Remove it",
    "Take this image away?",
    "Nobody can launch it any more. Machines that run go on.",
    danger=True,
)


def ask_remove(asked: Asked) -> Page:
    image = _image(asked)
    return confirm(f"Remove {image.name}", REMOVE, f"/images/{image.id}/remove", f"/images/{image.id}")


def remove(asked: Asked) -> Answer:
    image = _image(asked)
    asked.core.images.deregister(asked.caller, image.id)
    return Redirect("/images", f"{image.id} was removed.")


def _owned(asked: Asked, image: Image) -> bool:
    """For buttons alone: whether it is allowed, the core says."""
    return asked.caller.is_admin or image.account_id == asked.caller.account_id


def _image(asked: Asked) -> Image:
    id = parse_resource_id(asked.path["id"], MACHINE_IMAGE, KERNEL_IMAGE, RAMDISK_IMAGE)
    if id is None:
        raise EucaError(
            "image_not_found", "No image has such an id: emi-, eki- or eri- and eight hexadecimal digits."
        )
    (found,) = asked.core.images.describe(asked.caller, [id])
    return found
