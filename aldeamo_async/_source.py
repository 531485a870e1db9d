"""Taking from a source: an iterable, or an async iterable, one item at a time.

Rule 1: nothing is taken before it is asked for.
Rule 2: an async source is run by one task of its own: so it may hold scopes, task groups and
connections open between its items, and it is closed where it was opened.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import anyio

from ._errors import UsageError
from ._models import Outgoing

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

Source: TypeAlias = Iterable[Outgoing] | AsyncIterable[Outgoing]


class End(Enum):
    """The end of a source; a source may well hold ``None`` by mistake, and that is no end."""

    END = "end"


END: Final = End.END


class PlainSource:
    """Takes from an iterable."""

    def __init__(self, items: Iterable[Outgoing]) -> None:
        self._items = iter(items)
        self.stopped = False

    def start(self, tasks: TaskGroup) -> None:
        """Do nothing: an iterable runs in whoever takes from it."""

    def stop(self) -> None:
        """Take no more."""
        self.stopped = True

    async def take(self) -> Outgoing | End:
        """Return the next item, or the end."""
        return END if self.stopped else next(self._items, END)


class AsyncSource:
    """Takes from an async iterable; one ``take`` at a time."""

    def __init__(self, items: AsyncIterable[Outgoing]) -> None:
        self._items = items
        self._item: Outgoing | End = END
        self._asked = anyio.Event()
        self._answered = anyio.Event()
        self._ended = anyio.Event()
        self._scope: anyio.CancelScope | None = None  # while an item is awaited
        self._failure: Exception | None = None
        self.stopped = False

    def start(self, tasks: TaskGroup) -> None:
        """Start the task that runs the source."""
        tasks.start_soon(self._run)

    def stop(self) -> None:
        """Take no more, and wait no longer for an item that is on its way."""
        self.stopped = True
        self._asked.set()
        if self._scope is not None:
            self._scope.cancel()

    async def take(self) -> Outgoing | End:
        """Return the next item, or the end; raise what the source raised."""
        if not self.stopped:
            self._item, self._answered = END, anyio.Event()
            self._asked.set()
            await self._answered.wait()
            if self._item is not END:
                return self._item
        await self._ended.wait()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return END

    async def _run(self) -> None:
        """Bring an item each time one is asked for; close the source at the end."""
        try:
            await self._bring_each()
        except Exception as error:  # noqa: BLE001 - kept and raised to the one who takes
            self._failure = error
        finally:
            self.stopped = True
            self._answered.set()
            self._ended.set()

    async def _bring_each(self) -> None:
        items = aiter(self._items)
        scope = anyio.CancelScope()
        with scope:
            try:
                while await self._is_asked():
                    self._scope = scope
                    item = await anext(items, END)
                    self._scope = None
                    if item is END:
                        return
                    self._item = item
                    self._answered.set()
            finally:
                self._scope = None
                if isinstance(items, AsyncGenerator):
                    await items.aclose()

    async def _is_asked(self) -> bool:
        await self._asked.wait()
        self._asked = anyio.Event()
        return not self.stopped


def as_source(source: Any) -> PlainSource | AsyncSource:
    """Return the way to take from what a user passed."""
    if isinstance(source, AsyncIterable):
        return AsyncSource(cast("AsyncIterable[Outgoing]", source))
    if isinstance(source, Iterable) and not isinstance(source, str | bytes | Mapping):
        return PlainSource(cast("Iterable[Outgoing]", source))
    kind = type(cast("object", source)).__name__
    raise UsageError(f"send_many takes an iterable or async iterable of Outgoing, not {kind}.")
