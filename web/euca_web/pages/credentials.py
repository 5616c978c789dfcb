"""What a user proves itself with outside the portal: certificates for the tools of 1.0, access keys for everything else.

A certificate comes as a zip with all that a client needs; it is made in memory, and neither the private key nor the secret
of the access key in its `eucarc` is kept anywhere.  An administrator looks after everybody's, by `?user=`.
"""

from __future__ import annotations

import io
import shlex
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from euca_rpc.errors import EucaError
from euca_rpc.shown import CredentialStatus

from ..asked import Answer, Asked, Download, Page, Redirect
from ..confirm import Change, confirm, known

FOR_GOOD = "There is no way back; make a new one."
CERTIFICATE_CHANGES = {
    "enable": Change("Enable it", "Accept this certificate again?"),
    "disable": Change("Disable it", "Refuse this certificate until you enable it again?"),
    "revoke": Change("Revoke it", "Refuse this certificate for good?", FOR_GOOD, danger=True),
}
KEY_CHANGES = {
    "enable": Change("Enable it", "Accept this access key again?"),
    "disable": Change("Disable it", "Refuse this access key until you enable it again?"),
    "delete": Change("Delete it", "Refuse this access key for good?", FOR_GOOD, danger=True),
}


def listed(asked: Asked) -> Page:
    user = _user(asked)
    return Page(
        "credentials.html",
        {
            "user": user,
            "own": user == asked.caller.user_name,
            "keys": asked.core.credentials.keys(asked.caller, user),
            "certificates": asked.core.credentials.certificates(asked.caller, user),
            "ec2_url": asked.settings.ec2_url,
            "region": asked.settings.region,
        },
    )


def make_certificate(asked: Asked) -> Answer:
    user, nouns = asked.caller.user_name, asked.core.credentials
    key, secret = nouns.create_key(asked.caller, user)
    try:
        certificate, pem, private = nouns.create_certificate(asked.caller, user)
    except EucaError:
        nouns.delete_key(asked.caller, key.id)
        raise
    name = f"euca2-{user}-{certificate.id[:8]}"
    files = {f"{name}-pk.pem": private, f"{name}-cert.pem": pem}
    if asked.settings.authority:
        files["cloud-cert.pem"] = Path(asked.settings.authority).read_text()
    files["eucarc"] = eucarc(name, asked.settings.ec2_url, asked.settings.region, key.id, secret)
    return Download(f"euca2-{user}-x509.zip", "application/zip", zipped(files))


def eucarc(name: str, url: str, region: str, access_key: str, secret: str) -> str:
    """For the shell: what the tools of 1.0, boto, awscli and boto3 each look for."""
    given = {
        "EC2_URL": url,
        "EC2_ACCESS_KEY": access_key,
        "EC2_SECRET_KEY": secret,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": region,
        "AWS_ENDPOINT_URL_EC2": url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    files = {
        "EC2_PRIVATE_KEY": f"{name}-pk.pem",
        "EC2_CERT": f"{name}-cert.pem",
        "EUCALYPTUS_CERT": "cloud-cert.pem",
    }
    return "\n".join(
        [
            "# Read this into your shell from where you unpacked it:  . ./eucarc",
            'EUCA_KEY_DIR=$(cd "$(dirname "${BASH_SOURCE:-./eucarc}")" && pwd)',
            *(f"export {variable}={shlex.quote(value)}" for variable, value in given.items()),
            *(f'export {variable}="$EUCA_KEY_DIR"/{file}' for variable, file in files.items()),
            "",
        ]
    )


def zipped(files: dict[str, str]) -> bytes:
    """Readable by their owner alone once they are unpacked."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100600 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text)
    return packed.getvalue()


def make_key(asked: Asked) -> Answer:
    key, secret = asked.core.credentials.create_key(asked.caller, asked.caller.user_name)
    return Page(
        "access_key.html",
        {"key": key, "secret": secret, "ec2_url": asked.settings.ec2_url, "region": asked.settings.region},
    )


# ---------------------------------------------------------------------------------------- changes to what is there
@dataclass(frozen=True, slots=True)
class Kind:
    """One of the two kinds of credentials, and what can be done to it."""

    path: str
    word: str
    changes: Mapping[str, Change]
    list_: Callable[[Asked], list[CredentialStatus]]
    enable: Callable[[Asked, str, bool], object]
    end: Callable[[Asked, str], object]
    shown: int | None = None  # so much of an id; None: all

    def name_of(self, found: CredentialStatus) -> str:
        return f"{self.word} {found.id[: self.shown]}"

    def ask(self, asked: Asked) -> Page:
        found, change = self._one(asked), asked.path["change"]
        title = f"{change.capitalize()} {found.user_name}'s {self.name_of(found)}"
        action = f"/credentials/{self.path}/{found.id}/{change}"
        return confirm(title, known(self.changes, change), action, _back(asked, found))

    def change(self, asked: Asked) -> Answer:
        change = asked.path["change"]
        known(self.changes, change)
        found = self._one(asked)
        if change in ("enable", "disable"):
            self.enable(asked, found.id, change == "enable")
        else:
            self.end(asked, found.id)
        name = self.name_of(found)
        return Redirect(_back(asked, found), f"{name[0].upper()}{name[1:]}: {change}d.")

    def _one(self, asked: Asked) -> CredentialStatus:
        for row in self.list_(asked):
            if row.id == asked.path["id"]:
                return row
        raise EucaError("credential_not_found", "There is no such credential, or it is somebody else's.")


CERTIFICATE = Kind(
    "certificates",
    "certificate",
    CERTIFICATE_CHANGES,
    lambda asked: asked.core.credentials.certificates(asked.caller),
    lambda asked, id, on: asked.core.credentials.enable_certificate(asked.caller, id, on),
    lambda asked, id: asked.core.credentials.revoke_certificate(asked.caller, id),
    8,
)
KEY = Kind(
    "keys",
    "access key",
    KEY_CHANGES,
    lambda asked: asked.core.credentials.keys(asked.caller),
    lambda asked, id, on: asked.core.credentials.enable_key(asked.caller, id, on),
    lambda asked, id: asked.core.credentials.delete_key(asked.caller, id),
)


def _back(asked: Asked, found: CredentialStatus) -> str:
    own = found.user_name == asked.caller.user_name
    return "/credentials" if own else f"/credentials?user={found.user_name}"


def _user(asked: Asked) -> str:
    return asked.query.line("user", 100) or asked.caller.user_name
