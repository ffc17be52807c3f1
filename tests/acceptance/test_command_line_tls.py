"""``pressroom serve`` with a certificate of its own."""

import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from pressroom.cli.tls import tls_context
from pressroom.errors import Invalid
from pressroom.settings import Settings


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for this machine, and its key."""
    issued = authority.issue_cert("localhost", "127.0.0.1")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    key.chmod(0o600)
    return certificate, key


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[str]:
    """The running command, and where it says that it listens."""
    with subprocess.Popen(
        [sys.executable, "-m", "pressroom.cli", "serve", "--workers", "0", "--port", "0"],
        env=environment | {"PRESSROOM_LOG_FORMAT": "json"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"(https?://[\d.]+:\d+)", json.loads(line)["event"]):
                    yield found[1]
                    break
            else:
                raise AssertionError("it did not start")
        finally:
            process.terminate()
            process.stderr.read()


@pytest.fixture
def environment(settings: Settings, files: tuple[Path, Path]) -> dict[str, str]:
    assert settings.database_url is not None
    certificate, key = map(str, files)
    return os.environ | {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "PRESSROOM_TLS_CERTIFICATE": certificate,
        "PRESSROOM_TLS_KEY": key,
    }


def test_it_speaks_https_of_today_and_nothing_else(
    environment: dict[str, str], authority: trustme.CA, files: Any
) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with serving(environment) as url:
        assert url.startswith("https://")
        with httpx.Client(base_url=url, verify=trusting) as client:
            assert client.get("/").json()["service"] == "pressroom"
        with httpx.Client(base_url=url) as stranger, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY"):
            stranger.get("/")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(url.replace("https", "http"))
        old = ssl.create_default_context()
        authority.configure_trust(old)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with httpx.Client(base_url=url, verify=old) as client, pytest.raises(httpx.ConnectError):
            client.get("/")


def refusal(certificate: Path, key: Path) -> str:
    with pytest.raises(Invalid) as refused:
        tls_context(Settings(tls_certificate=certificate, tls_key=key))
    return refused.value.detail


def test_what_is_wrong_with_the_files_is_said_in_a_sentence(
    files: tuple[Path, Path], authority: trustme.CA, tmp_path: Path
) -> None:
    certificate, key = files
    assert tls_context(Settings(tls_certificate=certificate, tls_key=key)) is not None
    assert tls_context(Settings()) is None
    missing = tmp_path / "missing.pem"
    assert refusal(missing, key) == f"tls_certificate: {missing} cannot be read: No such file or directory."
    assert refusal(certificate, tmp_path) == f"tls_key: {tmp_path} cannot be read: Is a directory."
    assert "must be a certificate and its private key in PEM" in refusal(key, key)
    other = tmp_path / "other.pem"
    authority.issue_cert("other.example.com").private_key_pem.write_to_path(str(other))
    other.chmod(0o600)
    assert refusal(certificate, other).endswith("and they do not belong together.")
    for mode in (0o644, 0o660, 0o604):
        key.chmod(mode)
        assert f"its mode is {mode:o}. Run chmod 600" in refusal(certificate, key)
    key.chmod(0o640)  # of a group that has the certificates' keys
    assert tls_context(Settings(tls_certificate=certificate, tls_key=key)) is not None


def test_a_key_with_a_passphrase_is_refused_and_not_asked_for(files: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = files
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    private = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    assert "the key has a passphrase" in refusal(certificate, key)


def test_the_command_ends_with_the_sentence(environment: dict[str, str], files: tuple[Path, Path]) -> None:
    files[1].chmod(0o644)
    command = [sys.executable, "-m", "pressroom.cli", "serve", "--workers", "0", "--port", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "tls_key:" in done.stderr
    assert "Traceback" not in done.stderr
