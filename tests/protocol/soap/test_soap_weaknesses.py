"""Each planted weakness of the verifier must be noticed by some forgery, or the rule is not tested."""

from __future__ import annotations

import re

import pytest
from soap_forgeries import FORGERIES
from soap_scene import genuine
from soap_weaknesses import WEAKNESSES, ids_kept, lenient, w

THE_FAULT = re.compile(
    rb".*<faultcode>Client\.AuthFailure</faultcode><faultstring>The request could not be auth.*", re.S
)


def outcomes(scenes, plant, patch, names):
    """Of each forgery, before a verifier with this weakness: "refused", "noticed" (some other answer), or the key
    pairs that it made."""
    found = {}
    for name in names:
        make, _ = FORGERIES[name]
        with patch.context() as planted:
            prepare = plant(planted)
            scene = scenes(genuine("own"))
            if prepare is not None:
                prepare(scene)
            try:
                answer = scene.send(make(scene))
            except AssertionError:  # the genuine message of a replay was refused, too
                found[name] = "refused"
                continue
        if scene.executed:
            found[name] = ",".join(scene.executed)
        else:
            found[name] = "refused" if THE_FAULT.fullmatch(answer.body) else "noticed"
    return found


# weakness → a forgery that must notice it
CAUGHT_BY = {
    "document_types_are_read": "doctype",
    "entities_are_resolved": "entity_of_white_space",
    "any_encoding_is_read": "doctype_in_utf_16",
    "comments_are_dropped": "comment_in_created",
    "instructions_are_dropped": "instruction_in_the_name",
    "no_limit_of_bytes": "white_space_without_end",
    "no_limit_of_tags": "operation_too_wide",
    "no_limit_of_depth": "operation_too_deep",
    "no_limit_of_attributes": "attributes_without_end",
    "no_limit_of_namespaces": "namespaces_without_end",
    "no_limit_of_prefixes": "prefixes_without_end",
    "comments_are_read_over": "comment_in_the_name",
    "the_first_of_two_ids_counts": "same_id_ID_on_key_info",
    "the_last_of_two_ids_counts": "same_id_Id_on_header",
    "only_wsu_ids_are_compared": "same_id_xml_id_on_header",
    "the_first_of_each_part_is_taken": "an_unsigned_header_block",
    "the_last_of_each_part_is_taken": "stamp_with_more",
    "parts_in_any_order": "body_before_header",
    "text_between_parts": "text_in_the_header",
    "the_first_operation_is_executed": "two_operations_signed",
    "the_last_operation_is_executed": "two_operations_signed",
    "texts_may_hold_elements": "stamp_with_elements",
    "any_kind_of_token": "token_of_another_type",
    "the_key_reference_is_not_followed": "token_reference_to_the_body",
    "the_user_is_looked_up_by_subject": "foreign_certificate_of_the_same_subject",
    "revoked_certificates_are_remembered": "certificate_revoked",
    "what_follows_a_certificate_is_not_looked_at": "certificate_with_bytes_behind_it",
    "what_is_signed_is_not_compared": "body_not_signed",
    "the_body_need_not_be_signed": "token_signed_instead_of_body",
    "the_stamp_need_not_be_signed": "stamp_not_signed",
    "more_may_be_signed": "key_info_signed_too",
    "digests_are_not_compared": "body_changed",
    "an_empty_reference_is_the_body": "reference_empty",
    "an_expression_is_the_body": "reference_xpointer_id",
    "a_reference_needs_no_hash": "reference_without_hash",
    "addresses_are_fetched": "reference_to_a_server",
    "any_transform": "transform_xpath",
    "several_transforms": "two_transforms",
    "weak_digests": "digest_md5",
    "weak_signatures": "signature_rsa_md5",
    "unknown_algorithms_fall_back_to_sha1": "signature_hmac_by_name",
    "hmac_with_the_public_key_is_a_signature": "hmac_with_the_public_key",
    "hmac_with_the_certificate_is_a_signature": "hmac_with_the_certificate",
    "the_signature_is_not_verified": "foreign_key_under_the_genuine_token",
    "no_signature_is_no_failure": "signature_and_stamp_removed",
    "base64_is_read_leniently": "certificate_not_base64",
    "expiry_is_not_looked_at": "stale",
    "the_future_is_now": "future_by_years",
    "a_message_may_live_for_ever": "lifetime_of_years",
    "expires_may_be_before_created": "expires_before_it_is_created",
    "a_skew_of_a_day": "future",
    "a_lifetime_of_a_day": "lifetime_too_long",
    "a_moment_that_cannot_be_read_is_now": "stamp_no_date",
    "signatures_are_not_remembered": "replay_exact",
    "signatures_are_forgotten_at_a_restart": "replay_exact_after_restart",
    "signatures_expire_at_once": "replay_minutes_later",
    "the_signatures_text_is_remembered": "replay_signature_spread",
    "the_messages_text_is_remembered": "replay_renamed",
    "the_fault_tells_why": "body_changed",
    "an_expired_message_is_told_so": "stale",
}


@pytest.mark.parametrize("name", WEAKNESSES)
def test_each_weakness_is_caught(name, scenes, monkeypatch):
    forged = CAUGHT_BY[name]
    assert outcomes(scenes, lambda patch: None, monkeypatch, [forged]) == {forged: "refused"}
    assert outcomes(scenes, WEAKNESSES[name], monkeypatch, [forged]) != {forged: "refused"}


# ------------------------------------------------------ the published attacks, on verifiers that fall for them
def _naive(number_of_body, keep_first):
    """What was signed is looked up by id, what is executed by its place, and nobody compares the two."""

    def plant(patch):
        patch.setattr(w, "unique_ids", ids_kept(keep_first=keep_first, only=(w.WSU + "Id",)))
        patch.setattr(w, "covers", lambda parts, targets: None)
        patch.setattr(w, "children", lenient(number_of_body))
        patch.setattr(w, "payload", lambda body: body[0])
        WEAKNESSES["the_key_reference_is_not_followed"](patch)

    return plant


@pytest.mark.parametrize(
    ("attack", "plant"),
    [
        ("body_wrapped_in_header", _naive(0, False)),
        ("body_wrapped_in_security", _naive(0, False)),
        ("body_in_a_signature_object", _naive(0, False)),
        ("two_bodies_with_one_id_evil_first", _naive(0, False)),
        ("two_bodies_with_one_id_evil_last", _naive(-1, True)),
        ("three_bodies", _naive(0, False)),
        ("second_security_holds_what_was_signed", _naive(0, False)),
        ("signature_removed", WEAKNESSES["no_signature_is_no_failure"]),
        ("body_not_signed", WEAKNESSES["the_body_need_not_be_signed"]),
        ("foreign_certificate_of_the_same_subject", WEAKNESSES["the_user_is_looked_up_by_subject"]),
        ("hmac_with_the_public_key", WEAKNESSES["hmac_with_the_public_key_is_a_signature"]),
        ("body_changed", WEAKNESSES["digests_are_not_compared"]),
        ("body_and_digest_changed", WEAKNESSES["the_signature_is_not_verified"]),
    ],
)
def test_the_attack_works_where_it_should(attack, plant, scenes, monkeypatch):
    """So that the forgeries are real ones: a verifier with the mistake in question does what the attacker wants."""
    assert outcomes(scenes, plant, monkeypatch, [attack]) == {attack: "evil"}


@pytest.mark.parametrize(
    "attack", ["two_stamps_with_one_id_fresh_first", "two_stamps_fresh_first", "doubled_security_fresh_first"]
)
def test_an_old_message_works_where_it_should(attack, scenes, monkeypatch):
    assert outcomes(scenes, _naive(0, False), monkeypatch, [attack]) == {attack: "mine"}
