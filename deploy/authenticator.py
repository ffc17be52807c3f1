"""Signing in at Keycloak, without which whoever is signed in stays so."""

from typing import Any

from oauthenticator.generic import GenericOAuthenticator
from tornado.httpclient import HTTPClientError


class KeycloakAuthenticator(GenericOAuthenticator):
    """OAuthenticator's own takes a Keycloak that cannot be reached for one that knows nobody any more."""

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> Any:
        """What Keycloak says of somebody now; ``True``, as before, where it does not answer. A refusal is ``False``."""
        try:
            return await super().refresh_user(user, handler, **kwargs)
        except (OSError, HTTPClientError) as error:  # those of 4xx are answers, and have been understood above
            self.log.warning("Keycloak does not answer, and %s stays signed in: %s", user.name, error)
            return True
