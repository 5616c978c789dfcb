"""Clients other than botocore's: boto 2.49 as people connected to Eucalyptus with it, and awscli as a program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import boto
    import boto.auth
    from boto.ec2.connection import EC2Connection
    from boto.ec2.regioninfo import RegionInfo

KEY, SECRET = "AKANN000000000000001", "ann-secret-0123456789"


def complete(connection):
    """Zones, images, key pair, run, poll, describe, console, reboot, terminate, delete key."""
    zones = connection.get_all_zones()
    assert [(zone.name, zone.region_name) for zone in zones] == [("open", "eucalyptus")] or zones[
        0
    ].name == "open"
    assert [image.id for image in connection.get_all_images(filters={"image-type": "machine"})] == [
        "emi-12345678"
    ]
    assert connection.create_key_pair("mykey").material.startswith("-----BEGIN RSA")
    held = connection.run_instances(
        "emi-12345678", min_count=2, max_count=2, key_name="mykey", security_groups=["default"], user_data="hallo",
        instance_type="m1.small", placement="open", kernel_id="eki-12345678", ramdisk_id="eri-12345678",
    )  # fmt: skip
    ids = [it.id for it in held.instances]
    assert [it.state for it in held.instances] == ["pending", "pending"]
    return ids


def finish(connection, ids):
    seen = connection.get_only_instances([ids[0]]) if hasattr(connection, "get_only_instances") else []
    assert [(it.state, it.public_dns_name, it.key_name) for it in seen] == [("running", "127.1.0.1", "mykey")]
    assert b"login:" in connection.get_console_output(ids[0]).output
    assert connection.reboot_instances(ids)
    terminated = connection.terminate_instances(ids)
    assert [it.id for it in terminated] == ids
    if connection.APIVersion >= "2009-10-31":  # before, the element had another name, which boto never knew
        assert [it.state for it in terminated] == ["shutting-down"] * 2
    assert connection.delete_key_pair("mykey")


def test_boto2_connect_euca(live, cloud):
    connection = boto.connect_euca(
        "127.0.0.1", KEY, SECRET, port=live.port, path="/services/Eucalyptus", is_secure=False
    )
    connection.num_retries = 0
    ids = complete(connection)
    cloud.settle()
    finish(connection, ids)


@pytest.mark.parametrize(
    ("handler", "version", "settings"),
    [
        (boto.auth.QuerySignatureV2AuthHandler, "2009-11-30", {}),
        (boto.auth.QuerySignatureV1AuthHandler, "2008-02-01", {"sigv1": True}),
    ],
)
def test_boto2_with_the_signatures_of_its_youth(serve, cloud, monkeypatch, handler, version, settings):
    live = serve(**settings)
    monkeypatch.setattr(EC2Connection, "_required_auth_capability", lambda self: handler.capability)
    connection = EC2Connection(
        KEY, SECRET, is_secure=False, port=live.port, path="/services/Eucalyptus/",
        region=RegionInfo(name="eucalyptus", endpoint="127.0.0.1"), api_version=version,
    )  # fmt: skip
    connection.num_retries = 0
    ids = complete(connection)
    cloud.settle()
    finish(connection, ids)
    # What is signed says nothing of the moment's fraction: the same launch again is the same reservation.
    assert len(cloud.requests) == 1
    assert cloud.requests[0].client_token.startswith("signature:")


def test_signature_1_is_off_by_default(live, monkeypatch):
    handler = boto.auth.QuerySignatureV1AuthHandler
    monkeypatch.setattr(EC2Connection, "_required_auth_capability", lambda self: handler.capability)
    connection = EC2Connection(
        KEY, SECRET, is_secure=False, port=live.port, path="/services/Eucalyptus",
        region=RegionInfo(name="eucalyptus", endpoint="127.0.0.1"),
    )  # fmt: skip
    connection.num_retries = 0
    with pytest.raises(boto.exception.EC2ResponseError) as caught:
        connection.get_all_zones()
    assert (caught.value.status, caught.value.error_code) == (401, "AuthFailure")


def test_awscli(live, cloud, tmp_path):
    program = Path(sys.executable).parent / "aws"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "eucalyptus",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    endpoint = f"http://127.0.0.1:{live.port}/services/Eucalyptus"

    def aws(*words):
        done = subprocess.run(
            [sys.executable, str(program), "--endpoint-url", endpoint, "--output", "json", "ec2", *words],
            env=environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    launched = aws("run-instances", "--image-id", "emi-12345678", "--count", "1:2", "--user-data", "hallo")
    ids = [it["InstanceId"] for it in launched["Instances"]]
    cloud.settle()
    assert (
        aws("describe-instances", "--instance-ids", *ids)["Reservations"][0]["Instances"][1]["AmiLaunchIndex"]
        == 1
    )
    assert len(aws("terminate-instances", "--instance-ids", *ids)["TerminatingInstances"]) == 2
