"""Every request that there is.  Routing, checking and the OpenAPI document read this table and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from euca_rpc.errors import EucaError
from euca_rpc.http.statuses import Refused

from . import bodies as b
from . import operations as do
from .operations import Asked

ROOT = "/v1"
DOCUMENT = f"{ROOT}/openapi.json"


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str  # {name} is one segment
    name: str  # the operation's id
    about: str
    perform: Callable[[Asked], Any]
    answer: type | None = None  # None: nothing is answered but the status
    status: int = 200
    body: type | None = None
    query: type | None = None
    refusals: tuple[str, ...] = ()  # symbols of its own, besides those of a request that is not right
    open: bool = False  # needs no token
    once: bool = False  # takes an Idempotency-Key


_NO_INSTANCE = ("instance_not_found",)
_NO_IMAGE = ("image_not_found",)
_TAGGED = ("instance_not_found", "image_not_found", "key_not_found", "tag_limit")
_LAUNCH = (
    *("image_not_found", "key_not_found", "zone_not_found", "type_not_found", "token_mismatch", "tag_limit"),
    *("image_unavailable", "capacity_exhausted", "quota_exceeded", "policy_refused", "policy_failed"),
)

ROUTES: tuple[Route, ...] = (
    Route(
        *(
            "POST",
            "/v1/tokens",
            "createToken",
            "Prove an access key, get a token for 15 minutes.",
            do.new_token,
            b.Token,
        ),
        status=201,
        body=b.NewToken,
        open=True,
    ),
    Route(
        "GET", "/v1/zones", "listZones", "Zones, and what room they have.", do.zones, b.Zones, query=b.Paged
    ),
    Route("GET", "/v1/zones/{name}", "getZone", "One zone.", do.zone, b.Zone, refusals=("zone_not_found",)),
    Route("GET", "/v1/types", "listTypes", "VM types.", do.vm_types, b.Types, query=b.Paged),
    Route(
        "GET", "/v1/types/{name}", "getType", "One VM type.", do.vm_type, b.Type, refusals=("type_not_found",)
    ),
    Route(
        "GET", "/v1/images", "listImages", "What may be launched.", do.images, b.Images, query=b.ImageFilter
    ),
    Route("GET", "/v1/images/{id}", "getImage", "One image.", do.image, b.Image, refusals=_NO_IMAGE),
    Route(
        *("POST", "/v1/images", "registerImage", "Make an image of an upload.", do.register_image, b.Image),
        status=201,
        body=b.NewImage,
        refusals=(*_NO_IMAGE, "denied"),
    ),
    Route(
        *("PATCH", "/v1/images/{id}", "changeImage", "Disable it, so that nobody launches it, or enable it."),
        *(do.change_image, b.Image),
        body=b.ImageChange,
        refusals=(*_NO_IMAGE, "denied", "state_conflict"),
    ),
    Route(
        *("DELETE", "/v1/images/{id}", "deregisterImage", "Forget an image.", do.deregister_image),
        status=204,
        refusals=(*_NO_IMAGE, "denied", "state_conflict"),
    ),
    Route(
        *("GET", "/v1/images/{id}/permissions", "getPermissions", "Who may launch it besides its owner."),
        *(do.permissions, b.Permissions),
        refusals=(*_NO_IMAGE, "denied"),
    ),
    Route(
        *("PUT", "/v1/images/{id}/permissions", "setPermissions", "Say who may launch it, nobody else may."),
        *(do.set_permissions, b.Permissions),
        body=b.Permissions,
        refusals=(*_NO_IMAGE, "denied"),
    ),
    Route("GET", "/v1/tags", "listTags", "The account's tags.", do.tags, b.Tags, query=b.TagFilter),
    Route(
        *("PUT", "/v1/tags/{id}/{key}", "setTag", "Tag an instance, image, key pair or reservation."),
        *(do.set_tag, b.Tag),
        body=b.TagValue,
        refusals=_TAGGED,
    ),
    Route(
        *("DELETE", "/v1/tags/{id}/{key}", "deleteTag", "Take the tag off, if it is there.", do.delete_tag),
        status=204,
        refusals=_TAGGED,
    ),
    Route(
        *(
            "GET",
            "/v1/access-keys",
            "listAccessKeys",
            "The caller's access keys; an administrator's list has all.",
        ),
        *(do.access_keys, b.AccessKeys),
        query=b.Paged,
    ),
    Route(
        *("POST", "/v1/access-keys", "createAccessKey", "Make another access key for the caller."),
        *(do.new_access_key, b.MadeAccessKey),
        status=201,
        refusals=("credential_limit",),
    ),
    Route(
        *("PATCH", "/v1/access-keys/{id}", "changeAccessKey", "Disable or enable it."),
        *(do.change_access_key, b.AccessKey),
        body=b.AccessKeyChange,
        refusals=("credential_not_found",),
    ),
    Route(
        *("DELETE", "/v1/access-keys/{id}", "deleteAccessKey", "Delete it, and with it its tokens."),
        do.delete_access_key,
        status=204,
        refusals=("credential_not_found",),
    ),
    Route("GET", "/v1/keys", "listKeys", "Key pairs.", do.keys, b.Keys, query=b.Paged),
    Route(
        *(
            "POST",
            "/v1/keys",
            "createKey",
            "Make a key pair, or add one's public half.",
            do.new_key,
            b.MadeKey,
        ),
        status=201,
        body=b.NewKey,
        refusals=("key_duplicate", "key_format"),
    ),
    Route("GET", "/v1/keys/{name}", "getKey", "One key pair.", do.key, b.Key, refusals=("key_not_found",)),
    Route(
        *("DELETE", "/v1/keys/{name}", "deleteKey", "Forget a key pair.", do.delete_key),
        status=204,
        refusals=("key_not_found",),
    ),
    Route(
        *(
            "GET",
            "/v1/instances",
            "listInstances",
            "The account's instances, oldest first.",
            do.instances,
            b.Instances,
        ),
        query=b.InstanceFilter,
    ),
    Route(
        *("POST", "/v1/instances", "launchInstances", "Launch instances.", do.launch, b.Launched),
        status=201,
        body=b.NewInstances,
        refusals=_LAUNCH,
        once=True,
    ),
    Route(
        "GET",
        "/v1/instances/{id}",
        "getInstance",
        "One instance.",
        do.instance,
        b.Instance,
        refusals=_NO_INSTANCE,
    ),
    Route(
        *("PATCH", "/v1/instances/{id}", "changeInstance", "Change one of its attributes."),
        *(do.change_instance, b.Instance),
        body=b.InstanceChange,
        refusals=(*_NO_INSTANCE, "type_not_found", "image_not_found", "state_conflict"),
    ),
    Route(
        *(
            "DELETE",
            "/v1/instances/{id}",
            "terminateInstance",
            "End it; its disk goes.",
            do.terminate,
            b.Instance,
        ),
        status=202,
        refusals=(*_NO_INSTANCE, "protected"),
    ),
    Route(
        *("POST", "/v1/instances/{id}/reboot", "rebootInstance", "Reboot it.", do.reboot, b.Instance),
        status=202,
        refusals=(*_NO_INSTANCE, "state_conflict"),
    ),
    Route(
        *("POST", "/v1/instances/{id}/stop", "stopInstance", "Stop it; its disk stays.", do.stop, b.Instance),
        status=202,
        refusals=(*_NO_INSTANCE, "state_conflict"),
    ),
    Route(
        *(
            "POST",
            "/v1/instances/{id}/start",
            "startInstance",
            "Start it from its disk.",
            do.start,
            b.Instance,
        ),
        status=202,
        refusals=(*_NO_INSTANCE, "state_conflict", "capacity_exhausted", "quota_exceeded", "policy_failed"),
    ),
    Route(
        *("PUT", "/v1/instances/{id}/lease", "extendLease", "Let it run longer.", do.extend, b.Instance),
        body=b.LeaseChange,
        refusals=(*_NO_INSTANCE, "state_conflict", "denied"),
    ),
    Route(
        *("POST", "/v1/instances/{id}/image", "createImage", "Make an image of its disk; it comes later."),
        *(do.image_of_instance, b.Image),
        status=202,
        body=b.ImageOfInstance,
        refusals=(*_NO_INSTANCE, *_NO_IMAGE, "state_conflict", "name_duplicate"),
    ),
    Route(
        *("GET", "/v1/instances/{id}/console", "getConsole", "Its serial console.", do.console, b.Console),
        refusals=(*_NO_INSTANCE, "throttled", "unreachable"),
    ),
)


def _compiled() -> dict[str, tuple[re.Pattern[str], dict[str, Route]]]:
    found: dict[str, tuple[re.Pattern[str], dict[str, Route]]] = {}
    for route in ROUTES:
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path))
        found.setdefault(route.path, (pattern, {}))[1][route.method] = route
    return found


_PATHS = _compiled()


def find(method: str, path: str) -> tuple[Route, Mapping[str, str]]:
    for pattern, methods in _PATHS.values():
        match = pattern.fullmatch(path)
        if match is None:
            continue
        if method not in methods:
            allowed = ", ".join(sorted(methods))
            raise Refused(405, "action_unknown", f"{path[:100]!a} takes {allowed}.", (("Allow", allowed),))
        return methods[method], {name: _unquoted(text) for name, text in match.groupdict().items()}
    raise Refused(
        404, "action_unknown", f"Nothing is served at {path[:100]!a}; GET {DOCUMENT} tells what is."
    )


def _unquoted(segment: str) -> str:
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise EucaError("parameter_invalid", f"The path's part {segment[:60]!a} is not UTF-8.") from None
