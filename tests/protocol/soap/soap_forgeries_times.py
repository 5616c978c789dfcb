"""Time, replay, and sizes that would cost too much."""

from __future__ import annotations

import re
from copy import deepcopy

from soap_forging import (
    FORGERIES,
    LIFETIME,
    SKEW,
    crafted,
    forgery,
    replace,
)
from soap_letters import DS, compose, create_key, element, stamp


# ======================================================================================================== time
def at(seconds, by=lambda scene: scene.genuine.message):
    def make(scene):
        scene.later(seconds)
        return by(scene)

    return make


def timed(created, lifetime=300):
    def make(scene):
        owner = scene.genuine.owner
        return compose(owner, create_key("mine"), scene.now + created, lifetime=lifetime).bytes()

    return make


FORGERIES["stale"] = (at(300), False)
FORGERIES["stale_by_a_day"] = (at(86400), False)
FORGERIES["future_by_clock"] = (at(-SKEW - 10), False)
FORGERIES["future"] = (timed(SKEW + 30), True)
FORGERIES["future_by_years"] = (timed(10 * 365 * 86400), True)
FORGERIES["lifetime_too_long"] = (timed(0, LIFETIME + 30), True)
FORGERIES["lifetime_of_years"] = (timed(0, 10 * 365 * 86400), True)
FORGERIES["expires_before_it_is_created"] = (timed(30, -10), True)


def stamped(content):
    """A Timestamp of another content, signed by its owner."""

    def make(scene):
        it = scene.letter()
        begin, end = stamp(scene.now), stamp(scene.now + 300)
        new = element(f'<wsu:Timestamp wsu:Id="T-1">{content.format(begin=begin, end=end)}</wsu:Timestamp>')
        replace(it.stamp, new)
        return it.resign(scene.genuine.owner).bytes()

    return make


_C, _E = "<wsu:Created>{begin}</wsu:Created>", "<wsu:Expires>{end}</wsu:Expires>"
for _name, _content in {
    "stamp_without_created": _E,
    "stamp_without_expires": _C,
    "stamp_empty": "",
    "stamp_two_created": _C + "<wsu:Created>2020-01-01T00:00:00Z</wsu:Created>" + _E,
    "stamp_two_expires": _C + _E + "<wsu:Expires>2099-01-01T00:00:00Z</wsu:Expires>",
    "stamp_in_the_wrong_order": _E + _C,
    "stamp_no_date": "<wsu:Created>now</wsu:Created>" + _E,
    "stamp_blank": "<wsu:Created/>" + _E,
    "stamp_impossible_date": _C + "<wsu:Expires>2026-13-45T99:00:00Z</wsu:Expires>",
    "stamp_without_a_zone": _C.replace("{begin}", "2026-11-18T20:26:40") + _E,
    "stamp_with_elements": "<wsu:Created>{begin}<wsu:x/></wsu:Created>" + _E,
    "stamp_with_more": _C + _E + "<wsu:Later>yes</wsu:Later>",
}.items():
    FORGERIES[_name] = (stamped(_content), True)


@forgery
def stamp_removed(scene):
    it = scene.letter()
    it.security.remove(it.stamp)
    return it.bytes()


# ====================================================================================================== replay
def replayed(again=lambda scene: scene.genuine.message, between=lambda scene: None):
    """The genuine message is executed once, its key pair deleted, and then it comes again."""

    def make(scene):
        answer = scene.send(scene.genuine.message)
        assert answer.status == 200, answer.body
        scene.cloud.key_rows.clear()
        between(scene)
        return again(scene)

    return make


def reencoded(change):
    def again(scene):
        it = scene.letter()
        change(it)
        return it.bytes()

    return again


def _spread(it):
    it.value.text = "\n ".join(re.findall(".", "".join(it.value.text.split())))


def _joined(it):
    it.value.text = "".join(it.value.text.split())


def _renamed(it):
    """What is not signed may be written otherwise: ids of the key, white space."""
    it.find(".//ds:KeyInfo").set("Id", "another")
    it.signature.tail = "\n\n"


for _name, _again in {
    "exact": lambda scene: scene.genuine.message,
    "with_white_space_before": lambda scene: b"\n" + re.sub(rb"^<\?xml[^>]*\?>\s*", b"", scene.genuine.message),
    "serialized_again": lambda scene: scene.letter().bytes(),
    "declared_otherwise": lambda scene: scene.letter().bytes(xml_declaration=True, standalone=True),
    "signature_spread": reencoded(_spread),
    "signature_joined": reencoded(_joined),
    "renamed": reencoded(_renamed),
    "token_spread": reencoded(lambda it: setattr(it.token, "text", "\n".join(re.findall(".{1,4}", it.token.text)))),
}.items():  # fmt: skip
    FORGERIES[f"replay_{_name}"] = (replayed(_again), False)
    FORGERIES[f"replay_{_name}_after_restart"] = (replayed(_again, lambda scene: scene.restart()), False)
FORGERIES["replay_minutes_later"] = (replayed(between=lambda scene: scene.later(290)), False)


# ================================================================================================ size and shape
@forgery
def white_space_without_end(scene):
    it = scene.letter()
    it.security.tail = " " * 300_000
    return it.bytes()


@forgery
def attributes_without_end(scene):
    it = scene.letter()
    for number in range(20):
        it.header.set(f"a{number}", "")
    return it.bytes()


def namespaces(count):
    return " ".join(f'xmlns:a{number}="urn:{number}"' for number in range(count)).encode()


@forgery
def namespaces_without_end(scene):
    return re.sub(rb"(<[\w-]+:Envelope)", rb"\1 " + namespaces(100), scene.genuine.message, count=1)


@crafted
def prefixes_without_end(scene):
    prefixes = " ".join(f"a{number}" for number in range(40))
    return compose(scene.genuine.owner, create_key("mine"), scene.now, prefixes=prefixes).bytes()


@crafted
def references_without_end(scene):
    it = scene.letter()
    for _ in range(100):
        it.info.append(deepcopy(it.references[0]))
    return it.resign(scene.genuine.owner).bytes()


def operation(text):
    def make(scene):
        return compose(scene.genuine.owner, text, scene.now).bytes()

    return make


_DEEP = "<e:x>" * 40 + "</e:x>" * 40
_MANY = "<e:x/>" * 17_000
for _name, _text in {
    "operation_too_deep": create_key(f"mine{_DEEP}"),
    "operation_too_wide": create_key(f"mine{_MANY}"),
    "operation_of_two_namespaces": create_key('mine<evil xmlns="http://example.com"/>'),
    "operation_of_no_namespace": "<CreateKeyPair><keyName>mine</keyName></CreateKeyPair>",
    "operation_missing": "",
    "operation_a_text": "CreateKeyPair",
    "operation_and_text": create_key("mine") + "evil",
    "two_operations_signed": create_key("mine") + create_key("evil"),
    "operation_with_a_signature": create_key(f'mine<ds:Signature xmlns:ds="{DS}"/>'),
}.items():
    FORGERIES[_name] = (operation(_text), True)
