"""Key pairs."""

# ruff: noqa: RUF009 -- fields are declared by calls
from __future__ import annotations

from dataclasses import dataclass

from euca_rpc.clock import Micros

from ..fields import BASE64, FLAG, MOMENT, TEXTS, Items, out, param
from .places import FILTERS, Filter
from .tags import SPECIFICATIONS, TagItem, TagSpecification

KEY_IDS = "2016-11-15"  # the version that has KeyPairId


@dataclass(frozen=True, slots=True)
class CreateKeyPair:
    key_name: str = param("KeyName")
    key_type: str = param("KeyType", default="rsa")
    key_format: str = param("KeyFormat", default="pem")
    tag_specifications: tuple[TagSpecification, ...] = param("TagSpecification", SPECIFICATIONS)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class CreateKeyPairAnswer:
    key_name: str = out("keyName")
    fingerprint: str = out("keyFingerprint")
    material: str = out("keyMaterial")
    id: str = out("keyPairId", since=KEY_IDS)
    tags: tuple[TagItem, ...] = out("tagSet", Items(TagItem), since=KEY_IDS)

    def __repr__(self) -> str:  # the material is a private key
        return f"CreateKeyPairAnswer({self.key_name!r})"


@dataclass(frozen=True, slots=True)
class ImportKeyPair:
    key_name: str = param("KeyName")
    material: bytes = param("PublicKeyMaterial", BASE64)
    tag_specifications: tuple[TagSpecification, ...] = param("TagSpecification", SPECIFICATIONS)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class ImportKeyPairAnswer:
    key_name: str = out("keyName")
    fingerprint: str = out("keyFingerprint")
    id: str = out("keyPairId", since=KEY_IDS)
    tags: tuple[TagItem, ...] = out("tagSet", Items(TagItem), since=KEY_IDS)


@dataclass(frozen=True, slots=True)
class DescribeKeyPairs:
    key_names: tuple[str, ...] = param("KeyName", TEXTS, soap="keySet/keyName")
    ids: tuple[str, ...] = param("KeyPairId", TEXTS)
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    include_public_key: bool = param("IncludePublicKey", FLAG, False)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class KeyItem:
    key_name: str = out("keyName")
    fingerprint: str = out("keyFingerprint")
    id: str = out("keyPairId", since=KEY_IDS)
    key_type: str = out("keyType", since=KEY_IDS)
    public_key: str | None = out("publicKey", since=KEY_IDS)
    tags: tuple[TagItem, ...] = out("tagSet", Items(TagItem), since=KEY_IDS)
    created_at: Micros = out("createTime", MOMENT, since=KEY_IDS)


@dataclass(frozen=True, slots=True)
class DescribeKeyPairsAnswer:
    keys: tuple[KeyItem, ...] = out("keySet", Items(KeyItem))


@dataclass(frozen=True, slots=True)
class DeleteKeyPair:
    key_name: str | None = param("KeyName", default=None)
    id: str | None = param("KeyPairId", default=None)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class Done:
    """The answer of an action that has nothing to say."""

    done: bool = out("return", FLAG, default=True)
