"""Tags: the core keeps them, on everything that has an owner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from euca_rpc.errors import EucaError
from euca_rpc.types import Tag

from ..errors import WireError
from ..filters import matching
from ..messages import tags as m
from ..messages.keys import Done
from ..paging import checked
from .asked import Asked, dry

RESOURCE_TYPES = {
    "i-": "instance",
    "emi-": "image",
    "eki-": "image",
    "eri-": "image",
    "key-": "key-pair",
    "r-": "reservation",
}


def create(asked: Asked, request: m.CreateTags) -> Done:
    ids, tags = _resources(asked, request.ids, request.dry_run), once(request.tags)
    dry(request.dry_run)
    asked.core.tags.create(asked.caller, ids, tags)
    return Done()


def delete(asked: Asked, request: m.DeleteTags) -> Done:
    """No tags given: all of them go."""
    tags: dict[str, str | None] = {}
    for tag in request.tags:
        if tag.key in tags:
            raise _twice(tag.key)
        tags[tag.key] = tag.value
    ids = _resources(asked, request.ids, request.dry_run)
    dry(request.dry_run)
    asked.core.tags.delete(asked.caller, ids, tags)
    return Done()


def describe(asked: Asked, request: m.DescribeTags) -> m.DescribeTagsAnswer:
    checked(request.max_results, request.next_token, ())
    test = matching(request.filters, _FILTERS, lambda it: ((it.key, it.value),))
    dry(request.dry_run)
    found = [it for it in asked.core.tags.describe(asked.caller) if test(it)]
    question = ("tags", asked.caller.account_id, request.filters)
    rows, token = asked.ground.pager.page(
        found, lambda it: (it.resource_id, it.key), question, request.max_results, request.next_token
    )
    return m.DescribeTagsAnswer(
        tuple(m.TagDescription(it.resource_id, _type(it), it.key, it.value) for it in rows), token
    )


def _type(tag: Tag) -> str:
    return RESOURCE_TYPES.get(tag.resource_id[:-8], "")


_FILTERS: dict[str, Callable[[Tag], Iterable[str]]] = {
    "key": lambda it: (it.key,),
    "value": lambda it: (it.value,),
    "resource-id": lambda it: (it.resource_id,),
    "resource-type": lambda it: (_type(it),),
}


# -------------------------------------------------------------------------------- for what makes a resource
def once(tags: Sequence[m.Tag]) -> dict[str, str]:
    found: dict[str, str] = {}
    for tag in tags:
        if tag.key in found:
            raise _twice(tag.key)
        found[tag.key] = tag.value
    return found


def specified(specifications: Sequence[m.TagSpecification], resource_type: str) -> dict[str, str]:
    """The tags for what is being made; tags for anything else are refused, since nothing else is made."""
    given: list[m.Tag] = []
    for specification in specifications:
        if specification.resource_type != resource_type:
            raise EucaError(
                "unsupported",
                f"TagSpecification names the resource type {specification.resource_type[:40]!r}; what is made here, and "
                f"can be tagged, is: {resource_type}.",
            )
        given += specification.tags
    return once(given)


def shown(asked: Asked, resource_id: str) -> tuple[m.TagItem, ...]:
    return tuple(m.TagItem(key, value) for key, value in asked.core.tags.of(resource_id))


def _twice(key: str) -> EucaError:
    return EucaError("parameter_invalid", f"The tag key {key[:100]!r} is given more than once.")


def _resources(asked: Asked, spelt: Sequence[str], look: bool) -> list[str]:
    """In lower case, each once.  The core looks for them when it tags them, and earlier only for a dry run."""
    ids = list(dict.fromkeys(text.lower() for text in spelt))
    for id in ids:
        if id[:-8] not in RESOURCE_TYPES:
            raise WireError(
                "InvalidID", f"The id {id[:100]!r} is not valid: tags go on instances, images and key pairs."
            )
    if look:
        for id in ids:
            _look(asked, id)
    return ids


def _look(asked: Asked, id: str) -> None:
    kind, caller = RESOURCE_TYPES[id[:-8]], asked.caller
    if kind == "instance":
        list(asked.core.instances.describe(caller, [id]))
    elif kind == "image":
        own_image(asked, id)
    elif kind == "key-pair":
        if all(it.id != id for it in asked.core.keys.describe(caller)):
            raise EucaError("key_not_found", f"The key pair {id!r} does not exist.")
    elif all(held.id != id for held, _ in asked.core.instances.describe(caller)):
        raise EucaError("id_malformed", f"The reservation {id!r} does not exist.")


def own_image(asked: Asked, id: str) -> None:
    (image,) = asked.core.images.describe(asked.caller, [id])
    if not asked.caller.is_admin and image.account_id != asked.caller.account_id:
        raise EucaError("denied", f"Only its owner or an administrator may change {id}.")
