"""Notifications over real HTTP: made, listed, changed, deleted, and refused in words."""

from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import URL

import pressroom
from pressroom.errors import Invalid, NotFound

HOOK = {"channel": "webhook", "target": "https://example.com/hook", "events": ["execution.failed"]}
EMAIL = {"channel": "email", "target": "ana@example.com", "events": ["execution.succeeded"]}


@pytest.fixture
def notebook_id(http: httpx.Client, notebook: Path) -> int:
    body = {"name": "sales", "file_path": str(notebook), "username": "ana"}
    return http.post("/db/notebooks", json=body).json()["id"]


def refused(answer: httpx.Response, *words: str, status: int = 422) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    for word in words:
        assert word in answer.json()["detail"]


def test_a_webhook_is_made_read_changed_and_deleted(http: httpx.Client, notebook_id: int) -> None:
    answer = http.post("/db/notifications", json=HOOK | {"notebook_id": notebook_id})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert len(secret) == 50
    assert made | {"created_at": ""} == HOOK | {
        "id": made["id"], "notebook_id": notebook_id, "username": "ana", "created_at": "",
    }  # fmt: skip
    address = f"/db/notifications/{made['id']}"
    assert http.get(address).json() == made
    both = ["execution.succeeded", "execution.late"]
    changed = http.put(address, json={"events": [both[1], both[0], both[1]], "notebook_id": None})
    assert changed.json() == made | {"events": both, "notebook_id": None}
    assert http.delete(address).status_code == 204
    refused(http.get(address), "There is no notification", status=404)


def test_a_secret_is_said_once(http: httpx.Client) -> None:
    secret = "whsec_" + "QUFB" * 10
    made = http.post("/db/notifications", json=HOOK | {"secret": secret}).json()
    assert made["secret"] == secret
    address = f"/db/notifications/{made['id']}"
    assert http.put(address, json={"secret": "whsec_" + "QkJC" * 10}).status_code == 200
    for answer in (http.get(address), http.get("/db/notifications"), http.put(address, json={"target": "http://a.b"})):
        assert answer.status_code == 200
        assert "whsec_" not in answer.text
        assert "secret" not in answer.text


def test_they_are_listed_by_page_and_by_notebook(http: httpx.Client, notebook_id: int) -> None:
    for owner in (None, notebook_id, None, notebook_id, notebook_id):
        assert http.post("/db/notifications", json=HOOK | {"notebook_id": owner}).status_code == 201
    first = http.get("/db/notifications", params={"limit": 2, "notebook_id": notebook_id})
    assert [item["id"] for item in first.json()] == [2, 4]
    assert first.headers["x-total-count"] == "3"
    last = http.get(first.links["next"]["url"])
    assert [item["id"] for item in last.json()] == [5]
    assert len(http.get("/db/notifications").json()) == 5


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("example.com/hook", "https://"),
        ("ftp://example.com/", "https://"),
        ("javascript:alert(1)", "https://"),
        ("https://", "host"),
        ("https:///hook", "host"),
        ("https://ana:secret@example.com/", "password"),
        ("https://ana@example.com/", "user"),
        ("https://example.com:99999/", "port"),
        ("https://example.com:0/", "port"),
        ("https://exa mple.com/", "host"),
        ("https://[fe80::1%25eth0]/", "host"),
        ("https://example.com/\n", "URL"),
        ("http://127.0.0.1/", "public Internet"),
        ("http://2130706433/", "public Internet"),
        ("http://0x7f.1/", "public Internet"),
        ("http://[::1]/", "public Internet"),
        ("http://[::ffff:10.0.0.1]/", "public Internet"),
        ("http://169.254.169.254/latest/", "public Internet"),
        ("http://0177.0.0.1/", "URL"),
        ("", "target"),
        ("https://example.com/" + "x" * 2000, "target"),
        ("https://example.com/\0", "NUL"),
    ],
)
def test_what_is_no_webhook_is_refused_in_words(http: httpx.Client, target: str, word: str) -> None:
    refused(http.post("/db/notifications", json=HOOK | {"target": target}), word)
    made = http.post("/db/notifications", json=HOOK).json()
    refused(http.put(f"/db/notifications/{made['id']}", json={"target": target}), word)
    assert http.get("/db/notifications").headers["x-total-count"] == "1"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"events": []}, "events"),
        ({"events": ["execution.started"]}, "events"),
        ({"channel": "pigeon"}, "channel"),
        ({"secret": "hunter2"}, "whsec_"),
        ({"secret": "whsec_QUFB"}, "24 to 64"),
        ({"secret": "whsec_" + "!" * 40}, "whsec_"),
        ({"surprise": 1}, "surprise"),
        ({"notebook_id": 0}, "notebook_id"),
    ],
)
def test_what_else_is_wrong_is_said_too(http: httpx.Client, changes: dict[str, Any], word: str) -> None:
    refused(http.post("/db/notifications", json=HOOK | changes), word)


def test_a_notebook_that_is_not_there_has_no_notifications(http: httpx.Client) -> None:
    refused(http.post("/db/notifications", json=HOOK | {"notebook_id": 99}), "There is no notebook 99", status=404)


def test_email_is_refused_where_no_mail_server_is_set(http: httpx.Client) -> None:
    refused(http.post("/db/notifications", json=EMAIL), "PRESSROOM_SMTP_URL")


@pytest.fixture
def mailing(settings: Any) -> None:
    """A service with a mail server; asked for before the service."""
    settings.smtp_url, settings.mail_from = SecretStr("smtp://127.0.0.1:9"), "reports@example.com"


@pytest.mark.usefixtures("mailing")
def test_email_has_an_address_and_no_secret(http: httpx.Client) -> None:
    made = http.post("/db/notifications", json=EMAIL)
    assert made.status_code == 201, made.text
    assert made.json()["secret"] is None
    refused(http.post("/db/notifications", json=EMAIL | {"secret": "whsec_" + "QUFB" * 10}), "Only a webhook")
    for target in (
        "ana",
        "ana@",
        "@example.com",
        "ana@example.com, bo@example.com",
        "Ana <ana@example.com>",
        "ana@example.com\r\nBcc: eve@example.com",
        "ana@exa mple.com",
        "a..b@example.com",
        "ana@-example.com",
        "x" * 65 + "@example.com",
    ):
        refused(http.post("/db/notifications", json=EMAIL | {"target": target}), "e-mail address")


def test_deliveries_are_listed_newest_first(http: httpx.Client, database_url: URL) -> None:
    made = http.post("/db/notifications", json=HOOK).json()
    conninfo = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo) as connection:
        connection.execute(
            "INSERT INTO notebook_executions (username, input_path, status) "
            "SELECT 'ana', '/home/ana/n' || n || '.ipynb', 'failed' FROM generate_series(1, 3) AS n"
        )
        connection.execute(
            "INSERT INTO notification_deliveries (notification_id, execution_id, event, status, attempts, detail) "
            "SELECT %s, id, 'execution.failed', 'pending', 1, 'The receiver answered 500.' FROM notebook_executions",
            (made["id"],),
        )
    address = f"/db/notifications/{made['id']}/deliveries"
    page = http.get(address, params={"limit": 2})
    assert [item["execution_id"] for item in page.json()] == [3, 2]
    assert page.headers["x-total-count"] == "3"
    first = page.json()[0]
    assert first | {"id": 0, "created_at": ""} == {
        "id": 0, "execution_id": 3, "event": "execution.failed", "status": "pending", "attempts": 1,
        "detail": "The receiver answered 500.", "created_at": "", "delivered_at": None,
    }  # fmt: skip
    assert [item["execution_id"] for item in http.get(page.links["next"]["url"]).json()] == [1]
    refused(http.get("/db/notifications/99/deliveries"), "There is no notification 99", status=404)


def test_the_client_does_the_same(service: Any, notebook: Path) -> None:
    with pressroom.Client(service.url) as client:
        registered = client.register("Sales", notebook, "ana")
        made = client.notify("webhook", "https://example.com/", ["execution.failed"], notebook_id=registered.id)
        assert made.secret is not None
        assert client.notification(made.id).target == "https://example.com/"
        assert [n.id for n in client.notifications(notebook_id=registered.id)] == [made.id]
        assert client.update_notification(made.id, events=["execution.late"]).events == ["execution.late"]
        assert list(client.deliveries(made.id)) == []
        with pytest.raises(Invalid):
            client.notify("email", "ana@example.com", ["execution.failed"])
        client.delete_notification(made.id)
        with pytest.raises(NotFound):
            client.notification(made.id)


async def test_so_does_the_asynchronous_one(service: Any) -> None:
    async with pressroom.AsyncClient(service.url) as client:
        made = await client.notify("webhook", "https://example.com/", ["execution.failed"])
        assert [n.id async for n in client.notifications()] == [made.id]
        assert [d async for d in client.deliveries(made.id)] == []
