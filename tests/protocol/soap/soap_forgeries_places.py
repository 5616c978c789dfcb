"""Parts put elsewhere: a Body, a Timestamp or a whole header that was signed, and another that is read."""

from __future__ import annotations

from copy import deepcopy

from soap_forging import (
    ID,
    crafted,
    forgery,
    fresh_stamp,
    put_before,
    replace,
    wrapped,
)
from soap_letters import EXC, NS, Letter, element


# ================================================================= the signed Body elsewhere, another one executed
def body_moved_to(scene, place, id="evil"):
    """The classic: ``place(letter)`` is where the signed Body goes, an evil one takes its place."""
    it = scene.letter()
    signed = it.body
    replace(signed, scene.evil_body(id))
    place(it, signed)
    return it.bytes()


@forgery
def body_wrapped_in_header(scene):
    return body_moved_to(scene, lambda it, signed: it.header.append(wrapped(signed)))


@forgery
def body_wrapped_in_header_other_without_id(scene):
    return body_moved_to(scene, lambda it, signed: it.header.append(wrapped(signed)), id=None)


@forgery
def body_wrapped_before_security(scene):
    return body_moved_to(scene, lambda it, signed: it.header.insert(0, wrapped(signed)))


@forgery
def body_wrapped_in_security(scene):
    return body_moved_to(scene, lambda it, signed: it.security.append(wrapped(signed)))


@forgery
def body_bare_in_security(scene):
    return body_moved_to(scene, lambda it, signed: it.security.append(signed))


@forgery
def body_in_a_signature_object(scene):
    def place(it, signed):
        holder = element("<ds:Object/>")
        holder.append(signed)
        it.signature.append(holder)

    return body_moved_to(scene, place)


@forgery
def body_in_key_info(scene):
    return body_moved_to(scene, lambda it, signed: it.find(".//ds:KeyInfo").append(signed))


@forgery
def body_in_the_token_reference(scene):
    return body_moved_to(
        scene, lambda it, signed: it.find(".//wsse:SecurityTokenReference").append(wrapped(signed))
    )


@forgery
def body_in_the_reference_of_the_token(scene):
    return body_moved_to(
        scene, lambda it, signed: it.find(".//wsse:SecurityTokenReference/wsse:Reference").append(signed)
    )


@crafted
def body_in_the_inclusive_namespaces(scene):
    """Of the Timestamp's reference, signed by a client that allows such things."""
    it = scene.letter()
    it.of(0, "Transform").append(
        element(f'<ec:InclusiveNamespaces xmlns:ec="{EXC}" PrefixList="s"><x/></ec:InclusiveNamespaces>')
    )
    return it.resign(scene.genuine.owner).bytes()


@forgery
def body_in_the_token(scene):
    return body_moved_to(scene, lambda it, signed: it.token.append(signed))


@forgery
def body_in_the_evil_body(scene):
    return body_moved_to(scene, lambda it, signed: it.body.append(signed))


@forgery
def body_in_the_evil_operation(scene):
    return body_moved_to(scene, lambda it, signed: it.operation.append(signed))


@forgery
def body_in_a_trailer(scene):
    return body_moved_to(scene, lambda it, signed: it.root.append(wrapped(signed)))


@forgery
def body_in_a_second_header(scene):
    def place(it, signed):
        header = element("<s:Header/>")
        header.append(signed)
        put_before(it.body, header)

    return body_moved_to(scene, place)


@forgery
def two_bodies_with_one_id_evil_first(scene):
    it = scene.letter()
    put_before(it.body, scene.evil_body(it.body.get(ID)))
    return it.bytes()


@forgery
def two_bodies_with_one_id_evil_last(scene):
    it = scene.letter()
    it.root.append(scene.evil_body(it.body.get(ID)))
    return it.bytes()


@forgery
def two_bodies_with_two_ids_evil_first(scene):
    it = scene.letter()
    put_before(it.body, scene.evil_body())
    return it.bytes()


@forgery
def two_bodies_with_two_ids_evil_last(scene):
    it = scene.letter()
    it.root.append(scene.evil_body())
    return it.bytes()


@forgery
def two_operations_evil_first(scene):
    it = scene.letter()
    it.body.insert(0, scene.evil_operation())
    return it.bytes()


@forgery
def two_operations_evil_last(scene):
    it = scene.letter()
    it.body.append(scene.evil_operation())
    return it.bytes()


@forgery
def three_bodies(scene):
    """The attack on EC2 after a second Timestamp in the header was forbidden: the signed one is in another Body."""
    it = scene.letter()
    scene.later(3600)
    old = it.stamp
    replace(old, fresh_stamp(scene))
    carrier = element('<s:Body wsu:Id="carrier"/>')
    carrier.append(old)
    signed = it.body
    put_before(signed, scene.evil_body())
    put_before(signed, carrier)
    return it.bytes()


@forgery
def second_security_holds_what_was_signed(scene):
    """The attack on Eucalyptus: no id is given twice, and the executed Body and Timestamp have ids of their own."""
    it = scene.letter()
    scene.later(3600)
    body, old = it.body, it.stamp
    replace(body, scene.evil_body("B-wrapped"))
    replace(old, fresh_stamp(scene, "T-wrapped"))
    second = element("<wsse:Security/>")
    second.extend([old, body])
    it.header.append(second)
    return it.bytes()


@forgery
def first_security_holds_what_was_signed(scene):
    it = scene.letter()
    body, old = it.body, it.stamp
    replace(body, scene.evil_body("B-wrapped"))
    replace(old, fresh_stamp(scene, "T-wrapped"))
    second = element("<wsse:Security/>")
    second.extend([old, body])
    it.header.insert(0, second)
    return it.bytes()


@forgery
def envelope_in_the_body(scene):
    it = scene.letter()
    outer = element("<s:Envelope><s:Header/><s:Body/></s:Envelope>")
    outer[1].append(it.root)
    return in_bytes(outer)


@forgery
def envelope_in_the_header(scene):
    it = scene.letter()
    outer = element("<s:Envelope><s:Header/></s:Envelope>")
    outer[0].append(it.root)
    outer.append(scene.evil_body())
    return in_bytes(outer)


@forgery
def envelope_in_another_root(scene):
    return in_bytes(wrapped(scene.letter().root))


def in_bytes(root) -> bytes:
    it = Letter(b"<x/>")
    it.root = root
    return it.bytes()


@forgery
def body_before_header(scene):
    it = scene.letter()
    it.root.insert(0, it.body)
    return it.bytes()


@forgery
def two_headers(scene):
    it = scene.letter()
    it.root.insert(0, element("<s:Header/>"))
    return it.bytes()


@forgery
def an_unsigned_header_block(scene):
    it = scene.letter()
    it.header.append(wrapped(tag="To"))
    return it.bytes()


@forgery
def text_in_the_header(scene):
    it = scene.letter()
    it.security.tail = "evil"
    return it.bytes()


# ====================================================================== an old message with a fresh Timestamp
@forgery
def two_stamps_with_one_id_fresh_first(scene):
    it = scene.letter()
    scene.later(3600)
    put_before(it.stamp, fresh_stamp(scene, it.stamp.get(ID)))
    return it.bytes()


@forgery
def two_stamps_with_one_id_fresh_last(scene):
    it = scene.letter()
    scene.later(3600)
    it.stamp.addnext(fresh_stamp(scene, it.stamp.get(ID)))
    return it.bytes()


@forgery
def two_stamps_fresh_first(scene):
    it = scene.letter()
    scene.later(3600)
    put_before(it.stamp, fresh_stamp(scene))
    return it.bytes()


@forgery
def two_stamps_fresh_last(scene):
    it = scene.letter()
    scene.later(3600)
    it.security.append(fresh_stamp(scene))
    return it.bytes()


@forgery
def old_stamp_wrapped(scene):
    it = scene.letter()
    scene.later(3600)
    old = it.stamp
    replace(old, fresh_stamp(scene))
    it.header.append(wrapped(old))
    return it.bytes()


@forgery
def old_stamp_in_the_token_reference(scene):
    it = scene.letter()
    scene.later(3600)
    old = it.stamp
    replace(old, fresh_stamp(scene))
    it.find(".//wsse:SecurityTokenReference/wsse:Reference").append(old)
    return it.bytes()


@forgery
def doubled_security_fresh_first(scene):
    it = scene.letter()
    scene.later(3600)
    second = deepcopy(it.security)
    replace(second.find("wsu:Timestamp", NS), fresh_stamp(scene))
    it.header.insert(0, second)
    return it.bytes()


@forgery
def doubled_security_fresh_last(scene):
    it = scene.letter()
    scene.later(3600)
    second = element("<wsse:Security/>")
    second.append(fresh_stamp(scene))
    it.header.append(second)
    return it.bytes()


@forgery
def stamp_rewritten(scene):
    it = scene.letter()
    scene.later(3600)
    replace(it.stamp, fresh_stamp(scene, it.stamp.get(ID)))
    return it.bytes()
