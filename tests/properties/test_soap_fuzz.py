"""Whatever is sent as SOAP, signed or not: a documented fault or an answer, and nothing but the genuine is executed."""

from __future__ import annotations

import importlib.util
import logging
import random
import re
import sys
import tempfile
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from euca_ec2.errors import CODES

PROTOCOL = Path(__file__).resolve().parents[1] / "protocol"


def _load(name, path):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_load("ec2_fake_cloud", PROTOCOL / "ec2" / "conftest.py")
letters = _load("soap_letters", PROTOCOL / "soap" / "soap_letters.py")
scene_ = _load("soap_scene", PROTOCOL / "soap" / "soap_scene.py")

GENUINE = scene_.genuine("own")
STATE = tempfile.TemporaryDirectory(prefix="soap-fuzz-")  # removed with the process
SCENE = scene_.Scene(GENUINE, Path(STATE.name))
KNOWN = {code for code, _ in CODES.values()} - {"InternalError"}
FAULT = re.compile(
    rb"<faultcode>(Client|Server)\.([\w.]+)</faultcode><faultstring>[^<]*</faultstring><detail>"
)


def sent(message: bytes):
    """Answered in a documented way; the pairs that were made are returned, and forgotten."""
    SCENE.endpoint.replays._alive.clear()  # the genuine message is to be executed each time
    answer = SCENE.send(message)
    made = SCENE.executed
    SCENE.cloud.key_rows.clear()
    etree.fromstring(answer.body)
    for inside in (b"Traceback", b"Error(", b"object at 0x", b"NoneType", b"lxml"):
        assert inside not in answer.body
    if answer.status == 200:
        return answer, made
    assert answer.status == 500
    fault = FAULT.search(answer.body)
    assert fault is not None, answer.body
    code = fault[2].decode()
    assert code in KNOWN or code.endswith((".NotFound", ".Malformed")) or code == "DryRunOperation", code
    return answer, made


def refused(message: bytes) -> None:
    answer, made = sent(message)
    assert made == []
    assert b"<faultcode>Client.AuthFailure</faultcode>" in answer.body


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
@example(b"")
@example(b"\xef\xbb\xbf<a/>")
def test_bytes(message):
    refused(message)


# ------------------------------------------------------------------------------------------- the genuine one, torn
places = st.integers(0, len(GENUINE.message) - 1)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(places, places, st.sampled_from(["turn", "cut", "double", "insert"]), st.binary(max_size=8)), min_size=1, max_size=4))  # fmt: skip
def test_torn(changes):
    message = bytearray(GENUINE.message)
    for first, second, how, some in changes:
        first, second = sorted((first % len(message), second % len(message))) if message else (0, 0)
        if how == "turn" and message:
            message[first] ^= 1 + second % 255
        elif how == "cut":
            del message[first : min(second, first + 200)]
        elif how == "double":
            message[first:first] = message[first : min(second, first + 400)]
        else:
            message[first:first] = some
    answer, made = sent(bytes(message))
    # What is not signed may be written otherwise; the operation cannot be.
    assert made in ([], ["mine"])
    assert made or b"AuthFailure" in answer.body


# ----------------------------------------------------------------------------------------- its parts, put elsewhere
@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.sampled_from(["move", "copy", "drop", "rename", "id", "text", "evil"])), min_size=1, max_size=4))  # fmt: skip
def test_parts_elsewhere(changes):
    it = letters.Letter(GENUINE.message)
    for one, other, how in changes:
        elements = list(it.root.iter("*"))
        a, b = elements[one % len(elements)], elements[other % len(elements)]
        if how == "drop" and a.getparent() is not None:
            a.getparent().remove(a)
        elif how == "copy" and b.getparent() is not None:
            b.addnext(deepcopy(a))
        elif how == "move" and a.getparent() is not None and a not in b.iterancestors() and a is not b:
            b.append(a)
        elif how == "rename":
            a.tag = b.tag
        elif how == "id":
            a.set(f"{{{letters.WSU}}}Id", b.get(f"{{{letters.WSU}}}Id", "x"))
        elif how == "text":
            a.text = b.text
        elif how == "evil":
            b.append(SCENE.evil_operation())
    answer, made = sent(it.bytes())
    assert made in ([], ["mine"])
    assert made or b"AuthFailure" in answer.body


# ------------------------------------------------------------------------------ signed by its owner, and nonsense
names = st.sampled_from(
    ["CreateKeyPair", "RunInstances", "TerminateInstances", "DescribeInstances", "DescribeImages", "GetConsoleOutput",
     "DescribeAvailabilityZones", "ImportKeyPair", "DescribeSecurityGroups", "keyName", "imageId", "minCount", "maxCount",
     "item", "instancesSet", "instanceId", "groupSet", "groupId", "userData", "data", "placement", "availabilityZone",
     "monitoring", "enabled", "filterSet", "name", "valueSet", "value", "imagesSet", "nonsense"]
)  # fmt: skip
texts = st.one_of(
    st.sampled_from(
        ["", " ", "1", "-1", "true", "maybe", "i-12345678", "emi-12345678", "default", "YWJj", "999999999999"]
    ),
    st.text(
        st.characters(min_codepoint=32, blacklist_categories=("Cs",), blacklist_characters="\ufffe\uffff"),
        max_size=10,
    ),
)
trees = st.recursive(
    st.tuples(names, texts), lambda inner: st.tuples(names, st.lists(inner, max_size=4)), max_leaves=8
)


def built(tree, namespace):
    name, inside = tree
    element = etree.Element(f"{{{namespace}}}{name}", nsmap={"e": namespace})
    if isinstance(inside, str):
        element.text = inside
    else:
        element.extend(built(it, namespace) for it in inside)
    return element


@settings(max_examples=300, deadline=None)
@given(
    names,
    st.lists(trees, max_size=5),
    st.sampled_from(["2007-08-29", "2008-05-05", "2010-08-31", "2016-11-15"]),
)
def test_signed_nonsense(action, inside, version):
    operation = built((action, inside), f"http://ec2.amazonaws.com/doc/{version}/")
    it = letters.compose(GENUINE.owner, etree.tostring(operation).decode(), SCENE.now - 1)
    answer, _ = sent(it.bytes())
    assert b"AuthFailure" not in answer.body


# ----------------------------------------------------------------------------------------------- the long run
TOKENS = [
    b"<", b">", b"/", b'"', b"&", b"&#0;", b"&#x41;", b"<!--", b"-->", b"<?x?>", b"<![CDATA[", b"]]>", b"xmlns:s=''",
    b" Id='B-1'", b"#B-1", b"\xff", b"\x00", b"\xef\xbb\xbf", b"<s:Body>", b"</s:Body>", b"wsu:Id", letters.EXC.encode(),
]  # fmt: skip


def torn(dice: random.Random) -> bytes:
    message = bytearray(GENUINE.message)
    for _ in range(dice.randint(1, 5)):
        at, how = dice.randrange(len(message) + 1), dice.random()
        if how < 0.3 and at < len(message):
            message[at] ^= 1 << dice.randrange(8)
        elif how < 0.5:
            del message[at : at + dice.randint(1, 400)]
        elif how < 0.7:
            start = dice.randrange(len(message) + 1)
            message[at:at] = message[start : start + dice.randint(1, 500)]
        else:
            message[at:at] = dice.choice(TOKENS)
    return bytes(message)


def elsewhere(dice: random.Random) -> bytes:
    it = letters.Letter(GENUINE.message)
    for _ in range(dice.randint(1, 5)):
        elements = list(it.root.iter("*"))
        a, b, how = dice.choice(elements), dice.choice(elements), dice.randrange(8)
        if how == 0 and a.getparent() is not None:
            a.getparent().remove(a)
        elif how == 1 and b.getparent() is not None:
            b.addnext(deepcopy(a))
        elif how == 2 and a.getparent() is not None and a is not b and a not in b.iterancestors():
            b.append(a)
        elif how == 3:
            a.tag = b.tag
        elif how == 4:
            a.set(f"{{{letters.WSU}}}Id", b.get(f"{{{letters.WSU}}}Id", "x"))
        elif how == 5:
            a.text = b.text
        elif how == 6:
            b.append(SCENE.evil_operation())
        else:
            for name, value in dict(b.attrib).items():
                a.set(name, value)
    return it.bytes()


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 / 1024


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_million(caplog):
    """Nothing but the genuine operation, no undocumented answer, and no growth."""
    caplog.set_level(logging.CRITICAL)
    dice, before, executed = random.Random(1), 0.0, 0
    for turn in range(1_000_000):
        answer, made = sent((torn if dice.random() < 0.5 else elsewhere)(dice))
        assert made in ([], ["mine"])
        assert made or b"AuthFailure" in answer.body
        executed += bool(made)
        if turn == 20_000:
            before = resident_mb()
    assert executed > 1000  # what was changed is not always signed
    assert resident_mb() - before < 20
