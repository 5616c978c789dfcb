"""The seed disk: NoCloud's two files on an ISO labelled ``cidata``, before there is a metadata service.

The only thing of an account that a machine is given besides its disk: its names, its public key, its user data.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from euca_rpc.machines import MachineSpec
from euca_rpc.node import confined


def meta_data(spec: MachineSpec) -> str:
    """YAML that a shell can read too: one `key: value` a line; JSON's quoting is YAML's."""
    lines = [f"instance-id: {spec.instance_id}", f"local-hostname: {spec.hostname}"]
    if spec.public_key:
        lines += ["public-keys:", f"  - {json.dumps(spec.public_key.strip())}"]
    return "\n".join(lines) + "\n"


def make(spec: MachineSpec, path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="seed.", dir=path.parent) as folder:
        for name, content in (("meta-data", meta_data(spec).encode()), ("user-data", spec.user_data)):
            (Path(folder) / name).write_bytes(content)
        path.unlink(missing_ok=True)
        confined.run(
            ["genisoimage", "-quiet", "-volid", "cidata", "-joliet", "-rock", "-output", str(path), folder],
            drop=False,  # it reads and writes our own files only
        )
        os.chmod(path, 0o600)
