"""Key pairs."""

from __future__ import annotations

from euca_rpc.errors import EucaError
from euca_rpc.types import KeyPair

from ..filters import matching
from ..messages import keys as m
from .asked import Asked, dry, refuse
from .tags import shown, specified


def create(asked: Asked, request: m.CreateKeyPair) -> m.CreateKeyPairAnswer:
    refuse(
        request.key_format != "pem",
        f"Private keys are given in PEM only, not as {request.key_format[:20]!r}.",
    )
    tags = _before(asked, request)
    pair, material = asked.core.keys.create(asked.caller, request.key_name, request.key_type)
    _tag(asked, pair, tags)
    return m.CreateKeyPairAnswer(pair.name, pair.fingerprint, material, pair.id, shown(asked, pair.id))


def import_(asked: Asked, request: m.ImportKeyPair) -> m.ImportKeyPairAnswer:
    tags = _before(asked, request)
    pair = asked.core.keys.import_(asked.caller, request.key_name, request.material)
    _tag(asked, pair, tags)
    return m.ImportKeyPairAnswer(pair.name, pair.fingerprint, pair.id, shown(asked, pair.id))


def _before(asked: Asked, request: m.CreateKeyPair | m.ImportKeyPair) -> dict[str, str]:
    tags = specified(request.tag_specifications, "key-pair")
    if request.dry_run:
        if any(it.name == request.key_name for it in asked.core.keys.describe(asked.caller)):
            raise EucaError("key_duplicate", f"The key pair {request.key_name[:255]!r} already exists.")
        dry(True)
    return tags


def _tag(asked: Asked, pair: KeyPair, tags: dict[str, str]) -> None:
    """A pair whose tags are refused is not left behind."""
    if not tags:
        return
    try:
        asked.core.tags.create(asked.caller, [pair.id], tags)
    except EucaError:
        asked.core.keys.delete(asked.caller, pair.name)
        raise


def describe(asked: Asked, request: m.DescribeKeyPairs) -> m.DescribeKeyPairsAnswer:
    test = matching(request.filters, _FILTERS, lambda it: asked.core.tags.of(it.id))
    pairs = asked.core.keys.describe(asked.caller, request.key_names)
    if request.ids:
        everyone = pairs if request.key_names else asked.core.keys.describe(asked.caller)
        pairs = [_by_id(everyone, id) for id in request.ids]
    dry(request.dry_run)
    return m.DescribeKeyPairsAnswer(
        tuple(
            m.KeyItem(
                it.name,
                it.fingerprint,
                it.id,
                it.key_type,
                it.public_key if request.include_public_key else None,
                shown(asked, it.id),
                it.created_at,
            )
            for it in pairs
            if test(it)
        )
    )


def _by_id(pairs: list[KeyPair], id: str) -> KeyPair:
    for pair in pairs:
        if pair.id == id.lower():
            return pair
    raise EucaError("key_not_found", f"The key pair {id[:100]!r} does not exist.")


_FILTERS = {
    "key-name": lambda it: (it.name,),
    "key-pair-id": lambda it: (it.id,),
    "fingerprint": lambda it: (it.fingerprint,),
    "key-type": lambda it: (it.key_type,),
}


def delete(asked: Asked, request: m.DeleteKeyPair) -> m.Done:
    if (request.key_name is None) == (request.id is None):
        raise EucaError("parameter_missing", "The request must contain either KeyName or KeyPairId.")
    name = request.key_name
    if name is None:
        name = _by_id(asked.core.keys.describe(asked.caller), request.id or "").name
    dry(request.dry_run)
    asked.core.keys.delete(asked.caller, name)
    return m.Done()
