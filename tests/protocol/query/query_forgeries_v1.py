"""Forgeries of signature version 1, tried where the settings accept it: changes, and borders drawn elsewhere.

`BORDERS` are refused although their signature fits.  `CANNOT_BE_TOLD` are rows whose owner signed a value with a name
in it; taken apart by somebody else they look like any request, and that is why version 1 is off.
"""

from __future__ import annotations

from dataclasses import replace

from query_forgeries_v2 import body, with_given
from query_letters import stamp, v1
from query_scene import ATTACKER, CREATE, EVIL, NOW, OWNER

V1 = {}  # name → what makes it of a scene
BORDERS = set()
CANNOT_BE_TOLD = {}
RUN = {
    "Action": "RunInstances",
    "Version": "2016-11-15",
    "ImageId": "emi-12345678",
    "MinCount": "1",
    "MaxCount": "1",
}


def forgery(make):
    V1[f"v1_{make.__name__}"] = make
    return make


def border(make):
    BORDERS.add(f"v1_{make.__name__}")
    return forgery(make)


# ------------------------------------------------------------------------------------------------------- changes
@forgery
def value_changed(scene):
    return with_given(scene.v1(), KeyName="evil")


@forgery
def action_changed(scene):
    return with_given(scene.v1(), Action="DeleteKeyPair")


@forgery
def parameter_added(scene):
    return with_given(scene.v1(), KeyType="ed25519")


@forgery
def name_twice(scene):
    return body(scene.v1(), "KeyName=mine", "KeyName=mine&KeyName=evil")


@forgery
def name_twice_once_in_the_query(scene):
    return replace(scene.v1(), query="KeyName=evil")


@forgery
def timestamp_renewed(scene):
    scene.later(3600)
    return with_given(scene.v1(), Timestamp=stamp(NOW + 3600))


@forgery
def expires_for_the_timestamp(scene):
    scene.later(3600)
    return with_given(scene.v1(), Timestamp=None, Expires=stamp(NOW + 7200))


@forgery
def stale(scene):
    scene.later(901)
    return scene.v1()


@forgery
def under_another_key(scene):
    return with_given(scene.v1(), AWSAccessKeyId=ATTACKER.id)


@forgery
def signed_by_the_attacker(scene):
    return v1(replace(ATTACKER, id=OWNER.id), EVIL, NOW)


@forgery
def signed_with_nothing(scene):
    return v1(replace(OWNER, secret=""), EVIL, NOW)


@forgery
def signature_removed(scene):
    return with_given(scene.v1(), Signature=None)


@forgery
def as_version_2(scene):
    return with_given(scene.v1(), SignatureVersion="2", SignatureMethod="HmacSHA1")


@forgery
def as_version_0(scene):
    """Version 0 signed nothing but the action and the time."""
    return with_given(scene.v1(), SignatureVersion="0")


@forgery
def another_order_of_letters(scene):
    """Names are sorted without regard to case: two that differ in it only have no order of their own."""
    letter = scene.v1({**CREATE, "keyname": "evil"})
    return with_given(letter, KeyName="evil", keyname="mine")


# ---------------------------------------------------------------------------------- the same row, other borders
@border
def not_a_dry_run_any_more(scene):
    letter = scene.v1({**RUN, "ClientToken": "once", "DryRun": "true"})
    return with_given(letter, ClientToken="onceDryRuntrue", DryRun=None)


@border
def fewer_are_asked_for(scene):
    """A filter less: everything is shown."""
    letter = scene.v1(
        {
            "Action": "DescribeKeyPairs",
            "Version": "2016-11-15",
            "Filter.1.Name": "key-name",
            "Filter.1.Value.1": "a",
            "KeyName.1": "x",
        }
    )
    return with_given(letter, **{"Filter.1.Value.1": "aKeyName.1x", "KeyName.1": None})


@border
def number_grows_by_the_value(scene):
    letter = scene.v1(
        {
            "Action": "DescribeKeyPairs",
            "Version": "2016-11-15",
            "Filter.1.Name": "key-name",
            "Filter.1.Value.1": "2*",
        }
    )
    return with_given(letter, **{"Filter.1.Value.1": None, "Filter.1.Value.12": "*"})


@border
def one_resource_less(scene):
    letter = scene.v1({"Action": "CreateTags", "Version": "2016-11-15", "ResourceId.1": "emi-12345678", "ResourceId.2": "eki-12345678",
                       "Tag.1.Key": "a", "Tag.1.Value": "b"})  # fmt: skip
    return with_given(
        letter, **{"ResourceId.1": "emi-12345678ResourceId.2eki-12345678", "ResourceId.2": None}
    )


@border
def one_tag_less(scene):
    letter = scene.v1({"Action": "CreateTags", "Version": "2016-11-15", "ResourceId.1": "emi-12345678",
                       "Tag.1.Key": "a", "Tag.1.Value": "b", "Tag.2.Key": "locked", "Tag.2.Value": "yes"})  # fmt: skip
    return with_given(
        letter, **{"Tag.1.Value": "bTag.2.KeylockedTag.2.Valueyes", "Tag.2.Key": None, "Tag.2.Value": None}
    )


@border
def unprotected(scene):
    letter = scene.v1({**RUN, "ClientToken": "t", "DisableApiTermination": "true"})
    return with_given(letter, ClientToken="tDisableApiTerminationtrue", DisableApiTermination=None)


# ------------------------------------------------------------------------------------------- what cannot be told
def cannot_be_told(make):
    CANNOT_BE_TOLD[make.__name__] = make
    return make


@cannot_be_told
def a_value_that_was_meant_so_is_taken_apart(scene):
    """Somebody got the owner to name a key pair after a parameter."""
    letter = scene.v1({**CREATE, "KeyName": "evilKeyTypeed25519"})
    return with_given(letter, KeyName="evil", KeyType="ed25519")


@cannot_be_told
def it_need_not_be_a_post(scene):
    """Neither method, host nor path are signed; what is done stays what was signed."""
    letter = scene.v1({**CREATE, "KeyName": "evil"})
    return replace(letter, method="GET", path="/", query=letter.body.decode(), body=b"").put(
        "Host", "another.example"
    )
