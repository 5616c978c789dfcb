"""Uploading an image through the page, to a real image server; and every way of doing it wrong."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import random
import re
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from web_scene import Browser, ImageStore, Scene

from euca_rpc.errors import EucaError
from euca_web.incoming import MOST_SMALL, read_form

PATH = "/admin/images/add"
BORDER = "----border7"
DISK = random.Random(11).randbytes(3 << 20)
FIELDS = {"name": "debian", "kind": "machine", "format": "raw", "architecture": "x86_64", "public": "1"}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    root = tmp_path_factory.mktemp("uploads")
    scene = Scene(root / "scene", upload_gb=1)
    scene.store = ImageStore(root / "images", scene)  # type: ignore[attr-defined]
    yield scene
    scene.close()
    scene.store.close()  # type: ignore[attr-defined]


def form(fields: dict[str, str], file: bytes | None, border: str = BORDER, end: str = "--\r\n") -> bytes:
    """As browsers write it, the file last."""
    parts = [
        f'--{border}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if file is not None:
        head = f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="disk.img"\r\n'
        parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + file + b"\r\n")
    return b"".join(parts) + f"--{border}{end}".encode()


def send(browser: Browser, body: bytes, **headers: str) -> Any:
    said = {"Content-Type": f"multipart/form-data; boundary={BORDER}"}
    return browser.ask("POST", PATH, body, {**said, **{k.replace("_", "-"): v for k, v in headers.items()}})


def upload(browser: Browser, file: bytes | None = DISK, **changes: str) -> Any:
    browser.get(PATH)
    return send(browser, form({"proof": browser.proof, **FIELDS, **changes}, file))


def images(scene: Scene) -> list[Any]:
    return list(scene.core.images.describe(scene.caller("admin")))


@pytest.fixture
def unchanged(town: Any) -> Iterator[None]:
    """What is tried leaves neither an image nor a byte."""
    before, kept = images(town), town.store.kept()
    yield
    assert images(town) == before
    assert town.store.kept() == kept
    until = time.monotonic() + 30
    while (left := list(town.store.blobs.incoming.iterdir())) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left  # one look says both: a request that was broken off may begin there only now


# ----------------------------------------------------------------------------------------------------- the good way
def test_what_is_uploaded_is_inspected_kept_and_can_be_launched(town: Any) -> None:
    admin = town.browser("admin")
    answer = upload(admin)
    assert answer.status == 303, answer.shown
    id = answer.location.rpartition("/")[2]
    (image,) = town.core.images.describe(town.caller("admin"), [id])
    assert (image.name, image.sha256, image.bytes) == ("debian", hashlib.sha256(DISK).hexdigest(), len(DISK))
    assert town.store.blobs.path(image.sha256).read_bytes() == DISK
    assert "is there as emi-" in admin.get(answer.location).shown
    assert id in town.browser("ann").get("/launch").text
    events = town.core.history.events(town.caller("admin"), subject=id).rows
    assert [(event.kind, event.actor) for event in events] == [("image.added", "admin")]
    assert events[0].origin.startswith("portal ")


def test_the_script_is_told_where_to_go_instead_of_being_sent_there(town: Any) -> None:
    admin = town.browser("admin")
    admin.get(PATH)
    answer = send(admin, form({"proof": admin.proof, **FIELDS, "name": "b"}, DISK), HX_Request="true")
    assert answer.status == 200
    assert re.fullmatch(r"/images/emi-[0-9a-f]{8}", answer.header("HX-Redirect"))


def test_a_kernel_is_chosen_for_a_machine(town: Any) -> None:
    admin = town.browser("admin")
    kernel = bytearray(4096)
    kernel[0x1FE:0x200], kernel[0x202:0x206] = b"\x55\xaa", b"HdrS"
    made = upload(admin, bytes(kernel), kind="kernel", name="vmlinuz")
    assert made.status == 303, made.shown
    id = made.location.rpartition("/")[2]
    assert f'<option value="{id}"' in admin.get(PATH).text
    (image,) = town.core.images.describe(
        town.caller("admin"), [upload(admin, kernel=id, name="with").location.rpartition("/")[2]]
    )
    assert image.kernel_id == id


def test_the_images_page_disables_enables_and_removes_with_all_bytes(
    town: Any, caplog: pytest.LogCaptureFixture
) -> None:
    admin, ann = town.browser("admin"), town.browser("ann")
    data = random.Random(12).randbytes(1 << 20)
    where = upload(admin, data, name="short-lived").location
    id, sha256 = where.rpartition("/")[2], hashlib.sha256(data).hexdigest()
    assert "short-lived" in admin.get("/admin/images?search=short").shown
    assert admin.get(f"{where}/disable").status == 200
    assert admin.post(f"{where}/disable").location == where
    assert "disabled by admin" in admin.get(where).shown
    assert id not in ann.get("/launch").text
    assert ann.get(where).status == 404
    refused = ann.post("/launch", {"image": id, "type": "m1.small"})
    assert refused.status == 409
    assert "enables it again" in refused.shown
    assert admin.post(f"{where}/enable").status == 303
    assert ann.get(where).status == 200
    assert admin.get(f"{where}/burn").status == 400
    assert town.store.blobs.path(sha256).exists()
    assert admin.post(f"{where}/remove").location == "/admin/images"
    until = time.monotonic() + 30
    while sha256 in town.store.kept() and time.monotonic() < until:
        time.sleep(0.05)
    assert sha256 not in town.store.kept(), caplog.text


def test_a_large_file_is_never_held(town: Any) -> None:
    admin = town.browser("admin")
    admin.get(PATH)
    head = form({"proof": admin.proof, **FIELDS, "name": "large"}, b"")[: -len(f"\r\n--{BORDER}--\r\n")]
    size, piece = 48 << 20, bytes(64 << 10)
    line = _begun(town, admin, len(head) + size + len(BORDER) + 8)
    gc.collect()
    tracemalloc.start()
    try:
        line.sendall(head)
        for _ in range(size // len(piece)):
            line.sendall(piece)
        line.sendall(f"\r\n--{BORDER}--\r\n".encode())
        answer = line.recv(65536)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        line.close()
    assert answer.startswith(b"HTTP/1.1 303"), answer
    assert peak < 8 << 20, f"{peak} bytes at once"


# -------------------------------------------------------------------------------------------------------- attacks
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        (b"QFI\xfb".ljust(4096, b"\0"), {}, "declared raw but begins like qcow2"),
        (b"KDMV".ljust(4096, b"\0"), {}, "begins like vmdk"),
        (DISK, {"format": "qcow2"}, "image was refused"),
        (DISK, {"kind": "kernel"}, "begins like no Linux kernel"),
        (DISK[:1000], {}, "no whole number of 512-byte sectors"),
        (b"", {}, "Choose a file"),
        (None, {}, "Choose a file"),
        (DISK, {"name": ""}, "1 to 128 characters"),
        (DISK, {"name": "x" * 129}, "at most 128"),
        (DISK, {"kind": "floppy"}, "choose one of"),
        (DISK, {"format": "vmdk"}, "choose one of"),
        (DISK, {"kernel": "eki-99999999"}, "does not exist"),
        (DISK, {"kernel": "../../x"}, "no id of a kernel"),
        (DISK, {"kernel": "emi-00000001"}, "no id of a kernel"),
    ],
)
def test_a_wrong_file_or_field_is_refused_on_the_page_of_the_form(
    town: Any, file: bytes | None, changes: dict[str, str], said: str
) -> None:
    answer = upload(town.browser("admin"), file, **changes)
    assert answer.status in (400, 404), answer.shown
    if said != "image was refused":
        assert said in answer.shown
    assert "Upload an image" in answer.shown, "the form again"


@pytest.mark.usefixtures("unchanged")
def test_nobody_else_uploads_and_no_byte_of_theirs_is_read(town: Any) -> None:
    for who, status in (("", 303), ("ann", 403)):
        browser = town.browser(who)
        browser.get("/apply")
        line = _begun(town, browser, 900 << 20)
        line.settimeout(5)
        answer = line.recv(65536)  # it came although nothing of the form was sent
        line.close()
        assert answer.startswith(f"HTTP/1.1 {status}".encode()), answer


@pytest.mark.usefixtures("unchanged")
def test_a_forged_upload_is_refused_before_its_file(town: Any) -> None:
    admin, other = town.browser("admin"), town.browser("bob")
    other.get("/profile")
    admin.get(PATH)
    good = {"proof": admin.proof, **FIELDS}
    for fields, headers in (
        (FIELDS, {}),
        ({**FIELDS, "proof": ""}, {}),
        ({**FIELDS, "proof": other.proof}, {}),
        (good, {"Origin": "https://evil.example"}),
        (good, {"Sec_Fetch_Site": "cross-site"}),
    ):
        answer = send(admin, form(fields, DISK[:4096]), **headers)
        assert answer.status == 403, (fields, headers)
        assert "not sent by a page of this portal" in answer.shown


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--" + BORDER.encode(),
        b"--other\r\n\r\n",
        b"x" * 100_000,
        form(FIELDS, DISK[:4096], end="\r\n"),
        form(FIELDS, DISK[:4096], end="--"),
        form(FIELDS, DISK[:4096]) + b"more",
        form({"x" * 200_000: "y"}, DISK[:4096]),
        form({"name": "x" * 200_000}, DISK[:4096]),
        form({f"f{n}": "" for n in range(100)}, DISK[:4096]),
        form(FIELDS, DISK[:4096]).replace(b'name="name"', b'name="kind"'),
        form(FIELDS, DISK[:4096]).replace(b'; name="name"', b""),
    ],
)
def test_a_form_that_no_browser_sends_is_refused(town: Any, body: bytes) -> None:
    admin = town.browser("admin")
    admin.get(PATH)
    named = b'\r\nContent-Disposition: form-data; name="proof"\r\n\r\n' + admin.proof.encode()
    first = b"--" + BORDER.encode()
    answer = send(admin, (first + named + b"\r\n" + body) if body.startswith(first) else body)
    assert answer.status in (400, 403), answer.shown


@pytest.mark.usefixtures("unchanged")
def test_too_large_is_refused_by_the_head(town: Any) -> None:
    line = _begun(town, town.browser("admin"), (1 << 30) + MOST_SMALL + 1)
    line.settimeout(5)
    assert line.recv(65536).startswith(b"HTTP/1.1 413")
    line.close()
    # less than the portal's limit, more than the image server's: that says so
    admin = town.browser("admin")
    admin.get(PATH)
    head = form({"proof": admin.proof, **FIELDS}, b"")[: -len(f"\r\n--{BORDER}--\r\n")]
    line = _begun(town, admin, len(head) + (65 << 20) + len(BORDER) + 8)
    with contextlib.suppress(OSError):
        line.sendall(head)
        for _ in range(65 << 4):
            line.sendall(bytes(1 << 16))
    line.settimeout(10)
    answer = line.recv(65536)
    line.close()
    assert answer.startswith(b"HTTP/1.1 400"), answer[:200]


@pytest.mark.usefixtures("unchanged")
def test_without_a_length_or_with_another_coding_it_is_no_upload(town: Any) -> None:
    admin = town.browser("admin")
    for said in ("Transfer-Encoding: chunked\r\n", ""):
        line = _line(town)
        line.sendall(_head(town, admin, said).encode() + b"5\r\nhello\r\n0\r\n\r\n")
        line.settimeout(5)
        answer = line.recv(65536)
        assert answer.startswith((b"HTTP/1.1 411", b"HTTP/1.1 403", b"HTTP/1.1 400")), answer
        line.close()


@pytest.mark.usefixtures("unchanged")
def test_who_hangs_up_in_the_middle_leaves_nothing(town: Any) -> None:
    admin = town.browser("admin")
    admin.get(PATH)
    body = form({"proof": admin.proof, **FIELDS}, DISK)
    for cut in (10, 300, 1 << 20, len(body) - 5):
        line = _begun(town, admin, len(body))
        line.sendall(body[:cut])
        time.sleep(0.1)
        line.close()


@pytest.mark.usefixtures("unchanged")
def test_uploads_that_drip_are_cut_and_meanwhile_delay_no_page(
    town: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("euca_rpc.http.flow.PATIENCE", 1.0)
    admin = town.browser("admin")
    admin.get(PATH)
    body = form({"proof": admin.proof, **FIELDS}, DISK)
    lines = [_begun(town, admin, len(body)) for _ in range(12)]  # more than there are threads
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.1):
            for line in lines:
                with contextlib.suppress(OSError):
                    line.sendall(body[:7])

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        began = time.monotonic()
        for _ in range(5):
            assert town.browser("ann").get("/images").status == 200
        assert time.monotonic() - began < 5
        until = time.monotonic() + 30
        while (left := town.portal._listener._flow._under_way) and time.monotonic() < until:
            time.sleep(0.1)
        assert not left, "cut, one after the other"
    finally:
        over.set()
        dripping.join()
        for line in lines:
            line.close()
    assert upload(admin, DISK[:1000]).status == 400, "the threads are free again"


def test_an_image_server_that_is_down_is_said(town: Any, make_scene: Any) -> None:
    scene = make_scene()
    assert upload(scene.browser("admin")).status == 400, "there is none"
    from euca_rpc.daemons.depot import ImageDepot

    depot = town.world.cloud.images._depot
    gone = ImageDepot("https://127.0.0.1:1", depot._contexts.identity)
    scene.world.cloud.images._depot = gone
    answer = upload(scene.browser("admin"))
    assert answer.status == 503
    assert "does not answer" in answer.shown


# ------------------------------------------------------------------------------------------------------- the reader
class Drops:
    """A stream that gives as little as it may."""

    def __init__(self, data: bytes, each: int) -> None:
        self.data, self.each = data, each

    def read(self, size: int) -> bytes:
        given, self.data = self.data[: min(size, self.each)], self.data[min(size, self.each) :]
        return given


@pytest.mark.parametrize("each", [1, 2, 7, 4096, 1 << 20])
@pytest.mark.parametrize("size", [0, 1, 100, 65_536, 65_537])
def test_a_form_is_read_alike_however_it_comes(each: int, size: int) -> None:
    file = (b"\r\n--" + BORDER.encode())[:9] * (size // 9 + 1)
    body = form(FIELDS, file[:size])
    fields, incoming = read_form(Drops(body, each), f"multipart/form-data; boundary={BORDER}", len(body))
    assert dict(fields) == FIELDS
    assert incoming is not None
    assert incoming.size == size
    assert b"".join(incoming.chunks()) == file[:size]


def test_the_last_piece_is_kept_back_until_the_form_is_known_to_end() -> None:
    body = form(FIELDS, b"abc")[:-4] + b"xx\r\n"
    _, incoming = read_form(Drops(body, 100), f"multipart/form-data; boundary={BORDER}", len(body))
    assert incoming is not None
    got = []
    with pytest.raises(EucaError, match="does not end behind its file"):
        got.extend(incoming.chunks())
    assert got == []


def _line(town: Any) -> Any:
    plain = socket.create_connection(("localhost", town.port), timeout=20)
    return town.trust.wrap_socket(plain, server_hostname="localhost")


def _head(town: Any, browser: Browser, said: str) -> str:
    jar = "; ".join(f"{name}={value}" for name, value in browser.jar.items())
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost:{town.port}\r\n"
        + (f"Cookie: {jar}\r\n" if jar else "")
        + f"Content-Type: multipart/form-data; boundary={BORDER}\r\n{said}\r\n"
    )


def _begun(town: Any, browser: Browser, length: int) -> Any:
    line = _line(town)
    line.sendall(_head(town, browser, f"Content-Length: {length}\r\n").encode())
    return line
