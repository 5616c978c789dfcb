"""Forgeries of signature version 2: parameters smuggled past what was signed."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from query_letters import Letter, claims, encoded, form, pairs, stamp, v2
from query_scene import ATTACKER, CREATE, EVIL, NOW, OWNER

V2 = {}  # name → what makes it of a scene


def forgery(make):
    V2[f"v2_{make.__name__}"] = make
    return make


def body(letter: Letter, old: str, new: str) -> Letter:
    """With another form."""
    assert old.encode() in letter.body
    return replace(letter, body=letter.body.replace(old.encode(), new.encode()))


def query(letter: Letter, old: str, new: str) -> Letter:
    assert old in letter.query
    return replace(letter, query=letter.query.replace(old, new))


def given(letter: Letter) -> dict[str, str]:
    return dict(pairs(letter.query) + pairs(letter.body))


def with_given(letter: Letter, **changes: str | None) -> Letter:
    """The same signature under other parameters; None leaves one out."""
    changed = {**given(letter), **changes}
    return form({name: value for name, value in changed.items() if value is not None}, letter)


# --------------------------------------------------------------------------------------------------- parameters
@forgery
def value_changed(scene):
    return with_given(scene.v2(), KeyName="evil")


@forgery
def action_changed(scene):
    return with_given(scene.v2(), Action="DeleteKeyPair")


@forgery
def version_changed(scene):
    return with_given(scene.v2(), Version="2009-11-30")


@forgery
def parameter_added(scene):
    return with_given(scene.v2(), KeyType="ed25519")


@forgery
def parameter_removed(scene):
    return with_given(scene.v2({**CREATE, "DryRun": "true"}), DryRun=None)


@forgery
def parameter_added_in_the_query(scene):
    return replace(scene.v2(), query="KeyType=ed25519")


@forgery
def name_twice_genuine_first(scene):
    return body(scene.v2(), "KeyName=mine", "KeyName=mine&KeyName=evil")


@forgery
def name_twice_genuine_last(scene):
    return body(scene.v2(), "KeyName=mine", "KeyName=evil&KeyName=mine")


@forgery
def name_twice_once_in_the_query(scene):
    return replace(scene.v2(), query="KeyName=evil")


@forgery
def name_twice_once_in_the_body(scene):
    return replace(scene.v2(method="GET"), body=b"KeyName=evil")


@forgery
def name_twice_once_escaped(scene):
    return body(scene.v2(), "KeyName=mine", "KeyName=mine&%4beyName=evil")


@forgery
def name_twice_once_with_a_blank(scene):
    return body(scene.v2(), "KeyName=mine", "KeyName=mine&+KeyName=evil")


@forgery
def name_twice_by_semicolon(scene):
    return body(scene.v2(), "KeyName=mine", "KeyName=mine;KeyName=evil")


@forgery
def name_in_other_letters(scene):
    return body(scene.v2(), "KeyName=mine", "KeyName=mine&keyname=evil")


@forgery
def all_twice(scene):
    """Everything of the owner in the query, the attacker's wish in the body."""
    letter = scene.v2(method="GET")
    return replace(letter, method="POST", body=b"Action=CreateKeyPair&KeyName=evil&Version=2016-11-15")


@forgery
def border_moved(scene):
    return body(scene.v2(), "KeyName=mine", "KeyNam=emine")


@forgery
def ampersand_unescaped(scene):
    """What was one value becomes two parameters."""
    letter = scene.v2({**CREATE, "KeyName": "mine&KeyType=ed25519"})
    return body(letter, "%26KeyType%3D", "&KeyType=")


@forgery
def ampersand_escaped(scene):
    """What were two parameters becomes one value: not a dry run any more."""
    letter = scene.v2({**CREATE, "DryRu": "", "DryRun": "true"}, method="GET")
    return query(letter, "DryRu=&DryRun=true", "DryRu=%26DryRun%3Dtrue")


@forgery
def equals_unescaped(scene):
    letter = scene.v2({"Action": "CreateKeyPair", "Version": "2016-11-15", "KeyName=x": "evil"})
    return body(letter, "KeyName%3Dx=evil", "KeyName=x=evil")


@forgery
def escaped_twice(scene):
    letter = scene.v2({**CREATE, "KeyName": "a%25b"}, method="GET")
    return query(letter, "a%2525b", "a%25b")


@forgery
def plus_for_a_plus_that_was_escaped(scene):
    return query(scene.v2({**CREATE, "KeyName": "a+b"}, method="GET"), "a%2Bb", "a+b")


@forgery
def overlong_utf_8(scene):
    return body(scene.v2(), "KeyName=mine", "KeyName=%6d%c1%a9ne")


@forgery
def list_number_written_otherwise(scene):
    letter = scene.v2({"Action": "DescribeKeyPairs", "Version": "2016-11-15", "KeyName.1": "one"})
    return body(letter, "KeyName.1=", "KeyName.01=")


# ---------------------------------------------------------------------------------------- what else is signed
@forgery
def get_for_a_post(scene):
    letter = scene.v2()
    return replace(letter, method="GET", query=letter.body.decode(), body=b"")


@forgery
def post_for_a_get(scene):
    letter = scene.v2(method="GET")
    return replace(letter, method="POST", query="", body=letter.query.encode())


@forgery
def path_changed(scene):
    return replace(scene.v2(), path="/")


@forgery
def path_with_the_query_escaped(scene):
    letter = scene.v2(method="GET")
    return replace(letter, path=f"{letter.path}%3F{letter.query}", query="")


@forgery
def line_feed_in_the_path(scene):
    """The text that is signed has lines; a path that holds one ends the next."""
    given_ = {**claims(OWNER, "2", NOW, CREATE), "SignatureMethod": "HmacSHA256"}
    rest = "&".join(f"{n}={encoded(given_[n])}" for n in sorted(given_))
    return replace(scene.v2(), path=f"/services/Eucalyptus\n{rest}", query="KeyName=evil")


@forgery
def host_changed(scene):
    return scene.v2().put("Host", "another.example:8773")


@forgery
def port_changed(scene):
    return scene.v2().put("Host", "cloud.example:80")


@forgery
def port_removed(scene):
    return scene.v2().put("Host", "cloud.example")


@forgery
def host_twice_genuine_first(scene):
    return scene.v2().plus(("Host", "another.example"))


@forgery
def host_twice_genuine_last(scene):
    letter = scene.v2()
    return replace(letter, headers=(("Host", "another.example"), *letter.headers))


@forgery
def host_missing(scene):
    return v2(OWNER, CREATE, NOW, Letter(headers=()))


@forgery
def host_in_another_header(scene):
    return scene.v2().put("Host", "another.example").plus(("X-Forwarded-Host", "cloud.example:8773"))


# ------------------------------------------------------------------------------------------------------------- time
@forgery
def timestamp_renewed(scene):
    scene.later(3600)
    return with_given(scene.v2(), Timestamp=stamp(NOW + 3600))


@forgery
def expires_added(scene):
    scene.later(3600)
    return with_given(scene.v2(), Expires=stamp(NOW + 7200))


@forgery
def expires_for_the_timestamp(scene):
    scene.later(3600)
    return with_given(scene.v2(), Timestamp=None, Expires=stamp(NOW + 7200))


@forgery
def both_signed(scene):
    """By its owner; which of them counts would be a guess."""
    scene.later(3600)
    return v2(OWNER, {**CREATE, "Expires": stamp(NOW + 7200)}, NOW)


@forgery
def neither(scene):
    return with_given(scene.v2(), Timestamp=None)


@forgery
def stale(scene):
    scene.later(901)
    return scene.v2()


@forgery
def from_the_future(scene):
    scene.later(-903)
    return scene.v2()


@forgery
def timestamp_that_cannot_be_read(scene):
    return with_given(scene.v2(), Timestamp="now")


@forgery
def timestamp_without_a_zone(scene):
    """Whose midnight is it?  Signed by its owner, read by nobody."""
    return v2(OWNER, {**CREATE, "Timestamp": stamp(NOW).rstrip("Z")}, NOW)


# ---------------------------------------------------------------------------------------- whose, and which signature
@forgery
def under_another_key(scene):
    return with_given(scene.v2(), AWSAccessKeyId=ATTACKER.id)


@forgery
def under_two_keys(scene):
    return replace(v2(ATTACKER, EVIL, NOW), query=f"AWSAccessKeyId={OWNER.id}")


@forgery
def under_an_unknown_key(scene):
    return with_given(scene.v2(), AWSAccessKeyId="AKNOBODY000000000001")


@forgery
def signed_by_the_attacker(scene):
    return v2(replace(ATTACKER, id=OWNER.id), EVIL, NOW)


@forgery
def signed_with_nothing(scene):
    return v2(replace(OWNER, secret=""), EVIL, NOW)


@forgery
def signature_removed(scene):
    return with_given(scene.v2(), Signature=None)


@forgery
def signature_empty(scene):
    return with_given(scene.v2(), Signature="")


@forgery
def signature_cut(scene):
    return with_given(scene.v2(), Signature=given(scene.v2())["Signature"][:8])


@forgery
def signature_with_rubbish(scene):
    """Base64 that lenient readers read as the genuine one."""
    return with_given(scene.v2(), Signature="!" + given(scene.v2())["Signature"])


@forgery
def signature_twice_genuine_first(scene):
    return replace(scene.v2(), query="Signature=AAAA")


@forgery
def signature_twice_the_attackers_last(scene):
    signature = given(v2(ATTACKER, CREATE, NOW))["Signature"]
    letter = scene.v2()
    return replace(letter, body=letter.body + b"&Signature=" + quote(signature, safe="").encode())


@forgery
def signature_in_other_letters(scene):
    letter = scene.v2()
    return body(letter, "Signature=", "signature=")


@forgery
def weaker_method(scene):
    return with_given(scene.v2(), SignatureMethod="HmacSHA1")


@forgery
def unknown_method(scene):
    return v2(OWNER, CREATE, NOW, digest="md5")


@forgery
def method_in_other_letters(scene):
    return with_given(scene.v2(), SignatureMethod="hmacsha256")


@forgery
def no_method(scene):
    return with_given(scene.v2(), SignatureMethod=None)


@forgery
def as_version_1(scene):
    return with_given(scene.v2(), SignatureVersion="1")


@forgery
def as_version_0(scene):
    return with_given(scene.v2(), SignatureVersion="0")


@forgery
def as_no_version(scene):
    return with_given(scene.v2(), SignatureVersion=None)


@forgery
def version_twice(scene):
    return replace(scene.v2(), query="SignatureVersion=1")
