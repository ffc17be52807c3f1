"""Settings of the door, and paths: what is wrong is refused by name."""

import pytest
from pydantic import ValidationError

from pressroom.settings import Settings

OIDC = {"auth": "oidc", "oidc_issuer": "https://issuer.example.com"}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("cors_origins", "*", "no origin"),
        ("cors_origins", "null", "no origin"),
        ("cors_origins", "https://portal.example.com/", "no origin"),
        ("cors_origins", "https://portal.example.com:443", "no origin"),
        ("cors_origins", "https://Portal.example.com", "no origin"),
        ("cors_origins", "https://*.example.com", "no origin"),
        ("cors_origins", "https://a@portal.example.com", "no origin"),
        ("cors_origins", "https://portal.example.com:x", "no origin"),
        ("cors_origins", "portal.example.com", "no origin"),
        ("allowed_hosts", "*", "no host's name"),
        ("allowed_hosts", "pressroom.example.com:8002", "no host's name"),
        ("allowed_hosts", "https://pressroom.example.com", "no host's name"),
        ("allowed_hosts", "pressroom.*.com", "no host's name"),
        ("trusted_proxies", "*", "neither an address nor a network"),
        ("trusted_proxies", "proxy.example.com", "neither an address nor a network"),
        ("trusted_proxies", "10.0.0.1/8", "host bits set"),
        ("tls_key", "key.pem", "needed together"),
        ("tls_certificate", "certificate.pem", "needed together"),
        ("executions_per_minute", 0, "greater than or equal to 1"),
        ("data_dir", "", "is empty"),
        ("users_root", " ", "is empty"),
        ("audit_file", "", "is empty"),
    ],
)
def test_what_is_wrong_is_refused(name: str, value: object, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Settings(**(OIDC | {name: value}))  # type: ignore[arg-type]


def test_an_empty_variable_is_not_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESSROOM_DATA_DIR", "")
    with pytest.raises(ValidationError, match="is empty; name a path, or leave it out"):
        Settings()


def test_what_is_right_is_taken() -> None:
    found = Settings(
        **OIDC,  # type: ignore[arg-type]
        cors_origins="https://portal.example.com, http://127.0.0.1:3000,https://[::1]:8443",  # type: ignore[arg-type]
        allowed_hosts="Pressroom.example.com,*.lab.example.com,[::1]",  # type: ignore[arg-type]
        trusted_proxies="127.0.0.1, 10.0.0.0/8 ,::1",  # type: ignore[arg-type]
    )
    assert found.cors_origins == ["https://portal.example.com", "http://127.0.0.1:3000", "https://[::1]:8443"]
    assert found.allowed_hosts == ["pressroom.example.com", "*.lab.example.com", "[::1]"]
    assert found.trusted_proxies == ["127.0.0.1", "10.0.0.0/8", "::1"]


def test_pages_of_another_site_are_never_the_local_user() -> None:
    with pytest.raises(ValidationError, match="would be the local user"):
        Settings(cors_origins="https://portal.example.com")  # type: ignore[arg-type]
    assert Settings(cors_origins="http://localhost:3000").cors_origins  # type: ignore[arg-type]
