"""The pages of a service that people sign in to: the way there and back, and who can have a form sent."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from own_issuer import OwnIssuer
from pressroom.settings import Settings
from sign_ins import Browser

Service = pytest.Service  # type: ignore[attr-defined]
write_notebook = pytest.write_notebook  # type: ignore[attr-defined]


@pytest.fixture
def browser(settings: Settings, issuer: OwnIssuer) -> Iterator[Browser]:
    """A browser of a service that signs people in at the test's issuer, where `ben` is known."""
    changes = {"auth": ["oidc"], "oidc_issuer": issuer.url, "workers": 0}
    with Service(settings.model_copy(update=changes)) as running:
        made = Browser(running.url, issuer)
        yield made
        made.http.close()


@pytest.fixture
def number(browser: Browser, settings: Settings, plain: psycopg.Connection[Any]) -> int:
    """A notebook of `ben`'s with a parameter and a secret."""
    path = write_notebook(settings.users_root / "ben" / "n.ipynb", "print(1)")
    row = plain.execute(
        "INSERT INTO notebooks (name, file_path, username, tags, metadata) VALUES ('n', %s, 'ben', '[]', '{}') "
        "RETURNING id",
        (str(path),),
    ).fetchone()
    assert row is not None
    for name, secret in (("region", False), ("password", True)):
        plain.execute(
            "INSERT INTO notebook_parameters (notebook_id, param_name, param_type, required, secret) "
            "VALUES (%s, %s, 'string', 0, %s)",
            (row[0], name, secret),
        )
    return row[0]


def sign_in(browser: Browser, next_path: str = "/home") -> httpx.Response:
    return browser.come_back(browser.begin(next_path)["state"])


def token_in(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([0-9a-f]{128})"', page)
    assert found is not None
    return found[1]


def post(browser: Browser, path: str, origin: str | None = None, **fields: str) -> httpx.Response:
    own = str(browser.http.base_url).rstrip("/")
    return browser.http.post(path, data=fields, headers={"Origin": origin or own})


def test_a_page_sends_whoever_is_not_signed_in_to_the_sign_in_and_back(browser: Browser, number: int) -> None:
    sent = browser.http.get(f"/notebooks/{number}?p.region=EMEA")
    assert (sent.status_code, sent.headers["Location"]) == (
        303,
        f"/login?next=%2Fnotebooks%2F{number}%3Fp.region%3DEMEA",
    )
    back = sign_in(browser, f"/notebooks/{number}?p.region=EMEA")
    page = browser.http.get(back.headers["Location"])
    assert page.status_code == 200
    assert 'value="EMEA"' in page.text
    assert "Sign out" in page.text


def test_a_form_is_taken_from_a_page_of_ours_in_the_same_session_alone(
    browser: Browser, number: int, plain: psycopg.Connection[Any]
) -> None:
    sign_in(browser)
    token = token_in(browser.http.get(f"/notebooks/{number}").text)
    assert token_in(browser.http.get(f"/notebooks/{number}").text)[64:] != token[64:], "how it compresses says nothing"
    action = f"/notebooks/{number}/execute"
    evil, said = "https://evil.example.com", "In a session"
    for origin, given, words in (
        (None, "", said),
        (None, "0" * 64, "You have signed in anew"),
        (evil, token, said),
        ("null", token, said),
        (evil, "0" * 64, said),
    ):
        refused = post(browser, action, origin, csrf_token=given, back=f"/notebooks/{number}")
        assert refused.status_code == 403
        assert words in refused.text
        assert ("Back to the form" in refused.text) == (words != said)
    assert plain.execute("SELECT count(*) FROM notebook_executions").fetchone() == (0,)
    assert plain.execute("SELECT count(*) FROM audit_log WHERE status = 403").fetchone() == (5,)
    done = post(browser, action, csrf_token=token, **{"p.region": "EMEA"})
    assert done.status_code == 303, done.text
    entry = "SELECT username, operation, allowed FROM audit_log ORDER BY id DESC LIMIT 1"
    assert plain.execute(entry).fetchone() == ("ben", "execute_from_a_page", True)


def test_a_session_that_ran_out_gives_the_form_back_filled_in_without_its_secrets(
    browser: Browser, number: int, plain: psycopg.Connection[Any]
) -> None:
    sign_in(browser)
    token = token_in(browser.http.get(f"/notebooks/{number}").text)
    plain.execute("DELETE FROM sessions")
    fields = {"csrf_token": token, "back": f"/notebooks/{number}", "p.region": "Île & co", "s.password": "hunter2"}
    refused = post(browser, f"/notebooks/{number}/execute", **fields)
    assert refused.status_code == 401
    assert "Nothing was done." in refused.text
    found = re.search(r'href="(/login\?[^"]+)"', refused.text)
    assert found is not None
    next_path = httpx.URL(unescape(found[1])).params["next"]
    assert "hunter2" not in refused.text
    rows = {"d.0.name": "key", "d.0.default": "hunter2", "d.0.secret": "yes", "d.1.name": "n", "d.1.default": "7"}
    back = post(browser, f"/notebooks/{number}/parameters", **fields, **rows)
    assert "d.1.default%3D7" in back.text
    assert "hunter2" not in back.text
    long = post(browser, f"/notebooks/{number}/execute", **fields | {"p.region": "x" * 2000})
    assert "data-kept" in long.text, "a script gives it back"
    assert f'next=%2Fnotebooks%2F{number}"' in long.text
    page = browser.http.get(sign_in(browser, next_path).headers["Location"])
    assert 'value="Île &amp; co"' in page.text
    assert plain.execute("SELECT count(*) FROM notebook_executions").fetchone() == (0,)


def test_a_form_from_before_one_signed_in_anew_is_refused_in_words_and_given_back_without_its_secrets(
    browser: Browser, number: int, plain: psycopg.Connection[Any]
) -> None:
    sign_in(browser)
    fields = {"csrf_token": token_in(browser.http.get(f"/notebooks/{number}").text), "back": f"/notebooks/{number}"}
    fields |= {"p.region": "Île & co", "s.password": "hunter2"}
    plain.execute("DELETE FROM sessions")
    sign_in(browser)
    refused = post(browser, f"/notebooks/{number}/execute", **fields)
    assert refused.status_code == 403
    assert "You have signed in anew" in refused.text
    assert "Nothing was done. What you typed is filled in again on its page; secrets are not." in refused.text
    assert "X-CSRF-Token" not in refused.text
    assert "hunter2" not in refused.text
    found = re.search(r'href="([^"]+)">Back to the form', refused.text)
    assert found is not None
    page = browser.http.get(unescape(found[1]))
    assert 'value="Île &amp; co"' in page.text
    long = post(browser, f"/notebooks/{number}/execute", **fields | {"p.region": "x" * 2000})
    assert "data-kept" in long.text, "a script gives it back"
    assert f'href="/notebooks/{number}">Back to the form' in long.text
    assert plain.execute("SELECT count(*) FROM notebook_executions").fetchone() == (0,)
    sent = {"csrf_token": token_in(page.text), "p.region": fields["p.region"]}
    done = post(browser, f"/notebooks/{number}/execute", **sent)
    assert done.status_code == 303, done.text


def test_a_part_of_a_page_that_is_asked_for_after_the_session_has_the_page_loaded_anew(browser: Browser) -> None:
    sign_in(browser)
    of_htmx = {"Accept": "*/*", "HX-Request": "true", "HX-Target": "now"}
    assert browser.http.get("/home", headers=of_htmx).status_code == 200
    browser.http.cookies.clear()
    refused = browser.http.get("/home", headers=of_htmx)
    assert (refused.status_code, refused.headers["HX-Refresh"]) == (401, "true")
    assert "HX-Refresh" not in browser.http.get("/db/notebooks", headers=of_htmx).headers


def test_whoever_signs_out_is_out_here_and_told_where_else(browser: Browser, number: int) -> None:
    sign_in(browser)
    home = browser.http.get("/home").text
    assert "data-username" in home
    out = post(browser, "/sign-out", csrf_token=token_in(home))
    assert out.status_code == 200
    assert "You are signed out" in out.text
    assert "data-username" not in out.text, "nor looks the page as if somebody were signed in"
    assert browser.whoami() is None


def test_what_may_not_be_seen_is_not_there(
    browser: Browser, number: int, plain: psycopg.Connection[Any], settings: Settings
) -> None:
    path: Path = write_notebook(settings.users_root / "ana" / "hidden.ipynb", "print(1)")
    plain.execute(
        "INSERT INTO notebooks (name, file_path, username, tags, metadata) "
        "VALUES ('hidden', %s, 'ana', '[\"private\"]', '{}')",
        (str(path),),
    )
    sign_in(browser)
    row = plain.execute("SELECT id FROM notebooks WHERE username = 'ana'").fetchone()
    assert row is not None
    assert browser.http.get(f"/notebooks/{row[0]}").status_code == 404
    shown = browser.http.get("/notebooks").text
    assert "hidden" not in re.sub(r'type="hidden"|hidden>', "", shown).replace("visually-hidden", "")
    assert "private" not in shown
    assert ">ana<" not in shown


def test_the_home_page_lists_what_somebody_executes_of_others_beside_their_own(
    browser: Browser, number: int, plain: psycopg.Connection[Any]
) -> None:
    """What was executed last comes first; then one's own, and the others."""
    for name, level in (("idle", "editor"), ("seen", "viewer"), ("team", "runner"), ("hidden", None)):
        row = plain.execute(
            "INSERT INTO notebooks (name, file_path, username, tags, metadata) VALUES (%s, %s, 'ana', '[]', '{}') "
            "RETURNING id",
            (name, f"/home/ana/{name}.ipynb"),
        ).fetchone()
        assert row is not None
        if level is not None:
            plain.execute(
                "INSERT INTO notebook_grants (notebook_id, kind, grantee, level, granted_by) "
                "VALUES (%s, 'user', 'ben', %s, 'ana')",
                (row[0], level),
            )
        if name != "idle":
            plain.execute(
                "INSERT INTO notebook_executions (notebook_id, username, input_path, status, attempt, completed_at) "
                "VALUES (%s, 'ben', %s, 'success', 1, now())",
                (row[0], f"/home/ana/{name}.ipynb"),
            )
    sign_in(browser)

    def mine() -> list[tuple[str, str]]:
        section = browser.http.get("/home").text.partition('id="mine-head"')[2].partition("</section>")[0]
        found = re.findall(r'/notebooks/\d+">([^<]+)</a>(?:<br><span class="small muted">([^<]+))?', section)
        assert found or "No notebook is yours yet" in section
        return found

    assert mine() == [("team", "ana"), ("n", ""), ("idle", "ana")]
    plain.execute("DELETE FROM notebooks WHERE id = %s", (number,))
    assert mine() == [("team", "ana"), ("idle", "ana")]
    plain.execute("DELETE FROM notebook_grants")
    assert mine() == []
