"""The table of forgeries, how one is entered, and what several of them need.

Each is made from a genuine message by somebody who has seen it (and has, at most, a key of his own); those marked
`crafted` are signed with the owner's key, because they stand for what a careless client might sign and somebody then
change.  What comes back is the message to send; it must be refused like every other, and make no key pair.
"""

from __future__ import annotations

from soap_letters import WSU, element, stamp

FORGERIES = {}  # name → (function, needs the owner's key)
ID = f"{{{WSU}}}Id"
SKEW, LIFETIME = 60, 600  # what the verifier allows


def forgery(make):
    FORGERIES[make.__name__] = (make, False)
    return make


def crafted(make):
    FORGERIES[make.__name__] = (make, True)
    return make


def fresh_stamp(scene, id: str | None = "fresh"):
    attribute = f' wsu:Id="{id}"' if id else ""
    begin, end = stamp(scene.now), stamp(scene.now + 300)
    return element(
        f"<wsu:Timestamp{attribute}><wsu:Created>{begin}</wsu:Created><wsu:Expires>{end}</wsu:Expires></wsu:Timestamp>"
    )


def put_before(place, new):
    place.addprevious(new)
    return new


def replace(old, new):
    put_before(old, new)
    old.getparent().remove(old)


def wrapped(*inside, tag="Wrapper"):
    wrapper = element(f'<w:{tag} xmlns:w="http://example.com/w"/>')
    wrapper.extend(inside)
    return wrapper
