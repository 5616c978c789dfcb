"""Certificates: the authority decides the name, the key stays where it was made, what is revoked stays so."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from euca_rpc.clock import HOUR, SECOND, SystemClock
from euca_rpc.errors import EucaError
from euca_rpc.wire.pki import Authority, Identity, PeerName, fingerprint, read_certificate, renew
from euca_rpc.wire.revocation import RevokedList

NODE = PeerName("node", "open", "host1")
DAY = 24 * HOUR


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ca", "cloud1")


def enrolled(authority: Authority, where: Path, peer: PeerName = NODE, **how: object) -> Identity:
    csr = Identity.make_key_and_csr(where, peer)
    return Identity.install(where, authority.issue(csr, peer, **how), authority.ca_pem)


@pytest.mark.parametrize(
    ("peer", "uri", "text", "name"),
    [
        (NODE, "euca://c/node/open/host1", "node controller open/host1", "euca.node.open.host1"),
        (
            PeerName("cluster", "open"),
            "euca://c/cluster/open",
            "cluster controller open",
            "euca.cluster.open",
        ),
        (PeerName("cloud"), "euca://c/cloud", "cloud controller", "euca.cloud"),
    ],
)
def test_names(peer: PeerName, uri: str, text: str, name: str) -> None:
    assert (peer.uri("c"), peer.text, peer.object_name) == (uri, text, name)
    assert PeerName.of_object(name) == peer
    assert PeerName.of_path(peer.path) == peer


@pytest.mark.parametrize(
    "parts",
    [
        ("node",),
        ("node", "open"),
        ("cluster",),
        ("cloud", "open"),
        ("king",),
        ("node", "Open", "h"),
        ("node", "a.b", "h"),
    ],
)
def test_what_names_nobody(parts: tuple[str, ...]) -> None:
    with pytest.raises(EucaError, match="names no peer"):
        PeerName(*parts)


@pytest.mark.parametrize("name", ["euca.node.a.b.c", "other.cloud", "euca.cloud.x", "euca.node.a", ""])
def test_object_names_of_nobody(name: str) -> None:
    with pytest.raises(EucaError):
        PeerName.of_object(name)


def test_an_identity_says_who_and_until_when(authority: Authority, tmp_path: Path) -> None:
    identity = enrolled(authority, tmp_path / "node", days=90, now=1_800_000_000 * SECOND)
    assert identity.peer == NODE
    assert identity.cloud_id == "cloud1"
    assert identity.expires_at == 1_800_000_000 * SECOND + 90 * DAY
    assert not identity.due_for_renewal(1_800_000_000 * SECOND + 59 * DAY)
    assert identity.due_for_renewal(1_800_000_000 * SECOND + 61 * DAY)


def test_keys_are_for_their_owner_only(authority: Authority, tmp_path: Path) -> None:
    enrolled(authority, tmp_path / "node")
    for path in (tmp_path / "ca" / "ca.key", tmp_path / "node" / "key.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_request_decides_nothing_but_the_key(authority: Authority, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    forged = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("euca://cloud1/cloud")])
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloud")]))
        .add_extension(forged, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate = x509.load_pem_x509_certificate(
        authority.issue(csr.public_bytes(serialization.Encoding.PEM), NODE)
    )
    assert read_certificate(certificate.public_bytes(serialization.Encoding.DER)).name == NODE
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_request_without_proof_of_the_key_is_refused(authority: Authority, tmp_path: Path) -> None:
    csr = x509.load_pem_x509_csr(Identity.make_key_and_csr(tmp_path / "node", NODE))
    broken = bytearray(csr.public_bytes(serialization.Encoding.DER))
    broken[-3] ^= 1
    pem = x509.load_der_x509_csr(bytes(broken)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(EucaError, match="not signed by the key it names"):
        authority.issue(pem, NODE)


def test_a_request_with_another_kind_of_key_is_refused(authority: Authority) -> None:
    key = rsa.generate_private_key(65537, 1024)
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    with pytest.raises(EucaError, match="P-256"):
        authority.issue(csr.public_bytes(serialization.Encoding.PEM), NODE)


@pytest.mark.parametrize(
    "garbage",
    [b"", b"hello", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"],
)
def test_a_request_that_is_garbage_is_refused(authority: Authority, garbage: bytes) -> None:
    with pytest.raises(EucaError, match="cannot be read"):
        authority.issue(garbage, NODE)


def test_revoking_a_peer_covers_all_it_ever_got_and_survives_a_restart(
    authority: Authority, tmp_path: Path
) -> None:
    first = enrolled(authority, tmp_path / "a").own.serial
    second = enrolled(authority, tmp_path / "a").own.serial
    other = enrolled(authority, tmp_path / "b", PeerName("node", "open", "host10")).own.serial
    assert authority.serials_of(NODE) == (first, second)
    assert authority.revoke(NODE) == {first, second}
    assert authority.revoke(other) == {first, second, other}
    assert Authority.load(tmp_path / "ca").revoked() == {first, second, other}


def test_a_revocation_by_another_process_is_seen(authority: Authority, tmp_path: Path) -> None:
    assert authority.revoked() == frozenset()
    Authority.load(tmp_path / "ca").revoke(17)
    assert authority.revoked() == {17}
    Authority.load(tmp_path / "ca").revoke(18)
    assert authority.revoked() == {17, 18}


def test_a_torn_line_of_a_crash_loses_no_later_serial(authority: Authority, tmp_path: Path) -> None:
    with open(tmp_path / "ca" / "issued.txt", "a") as file:
        file.write("12")
    serial = enrolled(authority, tmp_path / "a").own.serial
    assert authority.serials_of(NODE) == (serial,)


def test_a_second_authority_in_the_same_place_is_refused(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(EucaError, match="already holds a certificate authority"):
        Authority.create(tmp_path / "ca", "cloud1")
    assert Authority.load(tmp_path / "ca").cloud_id == "cloud1"


def test_renewal_changes_the_key_and_survives_a_crash_between_its_two_files(
    authority: Authority, tmp_path: Path
) -> None:
    where = tmp_path / "node"
    old = enrolled(authority, where)
    old_key = (where / "key.pem").read_bytes()
    csr = Identity.make_key_and_csr(where, NODE)
    assert Identity.load(where) == old, "asking for a new certificate does not disturb the old one"
    certificate = renew(authority, NODE, csr, SystemClock().wall())
    (where / "cert.pem").write_bytes(certificate)  # … and the power goes, before the key is moved
    new = Identity.load(where)
    assert new.own.serial != old.own.serial
    assert (where / "key.pem").read_bytes() != old_key
    assert not (where / "key.new.pem").exists()


def test_a_certificate_for_another_key_is_not_installed(authority: Authority, tmp_path: Path) -> None:
    csr = Identity.make_key_and_csr(tmp_path / "a", NODE)
    with pytest.raises(EucaError, match="none of the keys"):
        Identity.install(tmp_path / "b", authority.issue(csr, NODE), authority.ca_pem)


@pytest.mark.parametrize("whose", ["another authority's", "garbage"])
def test_what_the_authority_did_not_sign_is_not_installed(
    authority: Authority, tmp_path: Path, whose: str
) -> None:
    old = enrolled(authority, tmp_path / "a")
    csr = Identity.make_key_and_csr(tmp_path / "a", NODE)
    other = Authority.create(tmp_path / "other", "cloud1")
    pem = other.issue(csr, NODE) if whose != "garbage" else b"garbage"
    with pytest.raises(EucaError, match="no certificate of this cloud's authority: kept the old"):
        Identity.install(tmp_path / "a", pem, authority.ca_pem)
    assert Identity.load(tmp_path / "a") == old


def test_an_expired_own_certificate_is_named_so(authority: Authority, tmp_path: Path) -> None:
    identity = enrolled(authority, tmp_path / "node", days=1, now=1_700_000_000 * SECOND)
    with pytest.raises(
        EucaError, match=r"our own certificate as node controller open/host1 .* expired at 2023-11-15"
    ):
        identity.check_not_expired(SystemClock().wall())


def test_a_directory_without_identity_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EucaError, match="enrol this host"):
        Identity.load(tmp_path)


def test_the_fingerprint_is_of_the_der(authority: Authority) -> None:
    certificate = x509.load_pem_x509_certificate(authority.ca_pem)
    assert fingerprint(authority.ca_pem) == certificate.fingerprint(hashes.SHA256()).hex()


def test_a_daemons_list_of_the_revoked_only_grows_and_is_on_disk(tmp_path: Path) -> None:
    revoked = RevokedList(tmp_path / "revoked.json")
    assert revoked() == frozenset()
    revoked.take(["5", "6"])
    revoked.take(["7"])
    assert RevokedList(tmp_path / "revoked.json")() == {5, 6, 7}
    (tmp_path / "revoked.json").write_text("{")
    with pytest.raises(ValueError):
        RevokedList(tmp_path / "revoked.json")
