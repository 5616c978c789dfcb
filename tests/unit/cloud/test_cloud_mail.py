"""Mail reaches a real mail server once: over TLS, after a log-in, after an outage, across restarts; and is kept where none is."""

from __future__ import annotations

import email
import email.policy
import itertools
import os
import signal
import ssl
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from test_cloud_signup import refused
from town import ANN, Town

from euca_rpc.clock import HOUR, MINUTE
from euca_rpc.cloud import mail as letters
from euca_rpc.cloud import pages
from euca_rpc.cloud.changes import Outcome
from euca_rpc.cloud.mail import BUILT_IN
from euca_rpc.config import Mail as Settings
from euca_rpc.daemons.mailer import Mailer, Server
from euca_rpc.errors import EucaError
from euca_rpc.types import Mail


class Site:
    """A mail server of this test: it keeps what it took, and may refuse."""

    def __init__(self, directory, port=0, *, tls=None, login=None, starttls=None):
        self.taken, self.refuse, self.tls_seen = [], {}, []
        named = {}
        if login:
            named = {
                "authenticator": lambda *a: AuthResult(success=a[-1] == LoginPassword(*login), handled=False),
                "auth_required": True,
            }
        if starttls:
            named |= {"tls_context": starttls, "require_starttls": True}
        else:
            named |= {"auth_require_tls": False}
        self.controller = Controller(
            self, hostname="127.0.0.1", port=port or free_port(), ssl_context=tls, **named
        )
        self.controller.start()
        self.port = self.controller.port

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.tls_seen.append(session.ssl is not None)
        self.taken.append((envelope.rcpt_tos, envelope.content))
        return "250 taken"

    def messages(self):
        return [email.message_from_bytes(content, policy=email.policy.SMTP) for _, content in self.taken]

    def stop(self):
        self.controller.stop()


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def site(tmp_path):
    opened = Site(tmp_path)
    yield opened
    opened.stop()


def mailer(town, port, **said):
    cloud = town.bench.cloud
    named = {
        "server": "127.0.0.1",
        "port": port,
        "security": "none",
        "sender": "euca@example.org",
        "timeout_seconds": 5.0,
    }
    server = Server(Settings(**{**named, **said}), lambda: "let me in")
    office = cloud.office
    return Mailer(
        cloud.store,
        cloud.journal,
        office.reception.post,
        cloud.settings.office.mail,
        server,
        town.bench.clock,
        "cloud-1",
    )


@pytest.fixture
def town(bench):
    return Town(bench).open()


def test_a_mail_goes_out_once_as_it_was_written(town, site):
    town.ask(
        profile=replace(ANN, full_name="Änn Exemplar", project_description="$link $$ ${cloud}\nline two")
    )
    assert mailer(town, site.port).send_due()
    assert mailer(town, site.port).send_due()
    (message,) = site.messages()
    assert message["To"] == "admin@example.org"
    assert message["From"] == "euca@example.org"
    assert message["Message-ID"].endswith("@cloud-1>")
    assert message["Subject"] == "[Cloud One] ann asks for an account (ann@example.org)"
    text = message.get_content().replace("\r\n", "\n")
    assert "Änn Exemplar" in text
    assert "$link $$ ${cloud}\nline two" in text  # what people typed is not a template
    assert town.mails() == []
    assert [e.kind for e in town.events("mail.")] == ["mail.sent"]


def certificate(directory):
    """Of a mail server on this host, signed by itself."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (directory / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "key.pem").write_bytes(key.private_bytes(*form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context, str(directory / "cert.pem")


@pytest.mark.filterwarnings(
    "ignore:Requiring AUTH"
)  # TLS goes all the way down, which the test server does not see
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_tls_and_log_in(town, tmp_path, security):
    context, authority = certificate(tmp_path)
    how = {"tls": context} if security == "tls" else {"starttls": context}
    site = Site(tmp_path, login=(b"euca", b"let me in"), **how)
    try:
        town.ask()
        said = {"security": security, "user": "euca", "authority": authority}
        assert not mailer(
            town, site.port, **{**said, "authority": ""}
        ).send_due()  # nobody we trust signed that
        assert "certificate" in town.core.mails.service(town.boss).trouble
        wrong = mailer(town, site.port, **said)
        wrong._server = Server(wrong._server.settings, lambda: "wrong")
        assert not wrong.send_due()
        assert "535" in town.core.mails.service(town.boss).trouble
        assert len(town.mails()) == 1
        assert mailer(town, site.port, **said).send_due()
        assert site.tls_seen == [security == "starttls"]  # that of "tls" lies below what the server sees
        assert len(site.taken) == 1
    finally:
        site.stop()


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_a_server_that_offers_no_tls_gets_neither_the_password_nor_a_mail(town, tmp_path):
    """As one would whose STARTTLS somebody on the way has taken out."""
    tried = []
    site = Site(tmp_path, login=(b"euca", b"let me in"))
    site.controller.SMTP_kwargs["authenticator"] = lambda *told: (
        tried.append(told) or AuthResult(success=True)
    )
    try:
        town.ask()
        assert not mailer(town, site.port, security="starttls", user="euca").send_due()
        assert "STARTTLS" in town.core.mails.service(town.boss).trouble
        assert (site.taken, tried, len(town.mails())) == ([], [], 1)
    finally:
        site.stop()


def test_an_outage_loses_nothing_and_repeats_nothing(town, tmp_path, reopen):
    port = free_port()
    for n in range(3):
        town.ask(f"u{n}")
    assert not mailer(town, port).send_due()
    assert town.core.mails.service(town.boss).trouble
    assert all(m.attempts == 0 for m, _, _ in town.mails())
    town.restart(reopen)
    site = Site(tmp_path, port)
    town.ask("u3")
    assert mailer(town, port).send_due()
    town.restart(reopen)
    assert mailer(town, port).send_due()
    site.stop()
    ids = [m["Message-ID"] for m in site.messages()]
    assert len(ids) == len(set(ids)) == 4
    town.bench.cloud.store.close()


def test_a_crash_between_the_servers_word_and_the_commit_repeats_the_same_message(town, site, monkeypatch):
    town.ask()

    def crash(mail):
        raise KeyboardInterrupt

    monkeypatch.setattr(letters, "sent", crash)
    with pytest.raises(KeyboardInterrupt):
        mailer(town, site.port).send_due()
    monkeypatch.undo()
    assert mailer(town, site.port).send_due()
    first, second = site.messages()
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]


@pytest.mark.parametrize("point", range(1, 8))
def test_killed_at_any_commit_nothing_is_lost_and_only_an_unwritten_250_is_repeated(
    town, site, reopen, point
):
    """SIGKILL at the first, second … point around the commits that remove three mails: odd ones lie before a commit."""
    for n in range(3):
        town.ask(f"u{n}")
    town.bench.cloud.store.close()
    child = os.fork()
    if child == 0:
        try:
            town.restart(reopen)
            met = itertools.count(1)
            town.bench.cloud.journal._crash = lambda where: (
                os.kill(os.getpid(), signal.SIGKILL) if next(met) == point else None
            )
            mailer(town, site.port).send_due()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL) == (point <= 6)
    before = Counter(m["Message-ID"] for m in site.messages())
    assert sum(before.values()) == min((point + 1) // 2, 3)
    town.restart(reopen)
    assert mailer(town, site.port).send_due()
    taken = Counter(m["Message-ID"] for m in site.messages())
    assert len(taken) == 3
    assert sum(taken.values()) == (4 if point in (1, 3, 5) else 3)
    assert town.mails() == []
    town.bench.cloud.store.close()


def test_a_refused_mail_holds_up_no_other_and_is_tried_again_later_and_later(town, site):
    town.approve("ann")
    site.refuse = {"ann@example.org": "550 no such user"}
    run = mailer(town, site.port)
    assert run.send_due()
    assert len(site.taken) == 1  # the administrator's
    (left,) = pages.mails(town.bench.cloud.store)
    assert (left.kind, left.attempts) == ("approved", 1)
    assert "550 no such user" in left.trouble
    pauses = []
    while left.next_try is not None:
        pauses.append(left.next_try - town.bench.clock.now())
        assert run.send_due()  # too early: not tried
        assert pages.mails(town.bench.cloud.store) == [left]
        town.bench.clock.advance(pauses[-1])
        run.send_due()
        (left,) = pages.mails(town.bench.cloud.store)
    assert pauses[:4] == [MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE]
    assert pauses[-1] == 4 * HOUR
    assert sum(pauses) <= 5 * 24 * HOUR
    assert len(town.events("mail.given_up")) == 1
    site.refuse = {}
    run.send_due()
    assert len(site.taken) == 1
    town.core.mails.retry(town.boss)
    run.send_due()
    assert len(site.taken) == 2


def test_the_thread_sends_by_itself_what_is_queued(town, site):
    run = mailer(town, site.port)
    run.start()
    try:
        town.ask()
        until = time.monotonic() + 10
        while not site.taken and time.monotonic() < until:
            time.sleep(0.02)
        assert len(site.taken) == 1
    finally:
        run.stop()
    assert "mailer" not in {t.name for t in threading.enumerate()}


def test_without_a_server_mails_are_kept_and_shown_to_administrators(town):
    inside = town.activate()
    api = town.core.mails
    assert api.service(town.boss).server == ""
    first = api.waiting(town.boss, limit=1)
    rest = api.waiting(town.boss, after=first.next)
    kinds = [m.kind for m in (*first.rows, *rest.rows)]
    assert kinds == ["request", "approved"]
    assert rest.next == ""
    letter = api.show(town.boss, rest.rows[0].id)
    assert "https://cloud.example.org:8443/activate?token=" in letter.text
    assert town.events("mail.shown")[0].subject == letter.line.id
    api.drop(town.boss, letter.line.id)
    assert refused(api.show, town.boss, letter.line.id) == "mail_not_found"
    assert refused(api.waiting, town.boss, after="x") == "page_token_invalid"
    for verb, args in (
        (api.service, ()), (api.waiting, ()), (api.show, ("m-1",)), (api.retry, ()), (api.drop, ("m-1",)),
        (api.templates, ()), (api.set_template, ("request", "a", "b")),
    ):  # fmt: skip
        assert refused(verb, inside.present.caller, *args) == "denied"


# --------------------------------------------------------------------------------------------------- templates
@pytest.mark.parametrize(
    ("kind", "subject", "text", "says"),
    [
        ("nothing", "a", "b", "no template"),
        ("recover", "", "$link", "the subject must be one line"),
        ("recover", "a\nBcc: x@example.org", "$link", "the subject must be one line"),
        ("recover", "a", "", "the text must have"),
        ("recover", "a", "no way", "the text needs the word $link"),
        ("recover", "$password", "$link", "unknown word $password"),
        ("recover", "a", "$link costs $ 5", "write $$"),
        ("request", "a", "$approve_link", "needs the word $reject_link"),
    ],
)
def test_templates_that_are_not_taken(town, kind, subject, text, says):
    with pytest.raises(EucaError, match="(?i)" + says.replace("$", r"\$")) as error:
        town.core.mails.set_template(town.boss, kind, subject, text)
    assert error.value.symbol == "parameter_invalid"


def test_a_changed_template_is_used_and_the_built_in_one_comes_back(town, reopen):
    town.core.mails.set_template(
        town.boss, "request", "Neu: $user_name", "$$5 für $approve_link oder $reject_link"
    )
    town.restart(reopen)
    town.ask()
    _, subject, text = town.mails("request")[0]
    assert subject == "Neu: ann"
    assert text.startswith("$5 für https://cloud.example.org:8443/admin/requests/")
    changed = {t.kind: t.changed for t in town.core.mails.templates(town.boss)}
    assert changed == {kind: kind == "request" for kind in BUILT_IN}
    town.core.mails.set_template(town.boss, "request", "", "")
    assert not any(t.changed for t in town.core.mails.templates(town.boss))
    town.bench.cloud.store.close()


@pytest.mark.parametrize("kind", BUILT_IN)
def test_the_built_in_templates_obey_the_rules_for_templates(kind):
    letters._check_template(BUILT_IN[kind], BUILT_IN[kind].subject, BUILT_IN[kind].text)


def test_nothing_that_people_typed_makes_a_header(town, site):
    """Names are checked when they come in; a row that got past that still makes no header."""
    cloud = town.bench.cloud
    words = {"user_name": "ann\r\nBcc: everybody@example.org", "full_name": "x\x0bY", "email": "e"}
    row = cloud.office.reception.post.letter(cloud.journal.view, 1, "request", "admin@example.org", words)
    cloud.journal.do(lambda view, now: Outcome((row,)))
    assert mailer(town, site.port).send_due()
    ((recipients, content),) = site.taken
    assert recipients == ["admin@example.org"]
    message = email.message_from_bytes(content)
    assert message["Bcc"] is None
    assert "Bcc: everybody" in str(email.header.make_header(email.header.decode_header(message["Subject"])))


def test_an_address_that_is_none_is_refused_by_itself(town, site):
    cloud = town.bench.cloud
    row = cloud.office.reception.post.letter(cloud.journal.view, 1, "recover", "a@b\nBcc: c@d", {})
    cloud.journal.do(lambda view, now: Outcome((row,)))
    assert "$" not in town.mails("recover")[0][2]  # a word that nobody gave is empty
    town.ask()
    assert mailer(town, site.port).send_due()
    assert len(site.taken) == 1
    (left,) = pages.mails(cloud.store)
    assert isinstance(left, Mail)
    assert left.attempts == 1
