"""Key pairs: formats and fingerprints as OpenSSH itself sees them."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from euca_rpc.cloud import keys
from euca_rpc.errors import EucaError


def ssh_keygen(*args):
    return subprocess.run(["ssh-keygen", *args], capture_output=True, check=True).stdout


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_openssh_accepts_the_private_half_and_derives_the_public_one(bench, tmp_path, kind):
    pair, pem = bench.cloud.core.keys.create(bench.caller, "k", kind)
    path = tmp_path / "k.pem"
    path.touch(mode=0o600)
    path.write_text(pem)
    assert ssh_keygen("-y", "-f", str(path)).split()[:2] == pair.public_key.encode().split()[:2]
    if kind == "rsa":
        assert pem.startswith("-----BEGIN RSA PRIVATE KEY-----")
        key = serialization.load_pem_private_key(pem.encode(), None)
        der = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        assert pair.fingerprint.replace(":", "") == hashlib.sha1(der).hexdigest()
    else:
        assert f"SHA256:{pair.fingerprint.rstrip('=')}".encode() in ssh_keygen("-lf", str(path))


def test_the_private_half_is_kept_nowhere(bench):
    _, pem = bench.cloud.core.keys.create(bench.caller, "k")
    body = pem.splitlines()[3].encode()
    for name in os.listdir(bench.path):
        assert body not in (bench.path / name).read_bytes()


@pytest.mark.parametrize("form", ["line", "rfc4716", "pem", "der"])
def test_import_understands_what_people_have(bench, tmp_path, form):
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(path)], check=True)
    line = (tmp_path / "id.pub").read_bytes()
    public = serialization.load_ssh_public_key(line)
    material = {
        "line": line,
        "rfc4716": ssh_keygen("-e", "-m", "RFC4716", "-f", str(path)),
        "pem": public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        "der": public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    }[form]
    pair = bench.cloud.core.keys.import_(bench.caller, "mine", material)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert pair.fingerprint.replace(":", "") == hashlib.md5(der).hexdigest()
    assert pair.public_key.split()[1] == line.decode().split()[1]


def test_ed25519_import_has_openssh_fingerprint(bench, tmp_path):
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    pair = bench.cloud.core.keys.import_(bench.caller, "mine", (tmp_path / "id.pub").read_bytes())
    printed = ssh_keygen("-lf", str(path)).decode().split()[1]
    assert "SHA256:" + pair.fingerprint.rstrip("=") == printed
    assert len(base64.b64decode(pair.fingerprint)) == 32


@pytest.mark.parametrize(
    "material",
    [
        b"",
        b"ssh-rsa",
        b"ssh-rsa AAAA",
        b"\x30\x00",
        b"x" * 20000,
        b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
    ],
)
def test_garbage_is_refused_with_what_is_understood(bench, material):
    with pytest.raises(EucaError) as refused:
        bench.cloud.core.keys.import_(bench.caller, "k", material)
    assert refused.value.symbol == "key_format"


def test_other_kinds_of_keys_are_refused(bench):
    line = (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    )
    with pytest.raises(EucaError):
        bench.cloud.core.keys.import_(bench.caller, "k", line)


def test_names_are_unique_per_account_and_deleting_twice_is_no_error(bench):
    api = bench.cloud.core.keys
    api.create(bench.caller, "k", "ed25519")
    with pytest.raises(EucaError) as refused:
        api.create(bench.caller, "k", "ed25519")
    assert refused.value.symbol == "key_duplicate"
    assert api.delete(bench.caller, "k") is True
    assert api.delete(bench.caller, "k") is False
    with pytest.raises(EucaError):
        api.create(bench.caller, "bad\nname")


def test_the_pool_hands_out_each_key_once(bench):
    pool = bench.cloud.key_pool
    pool.fill()
    numbers = {keys.private_pem(pool.take()) for _ in range(6)}
    assert len(numbers) == 6
