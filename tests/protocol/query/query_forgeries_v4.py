"""Forgeries of signature version 4, in the header and presigned: smuggled headers, parameters, bodies and scopes."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import quote

from query_letters import ALGORITHM, FORM, Letter, basic, form, presign_v4, sign_v4, signature_v4, v4
from query_scene import ATTACKER, CREATE, EVIL, NOW, OWNER

V4 = {}  # name → what makes it of a scene


def forgery(make):
    V4[f"v4_{make.__name__}"] = make
    return make


def evil_body(letter: Letter) -> Letter:
    return replace(letter, body=letter.body.replace(b"mine", b"evil"))


def authorized(letter: Letter, old: str, new: str) -> Letter:
    """With another Authorization header."""
    said = letter.header("authorization")
    changed = re.sub(old, new, said)
    assert changed != said
    return letter.put("Authorization", changed)


def asked(letter: Letter, old: str, new: str) -> Letter:
    """With another query."""
    changed = re.sub(old, new, letter.query)
    assert changed != letter.query
    return replace(letter, query=changed)


# -------------------------------------------------------------------------------------------- body and parameters
@forgery
def body_changed(scene):
    return evil_body(scene.v4())


@forgery
def body_longer(scene):
    letter = scene.v4()
    return replace(letter, body=letter.body + b"&KeyType=ed25519")


@forgery
def parameter_in_the_query_as_well(scene):
    return replace(scene.v4(), query="KeyType=ed25519")


@forgery
def action_in_the_query_as_well(scene):
    return replace(scene.v4(), query="Action=CreateKeyPair&KeyName=evil")


@forgery
def query_to_body(scene):
    letter = scene.v4(method="GET")
    return replace(letter, query="", body=letter.query.replace("mine", "evil").encode())


@forgery
def query_twice(scene):
    letter = scene.v4(method="GET")
    return replace(letter, query=f"{letter.query}&KeyName=evil")


@forgery
def body_under_a_get(scene):
    return replace(scene.v4(method="GET"), body=b"KeyType=ed25519")


@forgery
def method_changed(scene):
    return replace(scene.v4(), method="GET")


@forgery
def path_changed(scene):
    return replace(scene.v4(), path="/")


@forgery
def plus_for_a_plus_that_was_escaped(scene):
    """A blank where a plus was signed."""
    letter = scene.v4({**CREATE, "KeyName": "a+b"}, method="GET")
    return asked(letter, "%2B", "+")


@forgery
def ampersand_unescaped(scene):
    letter = scene.v4({**CREATE, "KeyName": "mine&KeyType=ed25519"}, method="GET")
    return asked(letter, "%26KeyType%3D", "&KeyType=")


@forgery
def semicolon_for_an_ampersand(scene):
    letter = scene.v4(method="GET")
    return asked(letter, "KeyName=mine", "KeyName=evil;KeyName=mine")


# ----------------------------------------------------------------------------------------------------- the body's hash
@forgery
def unsigned_payload(scene):
    """As object stores allow it: the owner signed that the body is not signed."""
    letter = form(CREATE, Letter()).plus(("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"))
    return evil_body(
        sign_v4(OWNER, letter, NOW, signed="host;x-amz-content-sha256;x-amz-date", payload="UNSIGNED-PAYLOAD")
    )


@forgery
def streaming_payload(scene):
    streaming = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    letter = form(CREATE, Letter()).plus(("X-Amz-Content-Sha256", streaming))
    return evil_body(
        sign_v4(OWNER, letter, NOW, signed="host;x-amz-content-sha256;x-amz-date", payload=streaming)
    )


@forgery
def hash_of_the_genuine_body(scene):
    """The header says what was signed; the body is another."""
    import hashlib

    letter = form(CREATE, Letter())
    letter = letter.plus(("X-Amz-Content-Sha256", hashlib.sha256(letter.body).hexdigest()))
    return evil_body(sign_v4(OWNER, letter, NOW, signed="host;x-amz-content-sha256;x-amz-date"))


@forgery
def unsigned_payload_added(scene):
    return evil_body(scene.v4()).plus(("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"))


# --------------------------------------------------------------------------------------------------- signed headers
@forgery
def host_changed(scene):
    return scene.v4().put("Host", "another.example:8773")


@forgery
def host_twice_genuine_first(scene):
    return scene.v4().plus(("Host", "another.example"))


@forgery
def host_twice_genuine_last(scene):
    letter = scene.v4()
    return replace(letter, headers=(("Host", "another.example"), *letter.headers))


@forgery
def host_not_signed(scene):
    return scene.v4(signed="x-amz-date").put("Host", "another.example")


@forgery
def nothing_signed(scene):
    letter = form(CREATE, Letter()).put("X-Amz-Date", basic(NOW))
    scope = f"{basic(NOW)[:8]}/eucalyptus/ec2/aws4_request"
    made = signature_v4(OWNER, letter, "", scope, basic(NOW))
    return letter.plus(
        ("Authorization", f"{ALGORITHM} Credential={OWNER.id}/{scope}, SignedHeaders=, Signature={made}")
    )


@forgery
def signed_headers_not_in_order(scene):
    return scene.v4(signed="x-amz-date;host")


@forgery
def signed_headers_twice(scene):
    return scene.v4(signed="host;host;x-amz-date")


@forgery
def signed_header_that_is_not_there(scene):
    return scene.v4(signed="host;x-amz-date;x-amz-security-token")


@forgery
def signed_headers_shortened(scene):
    letter = scene.v4(signed="content-type;host;x-amz-date")
    return authorized(letter, "content-type;host", "host").put("Content-Type", "text/plain")


@forgery
def signed_header_removed(scene):
    return scene.v4(signed="content-type;host;x-amz-date").without("content-type")


@forgery
def signed_header_changed(scene):
    letter = scene.v4(signed="content-type;host;x-amz-date")
    return letter.put("Content-Type", FORM.replace("utf-8", "utf-16"))


@forgery
def signed_header_twice(scene):
    return scene.v4(signed="content-type;host;x-amz-date").plus(("Content-Type", "text/plain"))


@forgery
def taken_for_soap(scene):
    """The kind of content decides who reads the body; it was not signed."""
    return scene.v4().put("Content-Type", "text/xml")


# -------------------------------------------------------------------------------------------------------------- time
@forgery
def date_renewed(scene):
    scene.later(3600)
    return scene.v4().put("X-Amz-Date", basic(NOW + 3600))


@forgery
def date_in_the_other_header(scene):
    scene.later(3600)
    return scene.v4().without("x-amz-date").plus(("Date", basic(NOW + 3600)))


@forgery
def date_twice_fresh_first(scene):
    scene.later(3600)
    letter = scene.v4()
    return replace(letter, headers=(("X-Amz-Date", basic(NOW + 3600)), *letter.headers))


@forgery
def date_twice_fresh_last(scene):
    scene.later(3600)
    return scene.v4().plus(("X-Amz-Date", basic(NOW + 3600)))


@forgery
def date_in_a_parameter(scene):
    scene.later(3600)
    return replace(scene.v4(), query=f"X-Amz-Date={basic(NOW + 3600)}")


@forgery
def stale(scene):
    scene.later(901)
    return scene.v4()


@forgery
def from_the_future(scene):
    scene.later(-903)
    return scene.v4()


@forgery
def date_that_cannot_be_read(scene):
    return scene.v4().put("X-Amz-Date", "now")


# ------------------------------------------------------------------------------------------------------------- scope
@forgery
def scope_of_another_day(scene):
    """Signed with a day's key that has leaked, under today's date."""
    day = basic(NOW - 86400)[:8]
    return scene.v4(EVIL, scope=f"{day}/eucalyptus/ec2/aws4_request")


@forgery
def scope_of_another_region(scene):
    return authorized(scene.v4(), "/eucalyptus/", "/us-east-1/")


@forgery
def scope_of_another_service(scene):
    return authorized(scene.v4(), "/ec2/", "/sts/")


@forgery
def scope_of_another_kind(scene):
    return scene.v4(scope=f"{basic(NOW)[:8]}/eucalyptus/ec2/aws5_request")


@forgery
def scope_with_a_moved_border(scene):
    return authorized(scene.v4(), "eucalyptus/ec2", "eucalyptu/sec2")


@forgery
def scope_too_short(scene):
    return authorized(scene.v4(), "eucalyptus/ec2/", "")


# --------------------------------------------------------------------------------------- whose, and which signature
@forgery
def under_another_key(scene):
    return authorized(scene.v4(), OWNER.id, ATTACKER.id)


@forgery
def under_an_unknown_key(scene):
    return authorized(scene.v4(), OWNER.id, "AKNOBODY000000000001")


@forgery
def signed_by_the_attacker(scene):
    return authorized(v4(ATTACKER, EVIL, NOW), ATTACKER.id, OWNER.id)


@forgery
def signed_with_nothing(scene):
    return v4(replace(OWNER, secret=""), EVIL, NOW)


@forgery
def signature_removed(scene):
    return authorized(scene.v4(), ", Signature=.*", "")


@forgery
def signature_empty(scene):
    return authorized(scene.v4(), "Signature=.*", "Signature=")


@forgery
def signature_cut(scene):
    return authorized(scene.v4(), "(Signature=.{8}).*", r"\1")


@forgery
def signature_of_zeros(scene):
    return authorized(scene.v4(), "Signature=.*", "Signature=" + "0" * 64)


@forgery
def signature_twice_in_the_header(scene):
    return authorized(scene.v4(EVIL), "(Signature=)(.*)", rf"\1{'0' * 64}, \1\2")


@forgery
def weaker_algorithm(scene):
    return authorized(scene.v4(), "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1")


@forgery
def none_algorithm(scene):
    return authorized(scene.v4(), "AWS4-HMAC-SHA256", "AWS4-NONE")


@forgery
def two_authorizations_owner_first(scene):
    both = v4(ATTACKER, EVIL, NOW)
    return replace(both, headers=(("Authorization", scene.v4().header("authorization")), *both.headers))


@forgery
def two_authorizations_owner_last(scene):
    return v4(ATTACKER, EVIL, NOW).plus(("Authorization", scene.v4().header("authorization")))


@forgery
def header_and_query(scene):
    """Signed by the attacker in the header, by the owner in the query."""
    letter = scene.presigned()
    return sign_v4(ATTACKER, letter, NOW)


@forgery
def header_and_version_2(scene):
    return sign_v4(ATTACKER, scene.v2(), NOW)


@forgery
def another_kind_of_authorization(scene):
    return scene.v4().put("Authorization", "Basic QUtBTk46YW5u")


# --------------------------------------------------------------------------------------------------------- presigned
@forgery
def presigned_value_changed(scene):
    return asked(scene.presigned(), "mine", "evil")


@forgery
def presigned_for_longer(scene):
    scene.later(301)
    return asked(scene.presigned(), "X-Amz-Expires=300", "X-Amz-Expires=3000")


@forgery
def presigned_expired(scene):
    scene.later(301)
    return scene.presigned()


@forgery
def presigned_for_years(scene):
    scene.later(8 * 86400)
    return scene.presigned(expires=999_999)


@forgery
def presigned_with_no_end(scene):
    return asked(scene.presigned(), "&X-Amz-Expires=300", "")


@forgery
def presigned_with_an_end_of_its_own_kind(scene):
    return scene.presigned(expires="1e9")


@forgery
def presigned_and_renewed_in_a_header(scene):
    scene.later(3600)
    return scene.presigned().plus(("X-Amz-Date", basic(NOW + 3600)))


@forgery
def presigned_with_a_second_date(scene):
    scene.later(3600)
    letter = scene.presigned()
    return replace(letter, query=f"X-Amz-Date={basic(NOW + 3600)}&{letter.query}")


@forgery
def presigned_with_more(scene):
    letter = scene.presigned()
    return replace(letter, query=f"{letter.query}&KeyType=ed25519")


@forgery
def presigned_with_a_second_name(scene):
    letter = scene.presigned()
    return replace(letter, query=letter.query.replace("KeyName=mine", "KeyName=mine&KeyName=evil"))


@forgery
def presigned_with_the_same_name_escaped(scene):
    letter = scene.presigned()
    return replace(letter, query=f"{letter.query}&%4BeyName=evil")


@forgery
def presigned_with_a_body(scene):
    return replace(scene.presigned(), body=b"KeyType=ed25519").put("Content-Type", FORM)


@forgery
def presigned_moved_to_the_body(scene):
    letter = scene.presigned()
    return replace(letter, method="POST", query="", body=letter.query.encode()).put("Content-Type", FORM)


@forgery
def presigned_without_host(scene):
    letter = form(CREATE, Letter("GET")).plus(("X-Extra", "1"))
    return presign_v4(OWNER, letter, NOW, signed="x-extra").put("Host", "another.example")


@forgery
def presigned_with_two_signatures(scene):
    letter = scene.presigned(EVIL)
    return replace(letter, query=f"X-Amz-Signature={'0' * 64}&{letter.query}")


@forgery
def presigned_by_a_second_credential(scene):
    letter = presign_v4(ATTACKER, form(EVIL, Letter("GET")), NOW)
    owner = quote(f"{OWNER.id}/{basic(NOW)[:8]}/eucalyptus/ec2/aws4_request", safe="")
    return replace(letter, query=f"X-Amz-Credential={owner}&{letter.query}")


@forgery
def presigned_with_a_weaker_algorithm(scene):
    return asked(scene.presigned(), "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1")


@forgery
def presigned_on_another_path(scene):
    return replace(scene.presigned(), path="/")


@forgery
def presigned_for_another_host(scene):
    return scene.presigned().put("Host", "another.example")
