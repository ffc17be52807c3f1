"""Sends e-mail through the mail server that the settings name."""

import asyncio
import re
import socket
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

import aiosmtplib

from pressroom.notebooks.places import Places
from pressroom.notifications.delivery import trusted
from pressroom.notifications.failures import NotDelivered
from pressroom.notifications.report import Report, report
from pressroom.notifications.service import Telling
from pressroom.settings import Settings
from pressroom.smtp import MailServer, mail_server, mailbox

TIMEOUT_SECONDS = 60.0
"""How long each answer of the mail server may take."""
_PERMANENT = 500


async def send(settings: Settings, places: Places, told: Telling) -> None:
    """Send the e-mail that tells of an event.

    Raises :class:`NotDelivered`; a permanent one where the mail server refuses the receiver or the message for good.
    """
    if settings.smtp_url is None or settings.mail_from is None:
        raise NotDelivered("This service sends no e-mail: PRESSROOM_SMTP_URL names no mail server")
    contents = await asyncio.to_thread(report, settings, places, told)
    message = compose(mailbox(settings.mail_from), told, contents)
    await _hand_in(mail_server(settings.smtp_url.get_secret_value()), message)


def compose(sender: Address, told: Telling, contents: Report) -> EmailMessage:
    """The message: text and HTML, and the report as a page beside them.

    Its id is the delivery's, the same in every try. No text can become a header: what is not printable was escaped,
    and ``EmailMessage`` refuses the rest.
    """
    message = EmailMessage(policy=SMTP)
    message["Subject"] = contents.subject
    message["From"] = sender
    message["To"] = mailbox(told.notification.target)
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = f"<pressroom-delivery-{told.delivery.id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(contents.text, cte="base64")
    message.add_alternative(contents.html, subtype="html", cte="base64")
    if contents.page is not None:
        message.add_attachment(
            contents.page,
            maintype="text",
            subtype="html",
            params={"charset": "utf-8"},
            filename=f"{_file_name(told.name)}-{told.execution.id}.html",
        )
    return message


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)[:80].strip("._") or "report"


async def _hand_in(server: MailServer, message: EmailMessage) -> None:
    try:
        await aiosmtplib.send(
            message,
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.tls,
            start_tls=server.starttls,
            tls_context=trusted(),
            local_hostname=socket.gethostname(),  # the default asks a name server, and waits for it
            timeout=TIMEOUT_SECONDS,
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        refused = error.recipients[0]
        permanent = refused.code >= _PERMANENT
        raise NotDelivered(f"The mail server refused the receiver: {_said(refused)}", permanent=permanent) from error
    except (aiosmtplib.SMTPDataError, aiosmtplib.SMTPSenderRefused) as error:
        permanent = error.code >= _PERMANENT
        raise NotDelivered(f"The mail server refused the message: {_said(error)}", permanent=permanent) from error
    except aiosmtplib.SMTPResponseException as error:
        raise NotDelivered(f"The mail server answered {_said(error)}") from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise NotDelivered(f"The mail server cannot be used: {error or type(error).__name__}") from error


def _said(error: aiosmtplib.SMTPResponseException) -> str:
    return f"{error.code} {error.message}"
