"""On a real cloud controller: what was disabled, deleted or revoked is refused at the next request, Query and SOAP, in the
words of a credential that never was."""

from __future__ import annotations

import importlib.util
import re
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from euca_ec2 import euca_interface
from euca_ec2.endpoint import Endpoint
from euca_ec2.request import Request
from euca_ec2.settings import Ec2Settings
from euca_rpc.clock import SECOND
from euca_rpc.cloud import accounts


def _letters():
    if "soap_letters" not in sys.modules:
        path = Path(__file__).resolve().parents[1] / "soap" / "soap_letters.py"
        spec = importlib.util.spec_from_file_location("soap_letters", path)
        sys.modules["soap_letters"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["soap_letters"])
    return sys.modules["soap_letters"]


@pytest.fixture
def cloud(world):
    w = world()
    w.bench.clock.at = int(time.time()) * SECOND
    return w


@pytest.fixture
def query(cloud):
    """``query(key, secret)`` → the code of the refusal and its words, or None."""
    import boto3

    interface = euca_interface(cloud.core, {"port": 0})
    interface.start()

    def ask(key, secret):
        client = boto3.client(
            "ec2", region_name="eucalyptus", aws_access_key_id=key, aws_secret_access_key=secret,
            endpoint_url=f"http://127.0.0.1:{interface.port}/services/Eucalyptus",
        )  # fmt: skip
        try:
            client.describe_availability_zones()
        except ClientError as refused:
            said = refused.response
            return said["ResponseMetadata"]["HTTPStatusCode"], said["Error"]["Code"], said["Error"]["Message"]
        return None

    yield ask
    interface.stop()


@pytest.fixture
def soap(cloud, tmp_path):
    """``soap(identity)`` → the fault's code and words, or None."""
    endpoint = Endpoint(cloud.core, Ec2Settings(state_directory=str(tmp_path / "state")))
    letters = _letters()

    def ask(identity):
        cloud.bench.clock.advance(SECOND)
        body = (
            '<DescribeKeyPairs xmlns="http://ec2.amazonaws.com/doc/2008-12-01/"><keySet/></DescribeKeyPairs>'
        )
        message = letters.compose(identity, body, cloud.bench.clock.at / SECOND).bytes()
        head = (
            ("content-type", "text/xml; charset=utf-8"),
            ("soapaction", '"DescribeKeyPairs"'),
            ("host", "h"),
        )
        answer = endpoint.respond(Request("POST", "/services/Eucalyptus", "", head, message))
        if answer.status == 200:
            return None
        return re.findall(rb"<(?:faultcode|faultstring)[^>]*>([^<]*)", answer.body)

    yield ask
    endpoint.close()


def test_query(cloud, query):
    credentials, by = cloud.core.credentials, cloud.bench.caller
    made, secret = credentials.create_key(by, "bob")
    unknown = query("AK" + "A" * 18, secret)
    assert unknown[:2] == (401, "AuthFailure")
    off = lambda: credentials.enable_key(by, made.id, False)
    on = lambda: credentials.enable_key(by, made.id, True)
    out = lambda: cloud.bench.cloud.journal.do(accounts.enable_user(by, "bob", False))
    back = lambda: cloud.bench.cloud.journal.do(accounts.enable_user(by, "bob", True))
    for refuse, accept in ((off, on), (out, back), (lambda: credentials.delete_key(by, made.id), None)):
        assert query(made.id, secret) is None
        refuse()
        assert query(made.id, secret) == unknown
        if accept:
            accept()


def test_soap(cloud, soap):
    credentials, by = cloud.core.credentials, cloud.bench.caller
    letters = _letters()
    unknown = soap(letters.identity("stranger"))
    assert unknown[0].endswith(b"AuthFailure")
    made, certificate, private = credentials.create_certificate(by, "bob")
    bob = letters.Identity("bob", private.encode(), certificate.encode())
    off = lambda: credentials.enable_certificate(by, made.id, False)
    on = lambda: credentials.enable_certificate(by, made.id, True)
    for refuse, accept in ((off, on), (lambda: credentials.revoke_certificate(by, made.id), None)):
        assert soap(bob) is None
        refuse()
        assert soap(bob) == unknown
        if accept:
            accept()
