"""Images: registered by what the image process has inspected, removed when nobody needs them.

    available ◄─► disabled     by its owner or an administrator; nobody launches it, and only these two still see it
        └─────────┴──► removed  its bytes go too, once no image, upload or machine needs them

An upload through a page is passed on as it comes, by whichever thread brings it (`upload`): nothing else here waits for
anybody, and nothing holds more than a piece of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from euca_rpc.clock import Clock, Micros, moment
from euca_rpc.cloud import captures
from euca_rpc.cloud.accounts import check_administrator
from euca_rpc.cloud.captures import AVAILABLE
from euca_rpc.cloud.changes import Insert, Outcome, Put, Remove, event
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.specs import Blobs
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.ids import IMAGE_PREFIX, Ids, resource_id
from euca_rpc.images import tickets
from euca_rpc.types import Caller, Image, NewImage, Upload

DISABLED = "disabled"


class Depot(Protocol):
    """The way to the image server's process."""

    def take(self, ticket: str, declared: tuple[str, str, str], size: int, chunks: Iterable[bytes]) -> str:
        """Pass on ``size`` bytes; the receipt.  ``declared``: format, kind, architecture."""
        ...

    def forget(self, sha256: str, ticket: str) -> None:
        """Have the bytes deleted, at some time; nobody waits for it."""
        ...


class NoDepot:
    """Where there is no image server: in the simulator."""

    def take(self, ticket: str, declared: tuple[str, str, str], size: int, chunks: Iterable[bytes]) -> str:
        raise EucaError("unsupported", "this cloud has no image server")

    def forget(self, sha256: str, ticket: str) -> None:
        pass


class Images:
    def __init__(self, journal: Journal, ids: Ids, clock: Clock, blobs: Blobs, depot: Depot) -> None:
        self._journal, self._ids, self._clock, self._blobs, self._depot = journal, ids, clock, blobs, depot

    def describe(self, caller: Caller, ids: Sequence[str] = ()) -> list[Image]:
        view = self._journal.view
        if ids:
            return [_visible(view, caller, image_id) for image_id in dict.fromkeys(ids)]
        images = (i for i in view.images.values() if i.removed_at is None and _sees(caller, i))
        return sorted(images, key=lambda i: (i.created_at, i.id))

    def upload(self, caller: Caller, wanted: NewImage, size: int, chunks: Iterable[bytes]) -> Image:
        check_administrator(caller)
        _check_parts(self._journal.view, caller, wanted.name, wanted.kernel_id, wanted.ramdisk_id)
        ticket = self._blobs.upload_ticket(caller.user_name, wanted, size, self._clock.wall())
        declared = (wanted.format, wanted.kind, wanted.architecture)
        return self.take(caller, self._depot.take(ticket, declared, size, chunks), wanted)

    def take(self, caller: Caller, receipt: str, wanted: NewImage) -> Image:
        """The image of what the image process inspected and signed; what ``wanted`` says of the bytes counts nothing."""
        facts = tickets.check(self._blobs.ticket_key, receipt, tickets.RECEIPT, self._clock.wall())
        parts = (wanted.kernel_id, wanted.ramdisk_id)
        made = add(caller, self._ids, facts, wanted.name, *parts, wanted.public)
        image: Image = self._journal.do(made)
        return image

    def enable(self, caller: Caller, id: str, enabled: bool = True) -> Image:
        image: Image = self._journal.do(enable(caller, id, enabled))
        return image

    def register(
        self,
        caller: Caller,
        location: str,
        name: str,
        kernel_id: str | None = None,
        ramdisk_id: str | None = None,
        architecture: str | None = None,
    ) -> Image:
        def verb(view: View, now: Micros) -> Outcome:
            upload = view.uploads.get(location)
            if upload is None or not (caller.is_admin or upload.account_id == caller.account_id):
                known = ", ".join(
                    sorted(u.id for u in view.uploads.values() if u.account_id == caller.account_id)[:5]
                )
                raise EucaError(
                    "image_not_found",
                    f"the location {location[:200]!r} names no upload of this cloud; there are {known or 'none'}. URLs and "
                    "paths are not fetched: upload the image first",
                )
            if architecture is not None and architecture != upload.architecture:
                raise EucaError(
                    "parameter_invalid",
                    f"{location} was uploaded as {upload.architecture}, not {architecture}",
                )
            facts = {f: getattr(upload, f) for f in _RECEIPT}
            return add(caller, self._ids, facts, name, kernel_id, ramdisk_id, public=False)(view, now)

        image: Image = self._journal.do(verb)
        return image

    def create(self, caller: Caller, instance_id: str, name: str, description: str = "") -> Image:
        image: Image = self._journal.do(captures.begin(caller, self._ids, instance_id, name, description))
        return image

    def deregister(self, caller: Caller, id: str) -> None:
        free = self._journal.do(remove(caller, id))
        if free is not None:  # nothing needs its bytes any more
            self._depot.forget(free, self._blobs.forget_ticket(free, self._clock.wall()))

    def permit(
        self,
        caller: Caller,
        id: str,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        reset: bool = False,
    ) -> Image:
        image: Image = self._journal.do(permit(caller, id, add, remove, reset))
        return image


_RECEIPT = ("sha256", "bytes", "virtual_bytes", "format", "kind", "architecture")
_ACCOUNT = re.compile(r"[0-9]{12}")
MOST_PERMISSIONS = 100


def may_use(caller: Caller, image: Image) -> bool:
    return image.public or _owns(caller, image) or caller.account_id in image.launch_accounts


def _owns(caller: Caller, image: Image) -> bool:
    return caller.is_admin or image.account_id == caller.account_id


def _sees(caller: Caller, image: Image) -> bool:
    return may_use(caller, image) and (image.state != DISABLED or _owns(caller, image))


def _visible(view: View, caller: Caller, image_id: str) -> Image:
    image = view.images.get(image_id)
    if image is None or image.removed_at is not None or not _sees(caller, image):
        raise EucaError("image_not_found", f"the image id {image_id!r} does not exist")
    return image


def _check_parts(
    view: View, caller: Caller, name: str, kernel_id: str | None, ramdisk_id: str | None
) -> None:
    captures.check_name(name)
    for other, wanted in ((kernel_id, "kernel"), (ramdisk_id, "ramdisk")):
        if other is not None and _visible(view, caller, other).kind != wanted:
            raise EucaError("parameter_invalid", f"{other} is no {wanted} image")


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
        if kind != "machine" and not caller.is_admin:
            raise EucaError("denied", f"only administrators may register {kind} images")
        _check_parts(view, caller, name, kernel_id, ramdisk_id)
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


def add_upload(
    caller: Caller, location: str, receipt: Mapping[str, Any]
) -> Callable[[View, Micros], Outcome]:
    """What the image process inspected and signed, under a name that RegisterImage may give."""

    def verb(view: View, now: Micros) -> Outcome:
        if not _LOCATION.fullmatch(location) or ".." in location:
            raise EucaError(
                "parameter_invalid",
                f"the location {location[:80]!r}: up to 200 of letters, digits and . _ - /, no ..",
            )
        old = view.uploads.get(location)
        if old is not None and old.account_id != caller.account_id:
            raise EucaError("name_duplicate", f"the location {location!r} is taken: choose another")
        facts = {f: receipt[f] for f in _RECEIPT}
        row = Upload(id=location, account_id=caller.account_id, created_at=now, **facts)
        return Outcome((Put(row),), (event("upload.added", location, now, caller, facts=facts),), row)

    return verb


def permit(
    caller: Caller, image_id: str, add: Sequence[str], remove: Sequence[str], reset: bool
) -> Callable[[View, Micros], Outcome]:
    def verb(view: View, now: Micros) -> Outcome:
        image = _visible(view, caller, image_id)
        _must_own(caller, image, "say who launches")
        for who in (*add, *remove):
            if who != "all" and not _ACCOUNT.fullmatch(who):
                raise EucaError(
                    "parameter_invalid", f"{who[:40]!r} is neither an account number (12 digits) nor all"
                )
        public, allowed = (False, set()) if reset else (image.public, set(image.launch_accounts))
        allowed = (allowed | {a for a in add if a != "all"}) - set(remove)
        public = (public or "all" in add) and "all" not in remove
        if len(allowed) > MOST_PERMISSIONS:
            raise EucaError(
                "parameter_invalid", f"{len(allowed)} accounts: at most {MOST_PERMISSIONS}, or all"
            )
        new = replace(image, public=public, launch_accounts=tuple(sorted(allowed)))
        facts = {"public": public, "accounts": sorted(allowed)}
        return Outcome((Put(new),), (event("image.permitted", image_id, now, caller, facts=facts),), new)

    return verb


def _must_own(caller: Caller, image: Image, what: str) -> None:
    if not _owns(caller, image):
        raise EucaError("denied", f"only its owner or an administrator may {what} {image.id}")


def enable(caller: Caller, image_id: str, enabled: bool) -> Callable[[View, Micros], Outcome]:
    """What runs goes on; what is so already stays so, without an event."""

    def verb(view: View, now: Micros) -> Outcome:
        image = _visible(view, caller, image_id)
        _must_own(caller, image, "enable" if enabled else "disable")
        if image.state not in (AVAILABLE, DISABLED):
            raise EucaError(
                "state_conflict", f"{image_id} is {image.state}: only an image that is there can be disabled"
            )
        if enabled == (image.state == AVAILABLE):
            return Outcome(result=image)
        if enabled:
            new = replace(image, state=AVAILABLE, reason_code="", reason="")
        else:
            reason = f"disabled by {caller.user_name} on {moment(now)}"
            new = replace(image, state=DISABLED, reason_code="Client.UserInitiatedDisable", reason=reason)
        kind = "image.enabled" if enabled else "image.disabled"
        told = event(kind, image_id, now, caller, image.account_id, {"name": image.name})
        return Outcome((Put(new),), (told,), new)

    return verb


_LOCATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")


def remove(caller: Caller, image_id: str) -> Callable[[View, Micros], Outcome]:
    """The result is the SHA-256 of a blob that nothing needs any more, or None."""

    def verb(view: View, now: Micros) -> Outcome:
        image = _visible(view, caller, image_id)
        _must_own(caller, image, "remove")
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
        free = None if any(i.sha256 == image.sha256 for i in others) else image.sha256 or None
        kept = any(u.sha256 == image.sha256 for u in view.uploads.values())
        free = None if kept or _running_on(view, image) else free
        capture = view.captures.get(image_id)
        changes = (Put(gone),) if capture is None else (Put(gone), Remove(capture))
        return Outcome(changes, (event("image.removed", image_id, now, caller),), free)

    return verb


def _running_on(view: View, image: Image) -> bool:
    """Machines go on without the image, but a launch under way may still fetch it."""
    ids = (image.id,)
    alive = (i for i in view.instances.values() if i.ended_at is None)
    return any(i.image_id in ids or i.kernel_id in ids or i.ramdisk_id in ids for i in alive)
