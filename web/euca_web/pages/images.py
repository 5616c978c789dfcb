"""Images: what may be launched, who may launch it, and what its owner can do to it."""

from __future__ import annotations

import re

from euca_rpc.errors import EucaError
from euca_rpc.ids import KERNEL_IMAGE, MACHINE_IMAGE, RAMDISK_IMAGE, parse_resource_id
from euca_rpc.types import Image

from ..asked import Answer, Asked, Page, Redirect
from ..confirm import Change, confirm, known
from ..paging import part

ALL_KINDS = (("", "all"), ("machine", "machine"), ("kernel", "kernel"), ("ramdisk", "ramdisk"))


def listed(asked: Asked) -> Page:
    return Page("images.html", {"page": part(fitting(asked), asked.query), "kinds": ALL_KINDS})


def fitting(asked: Asked) -> list[Image]:
    """Those that are searched for."""
    wanted = asked.query.text("search", 200).lower()
    kind = asked.query.choice("state", *(value for value, _ in ALL_KINDS))
    return sorted(
        (
            image
            for image in asked.core.images.describe(asked.caller)
            if (not kind or image.kind == kind) and (wanted in image.name.lower() or wanted in image.id)
        ),
        key=lambda image: (image.kind != "machine", image.name, image.id),
    )


def one(asked: Asked) -> Page:
    image = _image(asked)
    owner = asked.core.people.owners(asked.caller, [image.created_by]).get(image.created_by)
    return Page("image.html", {"image": image, "owned": _owned(asked, image), "owner": owner})


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


CHANGES = {
    "disable": Change(
        "Disable it",
        "Let nobody launch this image for now?",
        "Its owner and administrators alone still see it. Machines that run go on.",
        "is disabled.",
    ),
    "enable": Change(
        "Enable it", "Let this image be launched again, by those who could?", done="is enabled."
    ),
    "remove": Change(
        "Remove it",
        "Take this image away?",
        "Nobody can launch it any more. Machines that run go on. Its bytes are deleted when nothing needs them.",
        "was removed.",
        danger=True,
    ),
}


def ask(asked: Asked) -> Page:
    image, name = _image(asked), asked.path["change"]
    title = f"{name.capitalize()} {image.name}"
    return confirm(title, known(CHANGES, name), f"/images/{image.id}/{name}", f"/images/{image.id}")


def change(asked: Asked) -> Answer:
    image, name = _image(asked), asked.path["change"]
    said = f"{image.id} {known(CHANGES, name).done}"
    if name == "remove":
        asked.core.images.deregister(asked.caller, image.id)
        return Redirect("/admin/images" if asked.caller.is_admin else "/images", said)
    asked.core.images.enable(asked.caller, image.id, name == "enable")
    return Redirect(f"/images/{image.id}", said)


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
