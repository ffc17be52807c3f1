"""The mail server, the sender and the public address, as settings."""

import pytest
from pydantic import ValidationError

from pressroom.settings import Settings
from pressroom.smtp import MailServer, is_address, mail_server, mailbox


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail", MailServer("mail", 587, None, None, tls=False, starttls=None)),
        ("smtp://mail:25/?starttls=never", MailServer("mail", 25, None, None, tls=False, starttls=False)),
        ("smtp://a:p%40ss%2F@mail?starttls=always", MailServer("mail", 587, "a", "p@ss/", tls=False, starttls=True)),
        ("smtps://a%40b.c:p@mail", MailServer("mail", 465, "a@b.c", "p", tls=True, starttls=False)),
        ("smtp://[::1]:2525", MailServer("::1", 2525, None, None, tls=False, starttls=None)),
    ],
)
def test_a_mail_server_is_a_url(url: str, server: MailServer) -> None:
    assert mail_server(url) == server
    assert "password" not in repr(server)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail",
        "http://mail",
        "smtp://",
        "smtp://mail:99999",
        "smtp://mail:port",
        "smtp://mail/path",
        "smtp://mail?starttls=maybe",
        "smtp://mail?tls=1",
        "smtps://mail?starttls=always",
        "smtp://:s3cret@mail",
        "smtp://ana:s3cret@[mail",
    ],
)
def test_what_is_no_mail_server_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(smtp_url=url, mail_from="a@example.com")
    assert "s3cret" not in str(refused.value)
    assert refused.value.errors()[0]["loc"] == ("smtp_url",)


def test_a_mail_server_needs_a_sender() -> None:
    with pytest.raises(ValidationError, match="is needed with smtp_url"):
        Settings(smtp_url="smtp://mail")


@pytest.mark.parametrize("sender", ["", "ana", "Ana <ana>", "a@b.c\r\nBcc: x@y.z", "a@b.c, d@e.f", "<>"])
def test_a_sender_is_a_mailbox(sender: str) -> None:
    with pytest.raises(ValidationError, match="is not an e-mail address"):
        Settings(mail_from=sender)


def test_a_sender_may_have_a_name() -> None:
    sender = mailbox('"Reports, daily" <reports@example.com>')
    assert (sender.display_name, sender.addr_spec) == ("Reports, daily", "reports@example.com")


@pytest.mark.parametrize("address", ["ana@example.com", "ana.b+c@mail.example.com", "o'neil@x", "a@1.example"])
def test_what_is_an_address(address: str) -> None:
    assert is_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "a",
        "@x",
        "a@",
        "a@b@c",
        ".a@b",
        "a.@b",
        "a..b@c",
        "a b@c",
        "a@b c",
        "a@b\n",
        "a@-b",
        "a@b.",
        '"a"@b',
        "ä@b",
        "a@" + "b." * 200,
    ],
)
def test_what_is_none(address: str) -> None:
    assert not is_address(address)


def test_the_public_address_has_no_slash_at_its_end() -> None:
    assert Settings(public_url="https://example.com/pressroom/").public_url == "https://example.com/pressroom"
    for wrong in ("example.com", "javascript:x", 'https://example.com/"><script>', "https://example.com\n"):
        with pytest.raises(ValidationError, match="is not an address"):
            Settings(public_url=wrong)
