"""TLS of the service itself, where no proxy speaks it."""

import ssl
import stat
from pathlib import Path

from pressroom.errors import Invalid
from pressroom.settings import Settings


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """What ``settings`` name: TLS 1.2 or newer; ``None`` without a certificate. Raises :class:`Invalid`."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return None
    _require_readable("tls_certificate", certificate)
    mode = _require_readable("tls_key", key)
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise Invalid(
            f"tls_key: {key} may be read by everybody, or written by others than its owner: its mode is {mode:o}. "
            f"Run chmod 600 {key}, or 640."
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A passphrase would be asked for at the terminal, in the middle of the start.
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        why = "they do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else "one of them is not that"
        raise Invalid(
            f"tls_certificate and tls_key: {certificate} and {key} must be a certificate and its private key in PEM, "
            f"and {why}."
        ) from error
    return context


def _require_readable(setting: str, path: Path) -> int:
    """The mode of a file that can be read. Raises :class:`Invalid`."""
    try:
        with path.open("rb") as file:
            file.read(1)
            return stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise Invalid(f"{setting}: {path} cannot be read: {error.strerror}.") from error


def _no_passphrase() -> str:
    raise Invalid("tls_key: the key has a passphrase; give the service one without, in a file that it alone may read.")
