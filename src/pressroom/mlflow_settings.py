"""The setting of MLflow: a part of :class:`pressroom.settings.Settings`."""

from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings


class MlflowSettings(BaseSettings):
    """Where executions are tracked."""

    mlflow_tracking_uri: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("PRESSROOM_MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI"),
        description="The MLflow server whose runs executions are, for instance http://127.0.0.1:5000; needs the extra "
        "pressroom[mlflow] at the workers. If left out, MLFLOW_TRACKING_URI; else executions are not tracked.",
    )

    @field_validator("mlflow_tracking_uri")
    @classmethod
    def _nothing_is_none(cls, value: SecretStr | None) -> SecretStr | None:
        # The variable is MLflow's own, and who empties it means that there is no server.
        return value if value is not None and value.get_secret_value().strip() else None

    @property
    def mlflow_uri_of_kernels(self) -> str | None:
        """The address without the name and the password that may be in it: those are the service's own."""
        if self.mlflow_tracking_uri is None:
            return None
        parts = urlsplit(self.mlflow_tracking_uri.get_secret_value())
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
