"""Who is calling, by the header alone."""

import pytest

from pressroom.errors import NotAuthenticated
from pressroom.identity.authentication import Authentication
from pressroom.identity.principal import Principal, Scope, with_implied
from pressroom.settings import Settings

ANA = Principal.local("ana")
BO = Principal.person("bo", groups=["finance"], source="test")


class Prefixed:
    """A source whose tokens begin with its prefix; one of them is valid."""

    def __init__(self, prefix: str, whom: Principal) -> None:
        self._prefix, self._whom, self.asked = prefix, whom, list[str]()

    async def principal(self, token: str) -> Principal | None:
        self.asked.append(token)
        if not token.startswith(self._prefix):
            return None
        if token != f"{self._prefix}-valid":
            raise NotAuthenticated("It has expired.")
        return self._whom


@pytest.mark.parametrize("header", ["Bearer b-valid", "bearer b-valid", "token b-valid", "Bearer   b-valid "])
async def test_the_first_source_that_knows_the_token_says_who_it_is(header: str) -> None:
    first, second = Prefixed("a", ANA), Prefixed("b", BO)
    assert await Authentication([first, second], ANA).principal(header) == BO
    assert first.asked == second.asked == ["b-valid"]


async def test_a_token_that_its_source_refuses_is_offered_to_no_other() -> None:
    first, second = Prefixed("a", ANA), Prefixed("a", BO)
    with pytest.raises(NotAuthenticated, match="expired"):
        await Authentication([first, second], ANA).principal("Bearer a-other")
    assert second.asked == []


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YW5hOmFuYQ==", "b-valid", "Bearer unknown"])
async def test_whoever_sends_what_is_not_valid_is_not_the_local_user(header: str) -> None:
    with pytest.raises(NotAuthenticated):
        await Authentication([Prefixed("b", BO)], ANA).principal(header)


async def test_without_a_header_it_is_the_local_user_if_there_is_one() -> None:
    assert await Authentication([], ANA).principal(None) == ANA
    with pytest.raises(NotAuthenticated):
        await Authentication([Prefixed("b", BO)], None).principal(None)


async def test_a_request_is_asked_about_once_and_has_one_header() -> None:
    source = Prefixed("b", BO)
    authentication = Authentication([source], ANA)
    scope = {"type": "http", "headers": [(b"authorization", b"Bearer b-valid")]}
    assert await authentication.caller(scope) is await authentication.caller(scope)
    assert source.asked == ["b-valid"]
    with pytest.raises(NotAuthenticated, match="more than once"):
        await authentication.caller({"headers": scope["headers"] * 2})


def test_scopes_bring_what_they_cannot_do_without() -> None:
    assert with_implied(["execute"]) == {"execute", "read"}
    assert with_implied(["write"]) == {"write", "read"}
    assert with_implied(["read"]) == {"read"}
    assert with_implied([]) == set()
    assert with_implied(["admin"]) == set(Scope) == ANA.scopes


@pytest.mark.parametrize("value", ["local,kerberos", "", "nobody"])
def test_a_way_to_be_known_that_there_is_not_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="way to be known"):
        Settings(auth=value)  # type: ignore[arg-type]


def test_ways_to_be_known_are_a_list() -> None:
    assert Settings().auth == ["local"]
    assert Settings(auth=" local , local").auth == ["local"]  # type: ignore[arg-type]
