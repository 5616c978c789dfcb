"""Which requests are answered by the thread that reads them: seen at a glance, whatever is sent."""

from __future__ import annotations

import time

import pytest

from euca_ec2.server import _brief
from euca_rpc.http.gathered import MAX_BODY
from euca_rpc.http.ordinary import Ordinary

OPERATIONS = {
    "DescribeInstances": True,
    "DescribeAvailabilityZones": True,
    "DescribeInstanceAttribute": True,
    "RunInstances": True,
    "RunInstancesX": False,
    "TerminateInstances": False,
    "StartInstances": False,
    "CreateKeyPair": False,
    "ImportKeyPair": False,
    "GetConsoleOutput": False,
    "ModifyInstanceAttribute": False,
    "": False,
}
SOAP = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wsu="urn:u">\n'
    "<SOAP-ENV:Header><wsse:Security>{header}</wsse:Security></SOAP-ENV:Header>\n"
    '<SOAP-ENV:Body wsu:Id="id-2">\n  <ec2:{operation} xmlns:ec2="http://ec2.amazonaws.com/doc/2010-06-15/">'
    "<ec2:imageId>emi-1</ec2:imageId></ec2:{operation}></SOAP-ENV:Body></SOAP-ENV:Envelope>"
)
BARE = '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><{operation} xmlns="urn:e"/></Body></Envelope>'


def asked(body: bytes = b"", target: str = "/services/Eucalyptus") -> Ordinary:
    return Ordinary("POST" if body else "GET", target, (("host", "x"),), body, secure=False)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_operations_that_are_brief(operation):
    brief = OPERATIONS[operation]
    assert _brief(asked(f"Action={operation}&Version=2016-11-15&MinCount=1".encode())) is brief
    assert _brief(asked(f"AWSAccessKeyId=A&Version=2016-11-15&Action={operation}".encode())) is brief
    assert _brief(asked(target=f"/?Action={operation}&Version=2016-11-15&Signature=a%2Bb")) is brief
    assert _brief(asked(target=f"/services/Eucalyptus/?Version=2009-04-04&Action={operation}")) is brief
    assert _brief(asked(SOAP.format(operation=operation, header="a" * 5000).encode())) is brief
    if operation:
        assert _brief(asked(BARE.format(operation=operation).encode())) is brief
        assert _brief(asked(BARE.format(operation=operation + "Type").encode())) is (
            brief and operation.startswith("Describe")
        )


@pytest.mark.parametrize(
    "body",
    [
        b"Action",
        b"\xff\x00",
        b"<",
        b"<Body>",
        b"<Body>RunInstances</Body>",
        b"<NoBody><RunInstances></NoBody>",
        b"<Body><Other/><RunInstances></Body>",
        b"<Body/><RunInstances>",
        b"&" * 70_000 + b"Action=RunInstances",
        SOAP.format(operation="RunInstances", header="a" * 70_000).encode(),
    ],
)
def test_what_is_not_seen_at_a_glance_is_another_threads(body):
    assert not _brief(asked(body))


@pytest.mark.parametrize(
    "piece",
    [
        b"Body", b"Body ", b"Body<>", b"<Body", b"<Body ", b"<a:Body ", b"<Body>", b"<Body> ", b"<Body>" + b" " * 50,
        b"<Body " + b"a" * 499, b"<" + b"a" * 30, b"<" + b"a" * 30 + b":", b"<a:Body \t\n>\n<b:RunInstance", b"<",
        b"a.-", b"\t ", b"Action=", b"Action=Run", b"Action=RunInstances;", b"Action=GetCallerIdentit",
    ],
)  # fmt: skip
@pytest.mark.parametrize("first", [b"", b"<", b"<Body "])
def test_it_is_quick_whatever_is_sent(piece, first):
    body = (first + piece * (MAX_BODY // len(piece) + 1))[:MAX_BODY]
    request = asked(body)
    spent = []
    for _ in range(2):  # the first time, the machine may be elsewhere
        began = time.thread_time()
        assert not _brief(request)
        spent.append(time.thread_time() - began)
    assert min(spent) < 0.05
