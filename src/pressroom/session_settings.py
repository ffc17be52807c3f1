"""The settings of browsers' sessions: a part of :class:`pressroom.settings.Settings`."""

from pydantic import Field
from pydantic_settings import BaseSettings


class SessionSettings(BaseSettings):
    """How long somebody stays signed in with a browser."""

    session_hours: float = Field(
        default=10.0,
        gt=0,
        le=24 * 31,
        description="Hours after which whoever signed in with a browser must do so again, whatever they did meanwhile.",
    )
    session_idle_minutes: float = Field(
        default=120.0,
        ge=5,
        le=24 * 60 * 31,
        description="Minutes without a request after which a browser's session ends; give or take one.",
    )
