"""Where e-mails to merchants are put: files, or a mail server."""

import os
import re
import secrets
import smtplib
import socket
import ssl
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from data_contracts.private_files import private_file, private_folder

TIMEOUT_SECONDS = 15.0
"""For each answer of a mail server."""
EXCHANGE_SECONDS = 30.0
"""For all that is said about one e-mail."""
MOST_ADDRESSES_TRIED = 3
DEFAULT_SENDER = "bonitas@localhost"

_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,240}")


@dataclass(frozen=True, kw_only=True)
class EmailMessageText:
    """What an e-mail says: plain text."""

    subject: str
    body: str


class Mailbox(Protocol):
    """Takes e-mails."""

    def send(self, to: str, subject: str, body: str, message_id: str) -> None:
        """Hand over one e-mail; it returns once the e-mail is in other hands.

        Raises OSError where that may work later, ValueError for what makes no e-mail.

        message_id: letters, digits, '_' and '-'; the same for a repetition, so that it can be told.
        """
        ...


class FileMailbox:
    """One `.eml` file for each message, for tests and for a mail system that collects them."""

    def __init__(self, directory: Path, sender: str = DEFAULT_SENDER) -> None:
        self._directory = directory
        self._sender = sender

    def send(self, to: str, subject: str, body: str, message_id: str) -> None:
        """Write the message whole or not at all; a repetition takes the place of the one before."""
        content = email_message(self._sender, to, subject, body, message_id).as_bytes()
        private_folder(self._directory)
        unfinished = self._directory / f".{message_id}.{secrets.token_hex(4)}.tmp"
        with ExitStack() as on_failure:
            on_failure.callback(unfinished.unlink, missing_ok=True)
            private_file(unfinished)
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._directory / f"{message_id}.eml")
            on_failure.pop_all()


class SmtpMailbox:
    """A mail server, by `smtp://user:password@host:port` or `smtps://`; STARTTLS where it is offered.

    Raises ValueError for a URL of another kind. A password is never sent without TLS.
    """

    def __init__(self, url: str, sender: str, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
            raise ValueError("a mail server's URL is smtp://user:password@host:port or smtps://...")
        self._is_tls = parts.scheme == "smtps"
        self._host = parts.hostname
        self._port = parts.port or (465 if self._is_tls else 587)
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._sender = sender
        self._tls = tls or ssl.create_default_context()

    def send(self, to: str, subject: str, body: str, message_id: str) -> None:
        """Hand the message to the mail server, which has taken it when this returns."""
        message = email_message(self._sender, to, subject, body, message_id)
        with _Exchange(EXCHANGE_SECONDS) as exchange, self._connected(exchange) as server:
            is_tls = self._is_tls
            server.ehlo_or_helo_if_needed()
            if not is_tls and server.has_extn("starttls"):
                server.starttls(context=self._tls)
                is_tls = True
            if self._user:
                if not is_tls:
                    raise smtplib.SMTPNotSupportedError("the mail server offers no TLS: no password is sent")
                server.login(self._user, self._password)
            server.send_message(message)

    def _connected(self, exchange: "_Exchange") -> smtplib.SMTP:
        if self._is_tls:
            return _BoundedSmtpTls(exchange, self._host, self._port, self._tls)
        return _BoundedSmtp(exchange, self._host, self._port)


class _Exchange:
    """Cuts a connection after a time, whatever is said on it: each byte of a slow server begins smtplib's own
    time-out anew.
    """

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._is_over = False

    def __enter__(self) -> "_Exchange":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def watch(self, connected: socket.socket) -> None:
        """Cut this connection once the time is over. Raises TimeoutError where it is."""
        with self._lock:
            if self._is_over:
                raise TimeoutError("the mail server took too long")
            # A descriptor of our own: TLS takes the other one over.
            self._connection = connected.dup()

    def _cut(self) -> None:
        with self._lock:
            self._is_over = True
            if self._connection is not None:
                with suppress(OSError):  # it is broken already
                    self._connection.shutdown(socket.SHUT_RDWR)


class _BoundedSmtp(smtplib.SMTP):
    def __init__(self, exchange: _Exchange, host: str, port: int) -> None:
        self._exchange = exchange
        super().__init__(host, port, timeout=TIMEOUT_SECONDS)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """Connect; one address that swallows packets leaves time for the next."""
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:MOST_ADDRESSES_TRIED]
        for place, address in enumerate(addresses, start=1):
            try:
                connected = socket.create_connection((str(address[4][0]), port), timeout / len(addresses))
            except OSError:
                if place == len(addresses):
                    raise
            else:
                connected.settimeout(timeout)
                self._exchange.watch(connected)
                return connected
        raise OSError("the mail server has no address")


class _BoundedSmtpTls(smtplib.SMTP_SSL, _BoundedSmtp):
    def __init__(self, exchange: _Exchange, host: str, port: int, tls: ssl.SSLContext) -> None:
        self._exchange = exchange
        smtplib.SMTP_SSL.__init__(self, host, port, timeout=TIMEOUT_SECONDS, context=tls)


def email_message(sender: str, to: str, subject: str, body: str, message_id: str) -> EmailMessage:
    """The message to exactly one recipient. Raises ValueError where a value would break a header."""
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError("a message id holds at most 240 letters, digits, '_' and '-'")
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = sender
    # As an address, not as text: text with a comma would be two recipients.
    message["To"] = Address(addr_spec=to)
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{message_id}@{sender.rpartition('@')[2].rstrip('>')}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body)
    return message
