"""Each rule of the verifiers switched off in turn, by patching: some forgery must then be executed, or the rule is not
tested.

Nothing in the product turns a rule off; these are the mistakes that others have made.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import replace
from urllib.parse import quote, unquote

import pytest
from query_forgeries import FORGERIES
from query_forgeries_v1 import V1
from query_letters import HOST, PATH
from query_scene import OWNER, Scene, fake

from euca_ec2 import request as request_module
from euca_ec2 import signing, sigv1, sigv4
from euca_rpc.clock import HOUR
from euca_rpc.nouns import Credential

WEAKNESSES = {}  # name → (what plants it, the forgery that must notice)
REAL_VERIFY_V2 = signing._verify_v2


def weakness(caught_by):
    def keep(plant):
        WEAKNESSES[plant.__name__] = (plant, caught_by)
        return plant

    return keep


# --------------------------------------------------------------------------------------- what version 4 canonicalizes
def _canonical(*, method=True, path=True, query=True, body=None, missing=False, pick=None, decode=None):
    """Of a verifier that leaves something out; ``pick`` chooses among like headers."""

    def canonical(request, listed, presigned):
        lines = []
        for name in listed.split(";"):
            values = [value for key, value in request.headers if key == name]
            if not values and not missing:
                raise ValueError("a signed header is not there")
            if pick is not None:
                values = [values[pick]]
            lines.append(f"{name}:{','.join(values)}\n")
        pairs = (decode or sigv4.decoded)(request.query) if request.query and query else []
        escaped = sorted((quote(n, safe="-_.~"), quote(v, safe="-_.~")) for n, v in pairs)
        return "\n".join(
            (
                request.method if method else "POST",
                request.path if path else PATH,
                "&".join(f"{n}={v}" for n, v in escaped if n != "X-Amz-Signature"),
                "".join(lines),
                listed,
                (body or (lambda it: hashlib.sha256(it.body).hexdigest()))(request),
            )
        ).encode()

    return canonical


@weakness("v4_unsigned_payload")
def the_hash_in_the_header_is_believed(patch):
    def believed(request):
        return request.header("x-amz-content-sha256") or hashlib.sha256(request.body).hexdigest()

    patch.setattr(sigv4, "_canonical_request", _canonical(body=believed))


WEAKNESSES["the_hash_of_a_body_that_is_gone"] = (WEAKNESSES["the_hash_in_the_header_is_believed"][0], "v4_hash_of_the_genuine_body")  # fmt: skip
WEAKNESSES["a_body_in_pieces_is_not_hashed"] = (WEAKNESSES["the_hash_in_the_header_is_believed"][0], "v4_streaming_payload")  # fmt: skip


@weakness("v4_presigned_with_a_body")
def a_presigned_body_is_not_signed(patch):
    nothing = hashlib.sha256(b"").hexdigest()
    patch.setattr(sigv4, "_canonical_request", _canonical(body=lambda request: nothing))


@weakness("v4_parameter_in_the_query_as_well")
def the_query_is_not_signed(patch):
    patch.setattr(sigv4, "_canonical_request", _canonical(query=False))


@weakness("v4_method_changed")
def the_method_is_not_signed(patch):
    patch.setattr(sigv4, "_canonical_request", _canonical(method=False))


@weakness("v4_path_changed")
def the_path_is_not_signed(patch):
    patch.setattr(sigv4, "_canonical_request", _canonical(path=False))


@weakness("v4_host_not_signed")
def the_host_need_not_be_signed(patch):
    patch.setattr(sigv4, "_canonical_request", _canonical())


WEAKNESSES["nor_need_it_be_presigned"] = (the_host_need_not_be_signed, "v4_presigned_without_host")
WEAKNESSES["signed_headers_in_any_order"] = (the_host_need_not_be_signed, "v4_signed_headers_not_in_order")


@weakness("v4_signed_header_that_is_not_there")
def a_signed_header_may_be_missing(patch):
    patch.setattr(sigv4, "_canonical_request", _canonical(missing=True))


@weakness("v4_nothing_signed")
def nothing_need_be_signed(patch):
    lenient = sigv4._AUTHORIZATION.pattern.replace("[a-z0-9;_-]{1,1000}", "[a-z0-9;_-]*")
    patch.setattr(sigv4, "_AUTHORIZATION", re.compile(lenient))
    patch.setattr(sigv4, "_canonical_request", _canonical(missing=True))


@weakness("v4_host_twice_genuine_first")
def the_first_of_two_signed_headers_is_verified(patch):
    patch.setattr(sigv4, "_canonical_request", _canonical(pick=0))


@weakness("v4_host_twice_genuine_last")
def the_last_of_two_signed_headers_is_verified(patch):
    patch.setattr(sigv4, "_canonical_request", _canonical(pick=-1))


WEAKNESSES["what_is_signed_comes_once_only_to_the_verifier"] = (the_first_of_two_signed_headers_is_verified, "v4_signed_header_twice")  # fmt: skip


@weakness("v4_plus_for_a_plus_that_was_escaped")
def a_plus_is_a_plus_to_the_verifier_alone(patch):
    def decode(text):
        return [tuple(map(unquote, piece.partition("=")[::2])) for piece in text.split("&")]

    patch.setattr(sigv4, "_canonical_request", _canonical(decode=decode))


@weakness("v4_scope_of_another_day")
def the_day_of_the_scope_is_not_compared(patch):
    class Stamp(str):
        def startswith(self, *_):
            return True

    real = request_module.Request.header
    patch.setattr(
        request_module.Request, "header",
        lambda self, name: Stamp(real(self, name)) if name == "x-amz-date" and real(self, name) else real(self, name),
    )  # fmt: skip


@weakness("v4_weaker_algorithm")
def any_algorithm_is_called_ours(patch):
    """Its name is read over: what was signed with one is good for another."""
    lenient = sigv4._AUTHORIZATION.pattern.replace("AWS4-HMAC-SHA256", r"AWS4-HMAC-SHA\d+")
    patch.setattr(sigv4, "_AUTHORIZATION", re.compile(lenient))


@weakness("v4_signature_cut")
def the_beginning_of_a_signature_is_enough(patch):
    lenient = sigv4._AUTHORIZATION.pattern.replace("[0-9a-f]{64}", "[0-9a-f]*")
    patch.setattr(sigv4, "_AUTHORIZATION", re.compile(lenient))
    patch.setattr(signing.hmac, "compare_digest", lambda ours, theirs: ours.startswith(theirs))


WEAKNESSES["no_signature_is_the_beginning_of_one"] = (
    the_beginning_of_a_signature_is_enough,
    "v4_signature_empty",
)


@weakness("v4_presigned_for_years")
def a_presigned_request_may_live_for_ever(patch):
    patch.setattr(sigv4, "LONGEST", 10**9)


@weakness("v4_header_and_query")
def two_signatures_are_none_too_many(patch):
    real = signing.parameters

    def parameters(request):
        given = real(request)
        if request.header("authorization"):
            return {
                name: value
                for name, value in given.items()
                if "Signature" not in name and name[:5] != "X-Amz"
            }
        return given

    patch.setattr(signing, "parameters", parameters)


# ------------------------------------------------------------------------------------------------ headers, parameters
def _one_header(pick):
    def header(self, name):
        found = [value for key, value in self.headers if key == name]
        return found[pick] if found else None

    return header


@weakness("v2_host_twice_genuine_first")
def the_first_of_two_headers_counts(patch):
    patch.setattr(request_module.Request, "header", _one_header(0))


@weakness("v2_host_twice_genuine_last")
def the_last_of_two_headers_counts(patch):
    patch.setattr(request_module.Request, "header", _one_header(-1))


WEAKNESSES["the_last_authorization_counts"] = (
    the_last_of_two_headers_counts,
    "v4_two_authorizations_owner_first",
)
WEAKNESSES["the_first_authorization_counts"] = (
    the_first_of_two_headers_counts,
    "v4_two_authorizations_owner_last",
)


def _parameters(first):
    """One verifies the first of two like names, and executes the last; or the other way round."""

    def plant(patch):
        def pairs(request):
            return signing_pairs(request) if first else list(reversed(signing_pairs(request)))

        def verify(request, lookup, now, **how):
            told = dict(reversed(pairs(request)))
            patch.setattr(signing, "parameters", lambda _: told)
            seen = real(request, lookup, now, **how)
            executed = {name: value for name, value in pairs(request) if name in seen.parameters}
            return replace(seen, parameters=executed)

        from euca_ec2 import endpoint

        real = endpoint.verify
        patch.setattr(endpoint, "verify", verify)

    return plant


def signing_pairs(request):
    return request_module.decoded(request.query) + request_module.decoded(request.body.decode())


WEAKNESSES["the_first_of_two_is_verified_the_last_executed"] = (
    _parameters(True),
    "v2_name_twice_genuine_first",
)
WEAKNESSES["the_last_of_two_is_verified_the_first_executed"] = (
    _parameters(False),
    "v2_name_twice_genuine_last",
)
WEAKNESSES["what_the_query_says_is_verified_alone"] = (_parameters(True), "v2_name_twice_once_in_the_body")
WEAKNESSES["what_the_body_says_is_verified_alone"] = (_parameters(False), "v2_name_twice_once_in_the_query")
WEAKNESSES["names_are_compared_before_they_are_unescaped"] = (_parameters(True), "v2_name_twice_once_escaped")
WEAKNESSES["the_first_of_two_in_version_1"] = (_parameters(True), "v1_name_twice")


@weakness("v2_parameter_added_in_the_query")
def version_2_signs_the_body_alone(patch):
    def verify(request, given, lookup, now):
        signed = dict(request_module.decoded(request.body.decode()))
        seen = REAL_VERIFY_V2(request, signed, lookup, now)
        return replace(seen, parameters={n: v for n, v in given.items() if n not in signing._V2})

    patch.setattr(signing, "_verify_v2", verify)


# ---------------------------------------------------------------------------------------------------- version 2's text
@weakness("v2_host_changed")
def version_2_does_not_sign_the_host(patch):
    real = signing._spellings
    patch.setattr(signing, "_spellings", lambda host, path: real(HOST, path))


WEAKNESSES["nor_the_port"] = (version_2_does_not_sign_the_host, "v2_port_changed")


@weakness("v2_path_changed")
def version_2_does_not_sign_the_path(patch):
    real = signing._spellings
    patch.setattr(signing, "_spellings", lambda host, path: real(host, PATH))


def _as(method):
    def plant(patch):
        def verify(request, given, lookup, now):
            return REAL_VERIFY_V2(replace(request, method=method), given, lookup, now)

        patch.setattr(signing, "_verify_v2", verify)

    return plant


WEAKNESSES["version_2_takes_a_get_for_a_post"] = (_as("POST"), "v2_get_for_a_post")
WEAKNESSES["version_2_takes_a_post_for_a_get"] = (_as("GET"), "v2_post_for_a_get")


@weakness("v2_unknown_method")
def weak_digests_are_known(patch):
    patch.setitem(signing._DIGESTS, "HmacMD5", "md5")


@weakness("v2_signature_with_rubbish")
def base64_is_read_leniently(patch):
    real = base64.b64decode
    patch.setattr(signing.base64, "b64decode", lambda text, **_: real(text))


# --------------------------------------------------------------------------------------------------------------- time
@weakness("v4_stale")
def time_is_not_looked_at(patch):
    patch.setattr(signing, "_in_time", lambda earliest, latest, now: None)


WEAKNESSES["the_future_is_now"] = (time_is_not_looked_at, "v2_from_the_future")
WEAKNESSES["presigned_requests_do_not_expire"] = (time_is_not_looked_at, "v4_presigned_expired")


@weakness("v1_stale")
def a_skew_of_an_hour(patch):
    patch.setattr(signing, "SKEW", HOUR)


@weakness("v2_both_signed")
def expires_counts_before_the_timestamp(patch):
    real = signing._period
    patch.setattr(
        signing, "_period",
        lambda given: real({n: v for n, v in given.items() if n != "Timestamp" or "Expires" not in given}),
    )  # fmt: skip


@weakness("v2_timestamp_without_a_zone")
def a_moment_without_a_zone_is_ours(patch):
    patch.setattr(signing, "_STAMP", re.compile(signing._STAMP.pattern + "?"))


# --------------------------------------------------------------------------------------------------- whose signature
@weakness("v4_body_changed")
def signatures_are_not_compared(patch):
    patch.setattr(signing.hmac, "compare_digest", lambda ours, theirs: True)


WEAKNESSES["nor_are_those_of_version_2"] = (signatures_are_not_compared, "v2_value_changed")
WEAKNESSES["nor_are_those_of_version_1"] = (signatures_are_not_compared, "v1_value_changed")


@weakness("v4_signed_by_the_attacker")
def any_known_key_will_do(patch):
    """The signature fits some key; the request is whose key is named."""
    from euca_ec2 import endpoint

    real = endpoint.verify
    secrets = [it.secret for it in fake.KEYS.values()]

    def verify(request, lookup, now, **how):
        for secret in secrets:

            def one(key, secret=secret):
                found = lookup(key)
                return found and Credential(found.caller, secret)

            try:
                return real(request, one, now, **how)
            except Exception as error:
                last = error
        raise last

    patch.setattr(endpoint, "verify", verify)


WEAKNESSES["the_key_that_is_named_is_not_the_one_that_signed"] = (
    any_known_key_will_do,
    "v2_signed_by_the_attacker",
)
WEAKNESSES["nor_in_version_1"] = (any_known_key_will_do, "v1_signed_by_the_attacker")
WEAKNESSES["who_is_named_is_not_signed"] = (any_known_key_will_do, "v4_under_another_key")


@weakness("v4_signed_with_nothing")
def a_secret_may_be_empty(patch):
    """As when a key is deleted and its row stays."""
    patch.setitem(fake.KEYS, OWNER.id, Credential(fake.KEYS[OWNER.id].caller, ""))


# ----------------------------------------------------------------------------------------------------- version 1's row
@weakness("v1_not_a_dry_run_any_more")
def values_may_hold_names(patch):
    patch.setattr(sigv1, "_names", lambda message: re.compile("(?!)"))


WEAKNESSES["values_may_hold_lists"] = (values_may_hold_names, "v1_fewer_are_asked_for")


@weakness("v1_number_grows_by_the_value")
def lists_may_have_gaps(patch):
    patch.setattr(sigv1, "_numbers", lambda parameters: {})


# ============================================================================================================ the tests
def executed(name, plant, monkeypatch) -> bool:
    with monkeypatch.context() as patch:
        scene = Scene(sigv1=name in V1)
        letter = FORGERIES[name](scene)
        plant(patch)
        answer = scene.send(letter)
        if answer.status != 200:  # carried out, and the core had a reason of its own
            return any(code in answer.body for code in (b"DryRunOperation", b".NotFound", b">Unsupported"))
        return True


@pytest.mark.parametrize("name", WEAKNESSES)
def test_each_weakness_is_caught(name, monkeypatch):
    plant, forged = WEAKNESSES[name]
    assert not executed(forged, lambda patch: None, monkeypatch)
    assert executed(forged, plant, monkeypatch)


def test_plants_are_gone_afterwards():
    assert signing.hmac.compare_digest is hmac.compare_digest
    assert Scene().send(Scene().v4()).status == 200
