"""The Python client of the API, synchronous and asynchronous, with the same methods."""

from pressroom.client.asynchronous import AsyncClient
from pressroom.client.sync import Client

__all__ = ["AsyncClient", "Client"]
