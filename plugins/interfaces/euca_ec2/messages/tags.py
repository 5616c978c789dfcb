"""Tags, on their own and as part of what makes a resource."""

from __future__ import annotations

from dataclasses import dataclass

from ..fields import FLAG, INTEGER, Items, Numbered, needed, out, param
from .places import FILTERS, Filter


@dataclass(frozen=True, slots=True)
class TagItem:
    key: str = out("key")
    value: str = out("value")


@dataclass(frozen=True, slots=True)
class Tag:
    key: str = param("Key")
    value: str = param("Value", default="")


@dataclass(frozen=True, slots=True)
class Untag:
    """Without a value the key goes whatever its value."""

    key: str = param("Key")
    value: str | None = param("Value", default=None)


@dataclass(frozen=True, slots=True)
class TagSpecification:
    resource_type: str = param("ResourceType")
    tags: tuple[Tag, ...] = param("Tag", Numbered(Tag), soap="tagSet")


SPECIFICATIONS = Numbered(TagSpecification)


@dataclass(frozen=True, slots=True)
class CreateTags:
    ids: tuple[str, ...] = needed("ResourceId", soap="resourcesSet/resourceId")
    tags: tuple[Tag, ...] = needed("Tag", Numbered(Tag), soap="tagSet")
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class DeleteTags:
    ids: tuple[str, ...] = needed("ResourceId", soap="resourcesSet/resourceId")
    tags: tuple[Untag, ...] = param("Tag", Numbered(Untag), soap="tagSet")
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class DescribeTags:
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    max_results: int | None = param("MaxResults", INTEGER, None)
    next_token: str | None = param("NextToken", default=None)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class TagDescription:
    resource_id: str = out("resourceId")
    resource_type: str = out("resourceType")
    key: str = out("key")
    value: str = out("value")


@dataclass(frozen=True, slots=True)
class DescribeTagsAnswer:
    tags: tuple[TagDescription, ...] = out("tagSet", Items(TagDescription))
    next_token: str | None = out("nextToken", since="2011-01-01", default=None)
