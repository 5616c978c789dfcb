"""Every forgery of the table is refused, none is executed, and the answer to each is the same."""

from __future__ import annotations

import random
import re
import time
from copy import deepcopy
from pathlib import Path

import pytest
from soap_forgeries import FORGERIES, SKEW, namespaces
from soap_letters import SHA256, compose, create_key
from soap_scene import genuine, sources

ALL = [
    (source, name)
    for source in sources()
    for name, (_, crafted) in FORGERIES.items()
    if source == "own" or not crafted
]
THE_FAULT = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault>'
    b"<faultcode>Client.AuthFailure</faultcode><faultstring>The request could not be authenticated: check the"
    b" certificate, the private key and the clock of the client.</faultstring><detail>"
    b'<aws:RequestId xmlns:aws="http://webservices.amazon.com/AWSFault/2005-15-09">*</aws:RequestId></detail>'
    b"</soap:Fault></soap:Body></soap:Envelope>"
)


@pytest.mark.parametrize(("source", "name"), ALL)
def test_refused_like_every_other(source, name, scenes):
    scene = scenes(genuine(source))
    make, _ = FORGERIES[name]
    answer = scene.send(make(scene))
    body = re.sub(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"*", answer.body)
    assert scene.executed == []
    assert (answer.status, answer.type, answer.headers, body) == (
        500,
        "text/xml;charset=UTF-8",
        (),
        THE_FAULT,
    )


def test_there_are_enough():
    assert len(FORGERIES) >= 60
    assert len(ALL) > len(FORGERIES) or len(sources()) == 1


def test_all_differ(scenes):
    """No two of them send the same bytes after the same preparation."""
    sent = {}
    for name, (make, _) in FORGERIES.items():
        scene = scenes(genuine("own"))
        message = make(scene)
        before = (message, scene.clock.at, tuple(scene.certificates), scene.endpoint.replays is not None)
        if not name.startswith(("replay_", "certificate_revoked")):
            assert before not in sent, (name, sent[before])
            sent[before] = name


# ------------------------------------------------------------------------------------- what is not forged is executed
@pytest.mark.parametrize("source", sources())
@pytest.mark.parametrize(
    "way", ["as sent", "serialized again", "another id of the key", "late", "early", "order", "namespaces"]
)
def test_genuine_messages_are_executed(source, way, scenes):
    scene = scenes(genuine(source))
    message = scene.genuine.message
    it = scene.letter()
    if way == "serialized again":
        message = it.bytes()
    elif way == "another id of the key":
        it.find(".//ds:KeyInfo").set("Id", "another")
        message = it.bytes()
    elif way == "order":
        it.security.insert(0, it.token)
        message = it.bytes()
    elif way == "namespaces":  # declared but not used: exclusive canonicalization leaves them out
        message = re.sub(rb"(CreateKeyPair)(?=[ >])", rb'\1 xmlns="http://example.com/"', message, count=1)
        message = re.sub(rb"(keyName)(?=>m)", rb'\1 xmlns:evil="http://example.com"', message, count=1)
    elif way == "late":
        scene.later(298)
    elif way == "early":
        scene.later(-SKEW)
    answer = scene.send(message)
    assert answer.status == 200, answer.body
    assert len(scene.executed) == 1
    assert b"CreateKeyPairResponse" in answer.body


@pytest.mark.parametrize("method", ["rsa-sha1", "rsa-sha256"])
@pytest.mark.parametrize("prefixes", [None, "", "s", "s wsu unknown", "#default"])
@pytest.mark.parametrize("order", ["stamp token signature", "signature token stamp", "token signature stamp"])
def test_what_clients_may_do(method, prefixes, order, scenes):
    from soap_letters import RSA_SHA1, RSA_SHA256, SHA1

    scene = scenes(genuine("own"))
    it = compose(
        scene.genuine.owner, create_key("mine"), scene.now, prefixes=prefixes, order=order,
        method=RSA_SHA1 if method == "rsa-sha1" else RSA_SHA256,
        digest=SHA1 if method == "rsa-sha1" else SHA256,
    )  # fmt: skip
    answer = scene.send(it.bytes())
    assert (answer.status, scene.executed) == (200, ["mine"]), answer.body


def test_the_token_may_be_signed_too(scenes):
    scene = scenes(genuine("own"))
    it = scene.letter()
    extra = deepcopy(it.references[0])
    extra.set("URI", "#X-1")
    it.info.append(extra)
    assert scene.send(it.resign(scene.genuine.owner).bytes()).status == 200


def test_the_reason_is_for_the_log_only(scenes, caplog):
    scene = scenes(genuine("own"))
    scene.send(FORGERIES["two_bodies_with_one_id_evil_first"][0](scene))
    assert "the id 'B-1' is given twice" in caplog.text
    assert "x509:" not in caplog.text  # nobody is named who has proven nothing


# -------------------------------------------------------------------------------------------- what a refusal costs
_TAG = rb"(<[\w-]+:Header)"
COSTLY = {
    "attributes": lambda m: re.sub(
        _TAG, rb"\1 " + b" ".join(b'a%d=""' % n for n in range(20_000)), m, count=1
    ),
    "namespaces": lambda m: re.sub(_TAG, rb"\1 " + namespaces(8_000), m, count=1),
    "elements": lambda m: m.replace(b"<e:keyName>", b"<e:keyName>" + b"<e:x/>" * 15_000),
    "ids": lambda m: m.replace(
        b"<e:keyName>", b"<e:keyName>" + b"".join(b'<e:x Id="%d"/>' % n for n in range(10_000))
    ),
    "prefixes": lambda m: m.replace(
        b'xml-exc-c14n#"/><ds:SignatureMethod',
        b'xml-exc-c14n#"><ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="%b"/>'
        b"</ds:CanonicalizationMethod><ds:SignatureMethod" % b" ".join(b"a%d" % n for n in range(20_000)),
    ),
    "references": lambda m: re.sub(rb"(<ds:Reference.*?</ds:Reference>)", rb"\1" * 500, m, count=1),
    "nothing but text": lambda m: m.replace(b"mine", b"m" * 250_000),
    "broken tags": lambda m: b"<" * 15_000 + m,
}


@pytest.mark.parametrize("kind", COSTLY)
def test_a_refusal_is_cheap(kind, scenes):
    """For who has no key, but knows somebody's certificate; some of these took seconds without the limits."""
    scene = scenes(genuine("own"))
    message = COSTLY[kind](scene.genuine.message)
    assert len(message) > 10_000
    took = []
    for _ in range(3):
        began = time.process_time()
        answer = scene.send(message)
        took.append(time.process_time() - began)
    assert b"Client.AuthFailure" in answer.body
    assert min(took) < 0.25


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 / 1024


def test_a_refusal_leaves_nothing_behind(scenes):
    """Each message is full of names that were never heard of; lxml would remember them all."""
    scene, dice = scenes(genuine("own")), random.Random(1)

    def full():
        names = b"".join(b"<e:x%x/>" % dice.getrandbits(64) for _ in range(8000))
        return scene.genuine.message.replace(b"<e:keyName>", b"<e:keyName>" + names)

    for _ in range(10):
        scene.send(full())
    before = resident_mb()
    for _ in range(80):
        assert b"Client.AuthFailure" in scene.send(full()).body
    assert resident_mb() - before < 10
