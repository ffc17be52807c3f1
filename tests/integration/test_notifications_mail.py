"""E-mail of how executions end, through a real mail server."""

import asyncio
import email
import email.policy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import nbformat
import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from nbformat.v4 import new_code_cell, new_notebook, new_output
from pydantic import SecretStr

from pressroom.notifications import delivery, report
from pressroom.notifications.schemas import Channel, Event


class MailServer:
    """What a mail server got, and what it says to receivers and to messages."""

    def __init__(self) -> None:
        self.got: list[Envelope] = []
        self.receiver_answer = "250 OK"
        self.message_answer = "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if self.receiver_answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.receiver_answer

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        self.got.append(envelope)
        return self.message_answer

    def message(self) -> EmailMessage:
        """The one that it got. (No property: the server looks at all that its handler has.)"""
        [envelope] = self.got
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message


@asynccontextmanager
async def serving(handler: MailServer, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[int]:
    """The server on a free port of loopback, which is given."""
    loop = asyncio.get_running_loop()
    options |= {"data_size_limit": 2**26, "hostname": "mail.test", "loop": loop}
    listening = await loop.create_server(lambda: SMTP(handler, **options), "127.0.0.1", 0, ssl=tls)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def use(teller: Any, url: str) -> None:
    teller.settings.smtp_url = SecretStr(url)
    teller.settings.mail_from = "Pressroom <reports@example.com>"


@pytest.fixture
async def mail(teller: Any) -> AsyncIterator[MailServer]:
    """A mail server that the service uses."""
    server = MailServer()
    async with serving(server) as port:
        use(teller, f"smtp://127.0.0.1:{port}")
        yield server


def executed(path: Path, *cells: Any, execution_id: int = 1) -> Path:
    """An output that bears the mark of an execution, the first one of the test."""
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=list(cells), metadata={"pressroom": {"execution_id": execution_id}}), path)
    return path


def said(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return part.get_content().replace("\r\n", "\n")


async def told(teller: Any, execution: Any, event: Event, target: str = "ana@example.com") -> Any:
    await teller.subscribe(target, channel=Channel.EMAIL)
    await teller.announce(execution, event)
    await teller.work()
    [delivered] = await teller.deliveries()
    return delivered


async def test_success_carries_the_report_and_a_summary(teller: Any, mail: MailServer, home: Path) -> None:
    teller.settings.public_url = "https://pressroom.example.com"
    cell = new_code_cell("print('x')", outputs=[new_output("stream", text="revenue: 42\n")])
    output = executed(home / "executions" / "out.ipynb", cell)
    notebook_id = await teller.notebook(home / "sales.ipynb", "Verkäufe")
    execution = await teller.execution(
        home / "sales.ipynb", output_path=str(output), notebook_id=notebook_id, execution_time_seconds=7
    )
    delivered = await told(teller, execution, Event.SUCCEEDED)
    assert (delivered.status, delivered.detail) == ("delivered", None)
    message = mail.message()
    assert mail.got[0].rcpt_tos == ["ana@example.com"]
    assert mail.got[0].mail_from == "reports@example.com"
    assert message["Subject"] == "Verkäufe succeeded"
    assert message["From"] == "Pressroom <reports@example.com>"
    assert message["Message-ID"] == f"<pressroom-delivery-{delivered.id}@example.com>"
    for kind in ("plain", "html"):
        text = said(message, kind)
        assert "7 s" in text
        assert "EMEA" in text
        assert str(home / "sales.ipynb") in text
        assert f"https://pressroom.example.com/db/executions/{execution.id}/html" in text
    [attached] = list(message.iter_attachments())
    assert attached.get_filename() == f"Verkäufe-{execution.id}.html"
    assert attached.get_content_type() == "text/html"
    assert "revenue: 42" in attached.get_content()


async def test_failure_shows_the_failing_cell_and_what_it_raised(teller: Any, mail: MailServer, home: Path) -> None:
    trace = ["\x1b[0;31mValueError\x1b[0m  Traceback", "\x1b[1;32m      1\x1b[0m no <sales> in May"]
    failing = new_code_cell(
        "check(sales['May'])", outputs=[new_output("error", ename="E", evalue="v", traceback=trace)]
    )
    output = executed(home / "executions" / "out.ipynb", new_code_cell("1"), failing)
    failure = {"reason": "cell_failed", "cell_index": 1, "ename": "ValueError", "evalue": "no <sales> in May"}
    execution = await teller.execution(
        home / "sales.ipynb", status="failed", failure=failure, output_path=str(output), error_message="Cell 2 failed."
    )
    await told(teller, execution, Event.FAILED)
    message = mail.message()
    assert message["Subject"] == "sales failed"
    text = said(message, "plain")
    assert "Cell 2, which failed:\n\ncheck(sales['May'])" in text
    assert "ValueError  Traceback\n      1 no <sales> in May" in text
    assert "Cell 2 failed." in text
    html = said(message, "html")
    assert "no &lt;sales&gt; in May" in html
    assert "\x1b" not in text + html
    assert list(message.iter_attachments()) == []


async def test_an_output_that_cannot_be_read_is_said_so(teller: Any, mail: MailServer, home: Path) -> None:
    execution = await teller.execution(home / "sales.ipynb", output_path=str(home / "gone.ipynb"))
    delivered = await told(teller, execution, Event.SUCCEEDED)
    assert delivered.status == "delivered"
    assert "There is no file" in said(mail.message(), "plain")
    assert list(mail.message().iter_attachments()) == []


@pytest.mark.parametrize("event", [Event.SUCCEEDED, Event.FAILED])
async def test_the_output_of_a_later_execution_is_not_sent_as_that_of_an_earlier(
    teller: Any, mail: MailServer, home: Path, event: Event
) -> None:
    output = executed(home / "out.ipynb", new_code_cell("print('of the later one')"), execution_id=2)
    failure = {"reason": "cell_error", "cell_index": 0} if event is Event.FAILED else None
    status = "failed" if event is Event.FAILED else "success"
    execution = await teller.execution(home / "sales.ipynb", output_path=str(output), status=status, failure=failure)
    delivered = await told(teller, execution, event)
    assert delivered.status == "delivered"
    assert "was replaced by execution 2" in said(mail.message(), "plain")
    assert b"of the later one" not in mail.message().as_bytes()
    assert "of the later one" not in said(mail.message(), "html")
    assert list(mail.message().iter_attachments()) == []


async def test_no_file_outside_the_users_places_is_sent(teller: Any, mail: MailServer, home: Path) -> None:
    secret = executed(home.parent / "bo" / "secret.ipynb", new_code_cell("the secret of bo"))
    execution = await teller.execution(home / "sales.ipynb", output_path=str(secret))
    await told(teller, execution, Event.SUCCEEDED)
    assert b"the secret of bo" not in bytes(mail.message())
    assert list(mail.message().iter_attachments()) == []
    assert "lies outside" in said(mail.message(), "plain")


async def test_a_report_over_its_limit_is_left_out(
    teller: Any, mail: MailServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert report.REPORT_BYTES == 10 * 2**20
    monkeypatch.setattr(report, "REPORT_BYTES", 200_000)
    output = executed(home / "executions" / "out.ipynb", new_code_cell("1"))
    await told(teller, await teller.execution(home / "sales.ipynb", output_path=str(output)), Event.SUCCEEDED)
    assert list(mail.message().iter_attachments()) == []
    assert "The report is not attached" in said(mail.message(), "plain")


@pytest.mark.parametrize("event", [Event.CANCELLED, Event.LATE])
async def test_other_events_are_told_in_a_few_words(teller: Any, mail: MailServer, event: Event) -> None:
    execution = await teller.execution(status="cancelled" if event is Event.CANCELLED else "running")
    await told(teller, execution, event)
    assert mail.message()["Subject"] == {Event.CANCELLED: "sales was cancelled", Event.LATE: "sales is late"}[event]


INJECTED = "Sales\r\nBcc: eve@example.com\r\n\r\n<script>x</script>\u2028\x00"


async def test_nothing_that_people_wrote_becomes_a_header(teller: Any, mail: MailServer, home: Path) -> None:
    name = INJECTED.replace("\x00", "")
    notebook_id = await teller.notebook(home / "sales.ipynb", name)
    output = executed(home / "executions" / "out.ipynb", new_code_cell("1"))
    execution = await teller.execution(
        "/home/ana/x\r\nCc: eve@example.com.ipynb",
        notebook_id=notebook_id,
        output_path=str(output),
        error_message=name,
        parameters_used={"a\r\nBcc": name},
    )
    await told(teller, execution, Event.SUCCEEDED)
    message = mail.message()
    assert mail.got[0].rcpt_tos == ["ana@example.com"]
    assert message["Bcc"] is None
    assert message["Cc"] is None
    assert "\\r\\nBcc: eve@example.com" in message["Subject"]
    assert "<script>" not in said(message, "html")


async def test_an_address_that_is_none_is_not_written_to(teller: Any, mail: MailServer) -> None:
    delivered = await told(teller, await teller.execution(), Event.LATE, "ana@example.com\r\nBcc: eve@example.com")
    assert delivered.status == "pending"
    assert mail.got == []


@pytest.mark.parametrize(("answer", "status"), [("550 no such user", "failed"), ("450 try later", "pending")])
async def test_a_refused_receiver_is_tried_again_where_that_may_help(
    teller: Any, mail: MailServer, answer: str, status: str
) -> None:
    mail.receiver_answer = answer
    delivered = await told(teller, await teller.execution(), Event.LATE)
    assert delivered.status == status
    assert answer in delivered.detail


@pytest.mark.parametrize(("answer", "status"), [("554 spam", "failed"), ("452 no room", "pending")])
async def test_a_refused_message_too(teller: Any, mail: MailServer, answer: str, status: str) -> None:
    mail.message_answer = answer
    delivered = await told(teller, await teller.execution(), Event.LATE)
    assert (delivered.status, answer in delivered.detail) == (status, True)


async def test_a_mail_server_that_is_not_there_is_tried_again_without_telling_the_password(teller: Any) -> None:
    use(teller, "smtp://ana:s3cret@127.0.0.1:9")
    delivered = await told(teller, await teller.execution(), Event.LATE)
    assert delivered.status == "pending"
    assert "s3cret" not in delivered.detail


class _Accounts:
    def __call__(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        known = (data.login, data.password) == (b"ana", b"p@ss/word")
        return AuthResult(success=known, handled=False)


@pytest.mark.parametrize(("password", "status"), [("p%40ss%2Fword", "delivered"), ("wrong", "pending")])
async def test_it_signs_in_over_starttls(
    teller: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str, status: str
) -> None:
    context = _trusted_by_the_service(tmp_path, monkeypatch)
    server = MailServer()
    options = {"tls_context": context, "require_starttls": True, "auth_required": True, "authenticator": _Accounts()}
    async with serving(server, **options) as port:
        use(teller, f"smtp://ana:{password}@localhost:{port}?starttls=always")
        delivered = await told(teller, await teller.execution(), Event.LATE)
    assert delivered.status == status
    assert status == "delivered" or "535" in delivered.detail
    assert len(server.got) == (status == "delivered")


async def test_smtps_is_encrypted_from_the_start(teller: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = _trusted_by_the_service(tmp_path, monkeypatch)
    server = MailServer()
    async with serving(server, context) as port:
        use(teller, f"smtps://localhost:{port}")
        assert (await told(teller, await teller.execution(), Event.LATE)).status == "delivered"
    assert len(server.got) == 1


async def test_nothing_is_sent_in_the_clear_where_encryption_is_asked_for(teller: Any, mail: MailServer) -> None:
    teller.settings.smtp_url = SecretStr(teller.settings.smtp_url.get_secret_value() + "?starttls=always")
    delivered = await told(teller, await teller.execution(), Event.LATE)
    assert delivered.status == "pending"
    assert mail.got == []


def _trusted_by_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The context of a server on localhost, whose authority the service trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    delivery.trusted.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context
