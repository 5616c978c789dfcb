"""Images: registered by what the image process has inspected, removed when nobody needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from euca_rpc.clock import Micros
from euca_rpc.cloud.changes import Insert, Outcome, Put, event
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.ids import IMAGE_PREFIX, Ids, resource_id
from euca_rpc.types import Caller, Image


class Images:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def describe(self, caller: Caller, ids: Sequence[str] = ()) -> list[Image]:
        view = self._journal.view
        if ids:
            return [_visible(view, caller, image_id) for image_id in dict.fromkeys(ids)]
        images = (i for i in view.images.values() if i.removed_at is None and may_use(caller, i))
        return sorted(images, key=lambda i: (i.created_at, i.id))


def may_use(caller: Caller, image: Image) -> bool:
    return image.public or caller.is_admin or image.account_id == caller.account_id


def _visible(view: View, caller: Caller, image_id: str) -> Image:
    image = view.images.get(image_id)
    if image is None or image.removed_at is not None or not may_use(caller, image):
        raise EucaError("image_not_found", f"the image id {image_id!r} does not exist")
    return image


# ------------------------------------------------------------------------------------------------------- verbs
def add(
    caller: Caller,
    ids: Ids,
    receipt: Mapping[str, Any],
    name: str,
    kernel_id: str | None,
    ramdisk_id: str | None,
    public: bool,
) -> Callable[[View, Micros], Outcome]:
    """``receipt`` holds the facts that the image process signed after it had inspected the blob."""

    def verb(view: View, now: Micros) -> Outcome:
        kind = str(receipt["kind"])
        if not name or len(name) > 128:
            raise EucaError("parameter_invalid", f"the image name {name!r}: give one of 1 to 128 characters")
        if kind != "machine" and not caller.is_admin:
            raise EucaError("denied", f"only administrators may register {kind} images")
        for other, wanted in ((kernel_id, "kernel"), (ramdisk_id, "ramdisk")):
            if other is not None and _visible(view, caller, other).kind != wanted:
                raise EucaError("parameter_invalid", f"{other} is no {wanted} image")
        image_id = resource_id(ids, IMAGE_PREFIX[kind])
        image = Image(
            id=image_id,
            kind=kind,
            name=name,
            account_id=caller.account_id,
            created_by=caller.user_id,
            sha256=str(receipt["sha256"]),
            bytes=int(receipt["bytes"]),
            virtual_bytes=int(receipt["virtual_bytes"]),
            format=str(receipt["format"]),
            architecture=str(receipt["architecture"]),
            kernel_id=kernel_id,
            ramdisk_id=ramdisk_id,
            public=public,
            created_at=now,
        )
        facts = {"name": name, "sha256": image.sha256, "bytes": image.bytes}
        return Outcome((Insert(image),), (event("image.added", image_id, now, caller, facts=facts),), image)

    return verb


def remove(caller: Caller, image_id: str) -> Callable[[View, Micros], Outcome]:
    """The result is the SHA-256 of a blob that nothing needs any more, or None."""

    def verb(view: View, now: Micros) -> Outcome:
        image = _visible(view, caller, image_id)
        if not caller.is_admin and image.account_id != caller.account_id:
            raise EucaError("denied", f"only its owner or an administrator may remove {image_id}")
        users = [
            i
            for i in view.images.values()
            if i.removed_at is None and image_id in (i.kernel_id, i.ramdisk_id)
        ]
        if users:
            names = ", ".join(sorted(i.id for i in users))
            raise EucaError(
                "state_conflict", f"{image_id} is the {image.kind} of {names}: remove those first"
            )
        gone = replace(image, removed_at=now)
        others = (i for i in view.images.values() if i.removed_at is None and i.id != image_id)
        free = None if any(i.sha256 == image.sha256 for i in others) else image.sha256
        free = None if _running_on(view, image) else free
        return Outcome((Put(gone),), (event("image.removed", image_id, now, caller),), free)

    return verb


def _running_on(view: View, image: Image) -> bool:
    """Machines go on without the image, but a launch under way may still fetch it."""
    ids = (image.id,)
    alive = (i for i in view.instances.values() if i.ended_at is None)
    return any(i.image_id in ids or i.kernel_id in ids or i.ramdisk_id in ids for i in alive)
