"""The command line's own promises: what it shows, what it refuses, how it ends."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from euca_rpc.cli import frame, join, nodes, people, up
from euca_rpc.cli import init as init_module
from euca_rpc.cli.doctor import examine
from euca_rpc.cli.lists import paragraphs
from euca_rpc.cli.main import WORDS, euca
from euca_rpc.cli.output import Output, clean
from euca_rpc.cloud.passwords import Passwords
from euca_rpc.cloud.signup import FIRST_LOGIN
from euca_rpc.cloud.store import Store
from euca_rpc.config import Config, load
from euca_rpc.daemons import programs
from euca_rpc.errors import SYMBOLS, EucaError
from euca_rpc.ids import SystemIds
from euca_rpc.types import Password, Setting, User
from euca_rpc.wire.enrol import EnrolToken


def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The real command, as a shell would start it."""
    command = [sys.executable, "-m", "euca_rpc.cli.main", *words]
    environment = {name: value for name, value in os.environ.items() if name != "EUCA_HOME"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("home")
    run("init", "--home", str(where), "--zones", "east,west", "--port", "31000")
    return where


# ------------------------------------------------------------------------------------------------ what is shown
@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;new title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone", "gone"),
        ("\x1bPq#0\x1b\\after", "after"),
        ("\x1bcreset", "reset"),
        ("\x1b(Bset", "set"),
        ("over\rwrite", "overwrite"),
        ("back\b\bspace", "backspace"),
        ("unfinished \x1b]0;swallows", "unfinished "),
        ("bidi \u202eevil", "bidi evil"),
        ("two\nlines", "two lines"),
        ("Grüße 漢字 🙂", "Grüße 漢字 🙂"),
    ],
)
def test_nothing_that_a_terminal_acts_on_is_shown(given_: str, shown: str) -> None:
    assert clean(given_) == shown


@given(
    st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\x1b\x9b[];?0m\x07\\P_^X\n")), max_size=60)
)
def test_no_text_whatever_gets_a_control_character_through(text: str) -> None:
    for lines in (False, True):
        shown = clean(text, lines=lines)
        allowed = "\n\t" if lines else ""
        assert all(c >= " " and not "\x7f" <= c <= "\x9f" for c in shown if c not in allowed)
        assert clean(shown, lines=lines) == shown


@given(st.text(alphabet="abc\n\x1b[];0m", max_size=40))
def test_an_escape_never_swallows_the_next_line(text: str) -> None:
    assert clean(text + "\nkept", lines=True).endswith("kept")


def test_a_table_cell_with_escapes_and_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    Output().rows([{"name": "[red]x[/red]\x1b[2J", "n": 1}])
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert "\x1b" not in out


def test_json_is_one_document_and_steps_go_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    with output.step("work"):
        pass
    output.say("a remark")
    output.rows([{"a": 1}])
    captured = capsys.readouterr()
    assert json.loads(captured.out) == [{"a": 1}]
    assert "work" in captured.err


def test_a_failed_step_says_so_and_passes_the_error_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="x"), Output().step("work"):
        raise ValueError("x")
    assert "failed" in capsys.readouterr().out


def test_an_explanation_is_paragraphs() -> None:
    story = {
        "subject": "i-1",
        "why": "no room",
        "ruled_out": [{"target": "a/h", "reason": "full"}],
        "empty": "",
    }
    assert paragraphs(story) == [
        "subject: i-1",
        "why: no room",
        "ruled out:",
        "  - target: a/h",
        "    reason: full",
    ]


# ---------------------------------------------------------------------------------------------- how it is called
@pytest.mark.parametrize("word", WORDS)
def test_every_word_has_help_with_examples_and_both_spellings(word: str) -> None:
    for spelling in {word, word.replace("-", "_"), word.replace("_", "-")}:
        shown = CliRunner().invoke(euca, [spelling, "--help"])
        assert shown.exit_code == 0, shown.output
        assert "--json" in shown.output
    if word not in ("user", "config"):  # groups: their subcommands have them
        assert "Examples:" in shown.output


def test_the_manual_holds_every_command() -> None:
    pages = run("--man").stdout
    for word in [*WORDS, "drain", "fence", "serve"]:
        assert word in pages


def test_json_and_home_may_stand_before_or_after_the_word(home: Path) -> None:
    after = run("config", "show", "--json", "--home", str(home)).stdout
    before = run("--json", "--home", str(home), "config", "show").stdout
    assert json.loads(after) == json.loads(before)
    assert json.loads(after)["listen.port"] == 31000


def test_origins_are_shown(home: Path) -> None:
    shown = json.loads(run("config", "show", "--origin", "--json", "--home", str(home)).stdout)
    assert shown["listen.port"] == {"value": 31000, "origin": "file"}
    assert shown["listen.address"]["origin"] == "default"
    assert shown["home"]["origin"] == "flag"


# ------------------------------------------------------------------------------------------------ how it ends
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_exit_codes(symbol: str) -> None:
    wanted = 2 if symbol == "config_invalid" else 3 if SYMBOLS[symbol] == "unavailable" else 1
    assert frame.exit_code(EucaError(symbol, "x")) == wanted


def test_wrong_use_is_2_nobody_there_is_3_with_a_sentence_and_no_traceback(
    home: Path, tmp_path: Path
) -> None:
    assert "No such command" in run("frobnicate", code=2).stderr
    silent = run("zones", "--home", str(home), code=3)
    assert "euca.cloud" in silent.stderr
    assert "Traceback" not in silent.stderr
    told = json.loads(run("zones", "--json", "--home", str(home), code=3).stdout)
    assert told["error"]["symbol"] == "unreachable"
    assert "holds no administrator's certificate" in run("zones", "--home", str(tmp_path), code=2).stderr


def test_a_misspelt_setting_stops_every_command_by_name(tmp_path: Path) -> None:
    (tmp_path / "euca.toml").write_text("[listen]\nprot = 1\n")
    assert "Did you mean listen.port?" in run("zones", "--home", str(tmp_path), code=2).stderr


# ---------------------------------------------------------------------------------------------------- init
def test_init_makes_everything_once_and_the_code_is_shown_once(tmp_path: Path) -> None:
    home = tmp_path / "cloud"
    made = json.loads(run("init", "--home", str(home), "--zones", "2", "--json").stdout)["made"]
    assert len(made["login_code"]) == 20
    assert made["login_code"].encode() not in (home / "cloud" / "euca.db").read_bytes()
    assert set(made["certificates"]) == {
        "nameserver",
        "cloud",
        "images",
        "admin",
        "cluster/zone-a",
        "cluster/zone-b",
    }
    again = json.loads(run("init", "--home", str(home), "--json").stdout)["made"]
    assert again == {}
    more = json.loads(run("init", "--home", str(home), "--zones", "3", "--json").stdout)["made"]
    assert more["certificates"] == ["cluster/zone-c"]


def test_the_first_steps_can_be_done_without_a_browser(tmp_path: Path) -> None:
    home = tmp_path / "cloud"
    words = ("init", "--home", str(home), "--admin-email", "admin@example.org")
    made = json.loads(run(*words, "--json").stdout)["made"]
    assert "login_code" not in made
    store = Store(home / "cloud" / "euca.db")
    (user,) = store.select(User)
    assert (user.name, user.email, user.is_admin) == ("admin", "admin@example.org", True)
    (password,) = store.select(Password)
    assert Passwords(SystemIds()).verify(made["administrator_password"], password.hash)
    assert store.one(Setting, FIRST_LOGIN) is None
    store.close()
    assert "has its administrator already" in run(*words, code=1).stderr


def test_the_first_password_may_come_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\nmore\n"))
    assert init_module.a_password("stdin") == ("correct horse battery", False)
    config = load(tmp_path / "home", environ={})
    weak = init_module.Administrator("admin@example.org", "admin")
    with pytest.raises(EucaError, match="10 to 200 characters"):
        init_module.prepare(config, Output(as_json=True).step, weak)
    assert not config.database.exists()


def test_secrets_are_readable_by_their_owner_alone(home: Path) -> None:
    secret = [home / "ca" / "ca.key", home / "ticket.key", home / "cloud" / "seal.key"]
    secret += list((home / "identities").glob("*/key.pem"))
    assert len(secret) == 9
    for path in (home, *secret):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_an_interrupted_init_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(tmp_path / "home", environ={})

    def crash(*_: Any, **__: Any) -> str:
        raise RuntimeError("power lost")

    with monkeypatch.context() as patched:
        patched.setattr(init_module, "initialise", crash)
        with pytest.raises(RuntimeError):
            init_module.prepare(config, Output(as_json=True).step)
    assert not config.database.exists()
    made = init_module.prepare(config, Output(as_json=True).step)
    assert made.keys() == {"administrator", "login_code"}
    assert config.database.exists()


def test_init_leaves_a_running_clouds_database_alone(home: Path) -> None:
    before = (home / "cloud" / "euca.db").read_bytes()
    run("init", "--home", str(home))
    assert (home / "cloud" / "euca.db").read_bytes() == before


# ---------------------------------------------------------------------------------------------- what it writes
def test_credentials_are_what_a_shell_and_awscli_read(home: Path, tmp_path: Path) -> None:
    made = {"access_key": "AKX", "secret_key": "s3", "certificate_pem": "CERT", "private_key_pem": "KEY"}
    directory = tmp_path / "it's here"
    files = people.write_credentials(load(home, environ={}), made, directory)
    assert {file.name for file in files} >= {
        "eucarc",
        "config",
        "credentials",
        "euca2-cert.pem",
        "euca2-pk.pem",
    }
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    script = f'. "{directory}/eucarc" && printf "%s|" "$EC2_URL" "$EC2_ACCESS_KEY" "$EC2_SECRET_KEY" "$(cat "$EC2_CERT")"'
    script += (
        ' "$(cat "$EC2_PRIVATE_KEY")" "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "$AWS_ENDPOINT_URL_EC2"'
    )
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.split("|")
    url = "http://127.0.0.1:31000/services/Eucalyptus"
    assert said[:8] == [url, "AKX", "s3", "CERT", "KEY", "AKX", "s3", url]


def test_awscli_takes_endpoint_region_and_keys_from_the_profile(home: Path, tmp_path: Path) -> None:
    made = {"access_key": "AKX", "secret_key": "s3"}
    people.write_credentials(load(home, environ={}), made, tmp_path)
    script = (
        "import botocore.session as b; c = b.Session().create_client('ec2');"
        "k = c._request_signer._credentials; print(c.meta.endpoint_url, c.meta.region_name, k.access_key, k.secret_key)"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    assert said.stdout.split() == [
        "http://127.0.0.1:31000/services/Eucalyptus",
        "eucalyptus",
        "AKX",
        "s3",
    ]


# ------------------------------------------------------------------------------------------------ what it reads
@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ('NODES=" vm-container-0-0 vm-container-0-1"', ["vm-container-0-0", "vm-container-0-1"]),
        ("NODES='A b'\n", ["a", "b"]),
        ("# NODES=old\nexport NODES=one\n", ["one"]),
        ('NODES="a"\nNODES="b c b"', ["b", "c"]),
        ("OTHER=x", []),
    ],
)
def test_a_nodes_list_of_1_0_is_understood(text: str, hosts: list[str]) -> None:
    assert nodes.nodes_list(text) == hosts


@pytest.mark.parametrize("name", ["host", "zone/", "/host", "Zone/host", "zone/ho st", "a/b/c"])
def test_a_node_is_zone_and_host(name: str) -> None:
    shown = CliRunner().invoke(euca, ["node", "drain", name])
    assert shown.exit_code == 2
    assert "is not ZONE/HOST" in shown.output


@pytest.mark.parametrize(
    ("text", "zones"),
    [("2", ("zone-a", "zone-b")), ("east, west", ("east", "west")), (None, None)],
)
def test_zones_are_a_number_or_names(text: str | None, zones: tuple[str, ...] | None) -> None:
    assert init_module.zone_names(text) == zones


# ------------------------------------------------------------------------------------------------ what up starts
def config_for(tmp_path: Path, **flags: Any) -> Config:
    return load(tmp_path, {key.replace("__", "."): value for key, value in flags.items()}, {})


def test_every_daemon_of_an_up_has_a_port_of_its_own(tmp_path: Path) -> None:
    config = config_for(tmp_path, up__zones=("a", "b", "c"), up__nodes=5, node__hypervisor="simulated")
    every = programs.controllers(config)
    every += [programs.node_program(config, *node) for node in programs.every_node(config)]
    argvs = [list(program.argv) for program in every]
    ports = [argv[argv.index("--listen-port") + 1] for argv in argvs if "--listen-port" in argv]
    fixed = {str(config.port(offset)) for offset in range(6)}
    assert len(ports) == 3 + 15 == len(set(ports) - fixed)
    assert len({program.name for program in every}) == 3 + 3 + 15


def test_nodes_on_one_machine_together_offer_no_more_than_it_has(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    for count in (1, 2, 3, 7):
        cores, megabytes, _ = programs.share(config, count)
        assert megabytes * count <= memory
        assert cores * count <= max(os.cpu_count() or 1, count)


def test_real_guests_run_inside_a_host_of_their_own() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # as a socket's path has to be
        config = config_for(Path(short), node__hypervisor="qemu")
        argv = list(programs.node_program(config, "zone-a", "host-1").argv)
    assert argv[1:3] == ["-m", "euca_rpc.host"]
    assert argv[argv.index("--") + 1 :][:3] == [sys.executable, "-m", "euca_rpc.cli.main"]


def neighbours(count: int) -> int:
    """The first of so many free ports, below those that outgoing connections are given."""
    while True:
        base = random.randrange(12_000, 30_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for port in range(base, base + count):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            return base


def test_up_looks_at_its_ports_before_it_makes_anything(tmp_path: Path) -> None:
    base = neighbours(60)
    port = base + 3
    with socket.create_server(("127.0.0.1", port)):
        options = ("--home", str(tmp_path / "new"), "--port", str(base), "--hypervisor", "simulated")
        done = run("up", *options, code=1)
    assert f"Port {port} of 127.0.0.1 cannot be had" in done.stderr
    assert "--port" in done.stderr
    assert not (tmp_path / "new" / "ca").exists()


def test_a_token_tells_a_new_host_where_the_name_server_is_and_it_is_remembered(tmp_path: Path) -> None:
    one = frame.Invocation(home=str(tmp_path / "host"))
    token = EnrolToken("0" * 32, "0" * 64, "cloud.example.org", 9005).text
    join.configured(one, token, None, "192.0.2.7", None)
    again = load(tmp_path / "host", environ={})
    assert again.nameserver == ("cloud.example.org", 9002)
    assert again.advertised == "192.0.2.7"


def test_a_second_up_of_the_same_home_is_refused(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    with up.only_one(config):
        second = "from euca_rpc.cli.up import only_one; from euca_rpc.config import load\n"
        second += f"with only_one(load({str(tmp_path)!r})): pass"
        done = subprocess.run([sys.executable, "-c", second], capture_output=True, text=True)
    assert "is up already" in done.stderr


# -------------------------------------------------------------------------------------------------- the doctor
def test_the_doctor_finds_what_was_broken_and_says_what_to_do(tmp_path: Path) -> None:
    config = config_for(tmp_path / "sick", listen__port=30000, node__hypervisor="simulated")
    assert [f.check for f in examine(config) if not f.ok] == ["home"]
    init_module.prepare(config, Output(as_json=True).step)
    assert [f for f in examine(config) if not f.ok] == []
    config.home.chmod(0o755)
    (config.identity("cloud") / "cert.pem").write_text("nonsense")
    (config.run / "images.pid").write_text("1 1\n")
    wrong = {finding.check: finding.advice for finding in examine(config) if not finding.ok}
    assert wrong.keys() == {"home", "certificate cloud", "daemon images"}
    assert wrong["home"] == f"chmod 700 {config.home}"
    assert "enrol again" in wrong["certificate cloud"]
