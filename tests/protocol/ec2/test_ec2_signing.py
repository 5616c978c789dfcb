"""The verifier's rules, one by one; the signer of the other side is botocore's, or written out by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import quote, urlencode

import pytest

from euca_ec2.request import Request
from euca_ec2.signing import verify
from euca_rpc.clock import MINUTE, SECOND
from euca_rpc.errors import EucaError
from euca_rpc.nouns import Credential
from euca_rpc.types import Caller

NOW = 1_700_000_000 * SECOND  # 2023-11-14T22:13:20Z
STAMP = "2023-11-14T22:13:20Z"
SECRET = "s3cret"
KNOWN = Credential(Caller("u", "u", "222222222222", False), SECRET)


def lookup(key):
    return KNOWN if key == "AK" else None


def v2(host="cloud:8773", path="/services/Eucalyptus", *, sent_host=None, sent_path=None, secret=SECRET, digest="sha256",
       method="POST", **more):  # fmt: skip
    given = {"Action": "DescribeInstances", "Version": "2009-11-30", "AWSAccessKeyId": "AK", "SignatureVersion": "2",
             "SignatureMethod": f"Hmac{digest.upper()}", "Timestamp": STAMP, **more}  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    query = "&".join(f"{quote(n, safe='-_.~')}={quote(given[n], safe='-_.~')}" for n in sorted(given))
    text = f"{method}\n{host}\n{path}\n{query}"
    given["Signature"] = base64.b64encode(hmac.digest(secret.encode(), text.encode(), digest)).decode()
    form = urlencode(given)
    headers = (("host", sent_host or host),)
    if method == "GET":
        return Request("GET", sent_path or path, form, headers)
    return Request("POST", sent_path or path, "", headers, form.encode())


def refused(request, symbol="auth_failure", now=NOW, **options):
    with pytest.raises(EucaError) as caught:
        verify(request, lookup, now, **options)
    assert caught.value.symbol == symbol, caught.value
    return caught.value


@pytest.mark.parametrize(
    "request_",
    [
        v2(),
        v2(digest="sha1"),
        v2(method="GET"),
        v2("cloud", sent_host="cloud:8773"),  # boto2 and typica
        v2("cloud", sent_host="CLOUD"),
        v2(path="/services/Eucalyptus/", sent_path="/services/Eucalyptus"),  # fog
        v2(sent_path="/services/Eucalyptus/"),
        v2(path="/"),
        v2(Timestamp="2023-11-14T22:13:20.123Z"),
        v2(Timestamp="2023-11-14T22:13:20+00:00"),
        v2(Timestamp=None, Expires="2023-11-14T22:18:20Z"),
        v2(KeyName=""),  # empty values count
        v2(KeyName="a b~c+d/é*"),
        v2(Zone="x", aone="y", **{"InstanceId.10": "a", "InstanceId.2": "b"}),  # sorted by bytes
    ],
)
def test_spellings_of_version_2(request_):
    seen = verify(request_, lookup, NOW)
    assert seen.parameters["Action"] == "DescribeInstances"
    assert not {"Signature", "AWSAccessKeyId", "Timestamp", "SignatureMethod"} & set(seen.parameters)


@pytest.mark.parametrize(
    "request_",
    [
        v2(secret="wrong"),
        v2(AWSAccessKeyId="UNKNOWN"),
        v2("cloud:8773", sent_host="cloud:9999"),
        v2("cloud:8773", sent_host="cloud"),
        v2("evil", sent_host="cloud"),
        v2(path="/services/Eucalyptus//", sent_path="/services/Eucalyptus"),
        v2(SignatureMethod="HmacMD5"),
        v2(SignatureVersion="3"),
        v2(SignatureVersion="1"),
        v2(Timestamp="yesterday"),
        v2(Timestamp="2023-11-14T22:13:20"),
        v2(Timestamp="2023-13-14T22:13:20Z"),
        v2(Timestamp=""),
        v2(Timestamp=None),
        v2(Expires="2023-11-14T22:18:20Z"),
        Request("POST", "/", "", (("host", "x"),), b"Action=DescribeInstances"),
        Request("POST", "/", "", (), b"Action=a&AWSAccessKeyId=AK&SignatureVersion=2&Signature=!&SignatureMethod=HmacSHA1"),
    ],
)  # fmt: skip
def test_every_refusal_reads_the_same(request_):
    assert refused(request_).sentence == refused(v2(secret="wrong")).sentence
    assert SECRET not in (refused(request_).private or "")


def test_age_is_told_only_to_who_signed_right():
    late = NOW + 15 * MINUTE + SECOND
    said = refused(v2(), "request_expired", late).sentence
    assert "2023-11-14T22:28:21.000Z" in said  # the server's time
    refused(v2(secret="wrong"), "auth_failure", late)
    refused(v2(AWSAccessKeyId="UNKNOWN"), "auth_failure", late)
    refused(v2(Timestamp=None, Expires="2023-11-14T22:13:19Z"), "request_expired")


def test_a_name_given_twice_is_refused():
    good = v2()
    twice = Request("POST", good.path, "Action=TerminateInstances", good.headers, good.body)
    refused(twice, "parameter_conflict")
    refused(Request("POST", good.path, "", good.headers, good.body + b"&Action=x"), "parameter_conflict")


# -------------------------------------------------------------------------------------------- version 4
def v4(*, region="0", service="127", signed="host;x-amz-date", body=b"Action=A", sent=None, date="20231114T221320Z",
       scope_date="20231114", secret=SECRET, key="AK", headers=None):  # fmt: skip
    headers = headers or {"host": "cloud:8773", "x-amz-date": date}
    canonical = "\n".join(
        ("POST", "/", "", "".join(f"{n}:{headers.get(n, '')}\n" for n in signed.split(";")), signed,
         hashlib.sha256(body).hexdigest())
    )  # fmt: skip
    scope = f"{scope_date}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signing = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        signing = hmac.digest(signing, part.encode(), "sha256")
    signature = hmac.digest(signing, text.encode(), "sha256").hex()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={signed}, Signature={signature}"
    )
    return Request(
        "POST", "/", "", (*headers.items(), ("authorization", authorization)), body if sent is None else sent
    )


@pytest.mark.parametrize(
    ("region", "service"), [("eucalyptus", "ec2"), ("0", "127"), ("undefined-8773", "x"), ("", "")]
)
def test_region_and_service_are_taken_as_they_come(region, service):
    assert verify(v4(region=region, service=service), lookup, NOW).parameters == {"Action": "A"}


@pytest.mark.parametrize(
    "request_",
    [
        v4(secret="wrong"),
        v4(key="UNKNOWN"),
        v4(signed="x-amz-date"),  # host must be signed
        v4(signed="x-amz-date;host"),
        v4(signed="host;host;x-amz-date"),
        v4(signed="host;x-amz-date;x-missing"),
        v4(sent=b"Action=B"),
        v4(scope_date="20231113"),
        v4(date="yesterday", scope_date="yesterda"),
        v4(date="20231314T221320Z", scope_date="20231314"),
        v4(headers={"host": "cloud:8773"}),
    ],
)
def test_refusals_of_version_4(request_):
    assert refused(request_).sentence == refused(v2(secret="wrong")).sentence


def test_skew_of_version_4():
    for off in (-15 * MINUTE, 15 * MINUTE):
        verify(v4(), lookup, NOW + off)
        refused(v4(), "request_expired", NOW + off + (SECOND if off > 0 else -SECOND))


def test_two_signatures_are_one_too_many():
    both = v4(body=b"Action=A&Signature=x")
    refused(both, "parameter_conflict")


def test_a_disabled_key_is_refused_at_once():
    verify(v4(), lookup, NOW)  # the day's signing key is remembered now
    with pytest.raises(EucaError):
        verify(v4(), lambda key: None, NOW)
    with pytest.raises(EucaError):  # and so it is with a new secret under the same id
        verify(v4(), lambda key: Credential(KNOWN.caller, "another"), NOW)


def presigned(expires=60, **changes):
    from datetime import UTC, datetime
    from unittest import mock

    import botocore.auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest("GET", "http://cloud:8773/services/Eucalyptus?Action=A&Version=2016-11-15")
    at = datetime.fromtimestamp(NOW // SECOND, UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=at, create=True):
        botocore.auth.SigV4QueryAuth(
            Credentials("AK", SECRET), "ec2", "eucalyptus", expires=expires
        ).add_auth(request)
    path, query = request.url.removeprefix("http://cloud:8773").split("?")
    for old, new in changes.items():
        query = query.replace(old, new)
    return Request("GET", path, query, (("host", "cloud:8773"),))


def test_presigned():
    seen = verify(presigned(), lookup, NOW + 60 * SECOND)
    assert seen.parameters == {"Action": "A", "Version": "2016-11-15"}
    refused(presigned(), "request_expired", NOW + 61 * SECOND)
    refused(presigned(expires=8 * 24 * 3600))
    refused(presigned(**{"Action=A": "Action=B"}))
    refused(presigned(**{"X-Amz-Expires=60": "X-Amz-Expires=3600"}))
