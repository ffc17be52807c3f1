"""What the clients do with notifications: each call once, and the methods of both that send it."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pressroom.client.calls import Call
from pressroom.notifications.schemas import DeliveryOut, NotificationCreated, NotificationOut

T = TypeVar("T")
_PAGE = 100


def _notify(
    channel: str, target: str, events: Sequence[str], notebook_id: int | None, secret: str | None
) -> Call[NotificationCreated]:
    fields = {"channel": channel, "target": target, "notebook_id": notebook_id, "secret": secret}
    body = {name: value for name, value in fields.items() if value is not None} | {"events": list(events)}
    return Call("POST", "/db/notifications", NotificationCreated, body)


def _one(notification_id: int) -> Call[NotificationOut]:
    return Call("GET", f"/db/notifications/{notification_id}", NotificationOut)


def _list(notebook_id: int | None, skip: int) -> Call[list[NotificationOut]]:
    query = {"notebook_id": notebook_id, "skip": skip, "limit": _PAGE}
    return Call("GET", "/db/notifications", list[NotificationOut], query=query)


def _update(notification_id: int, changes: Mapping[str, Any]) -> Call[NotificationOut]:
    return Call("PUT", f"/db/notifications/{notification_id}", NotificationOut, dict(changes))


def _delete(notification_id: int) -> Call[None]:
    return Call("DELETE", f"/db/notifications/{notification_id}", None)


def _deliveries(notification_id: int, skip: int) -> Call[list[DeliveryOut]]:
    query = {"skip": skip, "limit": _PAGE}
    return Call("GET", f"/db/notifications/{notification_id}/deliveries", list[DeliveryOut], query=query)


class Notifications:
    """The methods of the synchronous client."""

    def _call(self, call: Call[T]) -> T:
        raise NotImplementedError

    def notify(
        self,
        channel: str,
        target: str,
        events: Sequence[str],
        *,
        notebook_id: int | None = None,
        secret: str | None = None,
    ) -> NotificationCreated:
        """Have a webhook or an e-mail address told of how executions end; the answer holds the webhook's secret."""
        return self._call(_notify(channel, target, events, notebook_id, secret))

    def notification(self, notification_id: int) -> NotificationOut:
        """One notification."""
        return self._call(_one(notification_id))

    def update_notification(self, notification_id: int, **changes: Any) -> NotificationOut:
        """Change the fields that are given."""
        return self._call(_update(notification_id, changes))

    def delete_notification(self, notification_id: int) -> None:
        """Tell no more."""
        self._call(_delete(notification_id))

    def notifications(self, *, notebook_id: int | None = None) -> Iterator[NotificationOut]:
        """The notifications that the caller may see, by id, page after page."""
        skip = 0
        while True:
            page = self._call(_list(notebook_id, skip))
            yield from page
            if len(page) < _PAGE:
                return
            skip += _PAGE

    def deliveries(self, notification_id: int) -> Iterator[DeliveryOut]:
        """What was told, newest first, page after page; what is added meanwhile is not given, and none twice."""
        skip, last = 0, None
        while True:
            page = self._call(_deliveries(notification_id, skip))
            for item in page:
                if last is None or item.id < last:
                    last = item.id
                    yield item
            if len(page) < _PAGE:
                return
            skip += _PAGE


class AsyncNotifications:
    """The methods of the asynchronous client."""

    async def _call(self, call: Call[T]) -> T:
        raise NotImplementedError

    async def notify(
        self,
        channel: str,
        target: str,
        events: Sequence[str],
        *,
        notebook_id: int | None = None,
        secret: str | None = None,
    ) -> NotificationCreated:
        """Have a webhook or an e-mail address told of how executions end; the answer holds the webhook's secret."""
        return await self._call(_notify(channel, target, events, notebook_id, secret))

    async def notification(self, notification_id: int) -> NotificationOut:
        """One notification."""
        return await self._call(_one(notification_id))

    async def update_notification(self, notification_id: int, **changes: Any) -> NotificationOut:
        """Change the fields that are given."""
        return await self._call(_update(notification_id, changes))

    async def delete_notification(self, notification_id: int) -> None:
        """Tell no more."""
        await self._call(_delete(notification_id))

    async def notifications(self, *, notebook_id: int | None = None) -> AsyncIterator[NotificationOut]:
        """The notifications that the caller may see, by id, page after page."""
        skip = 0
        while True:
            page = await self._call(_list(notebook_id, skip))
            for item in page:
                yield item
            if len(page) < _PAGE:
                return
            skip += _PAGE

    async def deliveries(self, notification_id: int) -> AsyncIterator[DeliveryOut]:
        """What was told, newest first, page after page; what is added meanwhile is not given, and none twice."""
        skip, last = 0, None
        while True:
            page = await self._call(_deliveries(notification_id, skip))
            for item in page:
                if last is None or item.id < last:
                    last = item.id
                    yield item
            if len(page) < _PAGE:
                return
            skip += _PAGE
