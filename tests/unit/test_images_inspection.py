from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from euca_rpc.errors import EucaError
from euca_rpc.images.inspection import inspect
from euca_rpc.images.qcow2 import Limits


def beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


corpus = beside("hostile_images")
HOSTILE, GOOD = list(corpus.hostile()), list(corpus.good())


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)
def test_a_hostile_image_is_refused_with_what_was_found(case, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(case.data)
    with pytest.raises(EucaError, match=case.says) as refusal:
        inspect(image, case.format, case.kind, case.architecture)
    assert refusal.value.symbol == "image_refused"
    assert len(refusal.value.sentence) > 40  # found, and what to do


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_a_good_image_passes(case, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(case.data)
    found = inspect(image, case.format, case.kind, case.architecture)
    assert found.bytes == len(case.data)
    assert found.virtual_bytes == (corpus.MEGABYTE if case.kind == "machine" else len(case.data))


def test_the_corpus_is_large_enough_and_its_names_unique() -> None:
    names = [case.name for case in HOSTILE + GOOD]
    assert len(HOSTILE) >= 40
    assert len(set(names)) == len(names)


def test_an_image_made_by_qemu_img_passes_and_its_overlay_does_not(tmp_path: Path) -> None:
    base, overlay = tmp_path / "base.qcow2", tmp_path / "overlay.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(base), "3G"], check=True)
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(overlay)], check=True
    )
    assert inspect(base, "qcow2", "machine", "x86_64").virtual_bytes == 3 << 30
    with pytest.raises(EucaError, match="backing file"):
        inspect(overlay, "qcow2", "machine", "x86_64")
    with pytest.raises(EucaError, match="may have 1024"):
        inspect(base, "qcow2", "machine", "x86_64", Limits(virtual_bytes=1024))


def test_the_second_reader_has_neither_privileges_nor_endless_time(tmp_path: Path, monkeypatch) -> None:
    """A qemu-img that looks around instead of reading: it sees itself as nobody, and is ended when it hangs."""
    image = tmp_path / "image"
    image.write_bytes(corpus.qcow2())
    spy = Path("/tmp") / f"spy-{tmp_path.name}-{id(tmp_path)}"  # nobody may pass through here
    spy.mkdir(mode=0o755)
    try:
        fake = spy / "qemu-img"
        fake.write_text(
            "#!/bin/sh\n"
            'echo "{\\"format\\": \\"qcow2\\", \\"virtual-size\\": 1048576, \\"encrypted\\": \\"$(id -u) $(ulimit -v)\\"}" >&2\n'
            "exit 1\n"
        )
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{spy}:/usr/bin:/bin")
        with pytest.raises(EucaError) as refusal:
            inspect(image, "qcow2", "machine", "x86_64")
        said = refusal.value.sentence
        uid, memory = json.loads(said[said.index("(") + 1 : said.rindex("})") + 1])["encrypted"].split()
        assert uid != "0"
        assert int(memory) == (1 << 30) // 1024
        fake.write_text("#!/bin/sh\nexec sleep 60\n")
        with pytest.raises(EucaError, match="did not finish"):
            inspect(image, "qcow2", "machine", "x86_64", Limits(seconds=1))
    finally:
        fake.unlink()
        spy.rmdir()


@pytest.mark.parametrize(
    ("format", "kind", "architecture", "says"),
    [
        ("vmdk", "machine", "x86_64", "format is one of raw, qcow2"),
        ("raw", "disk", "x86_64", "kind is one of"),
        ("raw", "machine", "vax", "architecture is one of"),
        ("qcow2", "kernel", "x86_64", "has the format raw"),
    ],
)
def test_what_is_declared_must_be_known(
    format: str, kind: str, architecture: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(EucaError, match=says):
        inspect(tmp_path / "never-opened", format, kind, architecture)
