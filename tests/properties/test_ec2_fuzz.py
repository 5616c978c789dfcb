"""Whatever is sent, signed or not: a documented answer, well-formed, and never the inside of an exception."""

from __future__ import annotations

import random
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from euca_ec2.endpoint import Endpoint
from euca_ec2.messages.places import DescribeAvailabilityZonesAnswer, Message, ZoneItem
from euca_ec2.operations import ACTIONS
from euca_ec2.parsing import parser
from euca_ec2.rendering import Renderer, escaped
from euca_ec2.request import Request
from euca_ec2.settings import Ec2Settings
from euca_ec2.signing import Verified
from euca_rpc.clock import ManualClock
from euca_rpc.errors import EucaError
from euca_rpc.ids import SeededIds
from euca_rpc.nouns import Core
from euca_rpc.steps import waited
from euca_rpc.types import Caller


class Nothing:
    """A core in which there is nothing: every noun's list is empty, and nothing can be changed."""

    def describe(self, caller, ids=()):
        if ids:
            raise EucaError("instance_not_found", "There is nothing.")
        return []

    def by_access_key(self, key):
        return None

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*_, **__):
            raise EucaError("unsupported", "There is nothing.")

        return refuse


nothing = Nothing()
CLOCK = ManualClock()
ENDPOINT = Endpoint(
    Core("c", *(nothing,) * 13, CLOCK, SeededIds(1)),
    Ec2Settings(sigv1=True),
)
CALLER = Caller("u", "u", "222222222222", False)
words = st.sampled_from(
    ["Action", "Version", "Signature", "SignatureVersion", "AWSAccessKeyId", "Timestamp", "Expires", "X-Amz-Signature",
     "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Algorithm", "SignatureMethod",
     "InstanceId.1", "Filter.1.Name", "MaxResults", "DryRun", "2", "1", "HmacSHA256", "2016-11-15", "RunInstances",
     "AWS4-HMAC-SHA256", "a/20231114/b/c/aws4_request", "host", "20231114T221320Z", "2023-11-14T22:13:20Z"]
)  # fmt: skip
texts = st.one_of(words, st.text(max_size=20))
fields = st.lists(st.tuples(texts, texts), max_size=12)
headers = st.lists(
    st.tuples(st.sampled_from(["host", "authorization", "x-amz-date", "content-type", "date"]), texts),
    max_size=5,
)


def documented(response) -> None:
    faults = (
        (500,)
        if b"<soap:Fault><faultcode>" in response.body and b"InternalError" not in response.body
        else ()
    )
    assert response.status in (200, 400, 401, 403, 404, 405, 412, 503, *faults), response
    if response.type.startswith("text/xml"):
        etree.fromstring(response.body)
    for inside in (b"Traceback", b"Error(", b"object at 0x", b"NoneType"):
        assert inside not in response.body


@settings(max_examples=300, deadline=None)
@given(fields, headers, st.sampled_from(["GET", "POST"]), st.booleans())
def test_unsigned_requests(pairs, head, method, in_query):
    form = "&".join(f"{quote(n)}={quote(v)}" for n, v in pairs)
    request = Request(method, "/", form if in_query else "", tuple(head), b"" if in_query else form.encode())
    documented(ENDPOINT.respond(request))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.text(max_size=100), headers)
def test_bytes(body, query, head):
    documented(ENDPOINT.respond(Request("POST", "/", query, tuple(head), body)))


names = st.sampled_from(
    ["InstanceId.1", "InstanceId.0", "InstanceId.1.2", "InstanceId", "Filter.1.Name", "Filter.1.Value.1", "Filter.1",
     "Filter.2.Value.3", "MaxResults", "NextToken", "DryRun", "ImageId", "ImageId.1", "MinCount", "MaxCount", "KeyName",
     "UserData", "PublicKeyMaterial", "ZoneName.1", "Owner.1", "ClientToken", "Placement.AvailabilityZone", "Nonsense",
     "ResourceId.1", "Tag.1.Key", "Tag.1.Value", "TagSpecification.1.ResourceType", "TagSpecification.1.Tag.1.Key",
     "AdditionalInfo", "Attribute", "Value", "OperationType", "UserId.1", "LaunchPermission.Add.1.Group",
     "LaunchPermission.Add", "InstanceType.Value", "UserData.Value", "InstanceId.1.2.3", "ImageLocation", "LocationType"]
)  # fmt: skip
values = st.one_of(
    st.sampled_from(
        ["i-12345678", "emi-12345678", "1", "5", "-1", "true", "false", "c3NoLXJzYQ==", "tag:a", "*", "\\"]
    ),
    st.text(max_size=20),
)
versions = st.sampled_from(["2007-08-29", "2009-11-30", "2016-11-15", "9999-99-99", "", "latest"])


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(ACTIONS)), versions, st.dictionaries(names, values, max_size=6))
def test_signed_requests(action, version, parameters):
    """Past the signature: what a caller with a key may send."""
    from euca_ec2.endpoint import _error, _Trail

    trail = _Trail()
    given_parameters = {"Action": action, "Version": version, **parameters}
    verified = Verified(CALLER, "AK", given_parameters, b"s")
    request = Request("POST", "/", "", (("host", "h"),))
    try:
        body = waited(ENDPOINT._perform(request, verified, "id", trail))
    except EucaError as error:
        documented(_error(error, "id", trail))
    else:
        etree.fromstring(body)


@given(st.text())
def test_any_text_survives_rendering(text):
    zone = ZoneItem(text, "UP", "available", "r", (Message(text),))
    body = Renderer().render("X", DescribeAvailabilityZonesAnswer((zone,)), "2016-11-15", "id")
    found = etree.fromstring(body).findtext(".//{*}zoneName") or ""
    assert found == "".join(
        it
        if it in "\t\n\r" or (" " <= it <= "\ud7ff") or ("\ue000" <= it <= "\ufffd") or it > "\uffff"
        else "\ufffd"
        for it in text
    )
    assert "<" not in escaped(text)


@given(st.lists(st.integers(1, 500), unique=True, max_size=30), st.randoms())
def test_lists_are_read_in_the_order_of_their_numbers(numbers, shuffle: random.Random):
    shuffled = list(numbers)
    shuffle.shuffle(shuffled)
    message = parser(ACTIONS["DescribeInstances"].request)({f"InstanceId.{n}": f"i-{n}" for n in shuffled})
    assert message.ids == tuple(f"i-{n}" for n in sorted(numbers))
