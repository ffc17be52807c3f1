"""Tokens that an OIDC issuer signed, whatever they are for."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

from joserfc import jws, jwt
from joserfc.errors import BadSignatureError, InvalidPayloadError, JoseError

from pressroom.errors import NotAuthenticated
from pressroom.identity.issuer import Issuer
from pressroom.oidc_settings import OidcSettings


@dataclass(frozen=True, slots=True)
class Signed:
    """A token's claims, of which only the signature was checked; ``kind`` is what its header calls it (``typ``)."""

    kind: str
    algorithm: str
    claims: dict[str, Any]


class Signatures:
    """Checks the signatures of one issuer."""

    def __init__(self, settings: OidcSettings, issuer: Issuer) -> None:
        self._issuer = issuer
        self._algorithms = frozenset(settings.oidc_algorithms)
        # What a header says that nobody knows is ignored, as RFC 7515 has it, unless it is marked as critical.
        self._registry = jws.JWSRegistry(algorithms=settings.oidc_algorithms, strict_check_header=False)

    async def verified(self, token: str, kinds: Collection[str], what: str = "an access token") -> Signed:
        """A token that the issuer signed, and that is of one of ``kinds``, all of which are ``what``.

        Raises :class:`NotAuthenticated`, and :class:`Unavailable` where its key is not known and the issuer does not
        answer.
        """
        header = _header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise NotAuthenticated("The token is not signed in a way that this service takes.")
        if kid is not None and not isinstance(kid, str):
            raise NotAuthenticated("The id of the token's key is not a text.")
        kind = str(header.get("typ", "JWT")).lower().removeprefix("application/")
        if kind not in kinds:
            raise NotAuthenticated(f"The token is not {what}, by its header.")
        key = await self._issuer.key(kid, algorithm)
        if key is None:
            raise NotAuthenticated("The token is signed with a key that the issuer does not have, or no more.")
        try:
            claims = jwt.decode(token, key, registry=self._registry).claims
        except BadSignatureError as error:
            raise NotAuthenticated("The token's signature is wrong.") from error
        except InvalidPayloadError as error:
            raise NotAuthenticated("The token holds no claims.") from error
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise NotAuthenticated("The token cannot be checked.") from error
        return Signed(kind, algorithm, claims)


def _header(token: str) -> dict[str, Any]:
    """A token's header, which nobody has vouched for yet."""
    try:
        header: Any = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise NotAuthenticated("The token cannot be read.") from error
    if not isinstance(header, dict):
        raise NotAuthenticated("The token cannot be read.")
    return cast("dict[str, Any]", header)
