"""The setting of secret parameters: a part of :class:`pressroom.settings.Settings`."""

from cryptography.fernet import Fernet
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings


class SecretSettings(BaseSettings):
    """What the values of secret parameters are encrypted with."""

    secret_key: SecretStr | None = Field(
        default=None,
        description="The keys that encrypt the values of secret parameters, separated by ',': the first encrypts, any "
        "of them decrypts. The same for every process of a service; `pressroom secrets new-key` makes one. If left "
        "out, no parameter can be secret.",
    )

    @field_validator("secret_key")
    @classmethod
    def _good_keys(cls, value: SecretStr | None) -> SecretStr | None:
        for key in _keys(value):
            try:
                Fernet(key)
            except ValueError:
                # Without the cause, which may show the key.
                raise ValueError(
                    "holds what is not a key: 32 bytes in URL-safe Base64, as `pressroom secrets new-key` makes them"
                ) from None
        return value

    @property
    def secret_keys(self) -> list[str]:
        """The keys, the one that encrypts first."""
        return _keys(self.secret_key)


def _keys(value: SecretStr | None) -> list[str]:
    return [part.strip() for part in value.get_secret_value().split(",") if part.strip()] if value is not None else []
