"""A SOAP call costs at most 1 ms more than the same call of the Query API, in time of the processor."""

from __future__ import annotations

import base64
import hmac
import statistics
import time
from urllib.parse import quote

import pytest
from soap_letters import compose
from soap_scene import fake, genuine

from euca_ec2.request import Request
from euca_rpc.clock import SECOND, iso

CALLS = {
    "DescribeInstances": ("<e:instancesSet/>", {}),
    "DescribeKeyPairs": ("<e:keySet/>", {}),
    "RunInstances": (
        "<e:imageId>emi-12345678</e:imageId><e:minCount>1</e:minCount><e:maxCount>1</e:maxCount><e:groupSet/>"
        "<e:instanceType>m1.small</e:instanceType>",
        {"ImageId": "emi-12345678", "MinCount": "1", "MaxCount": "1", "InstanceType": "m1.small"},
    ),
}
VERSION = "2008-05-05"
KEY = "AKANN000000000000001"


def query(action, parameters, at):
    """Signature version 2, by hand."""
    stamp = iso(int(at * SECOND))
    given = {
        "Action": action, "Version": VERSION, "AWSAccessKeyId": KEY, "SignatureVersion": "2",
        "SignatureMethod": "HmacSHA256", "Timestamp": stamp, **parameters,
    }  # fmt: skip
    form = "&".join(f"{quote(name, safe='-_.~')}={quote(given[name], safe='-_.~')}" for name in sorted(given))
    mac = hmac.digest(fake.KEYS[KEY].secret.encode(), f"POST\nh\n/\n{form}".encode(), "sha256")
    signed = f"{form}&Signature={quote(base64.b64encode(mac).decode(), safe='')}"
    return Request("POST", "/", "", (("host", "h"),), signed.encode())


def soap(scene, action, inside, at):
    operation = f'<e:{action} xmlns:e="http://ec2.amazonaws.com/doc/{VERSION}/">{inside}</e:{action}>'
    message = compose(scene.genuine.owner, operation, at).bytes()
    return Request("POST", "/", "", (("host", "h"), ("content-type", "text/xml")), message)


@pytest.mark.parametrize("action", CALLS)
def test_at_most_a_millisecond_more(action, scenes):
    scene = scenes(genuine("own"))
    inside, parameters = CALLS[action]
    took = {"soap": [], "query": []}
    for turn in range(60):  # interleaved, so that whatever else the machine does strikes both
        at = scene.now - turn
        for kind, request in (
            ("soap", soap(scene, action, inside, at)),
            ("query", query(action, parameters, at)),
        ):
            began = time.process_time()  # of all threads: a message is verified in one of its own
            answer = scene.endpoint.respond(request)
            took[kind].append(time.process_time() - began)
            assert answer.status == 200, answer.body
    more = statistics.median(took["soap"]) - statistics.median(took["query"])
    print(f"{action}: {more * 1000:.2f} ms more")
    assert more < 0.001
