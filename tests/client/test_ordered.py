"""Per-client order in bulk: one after the other for each client, side by side for all others."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldeamo_async import Outcome, Outgoing, RetryPolicy, SendChannel, Sent, TokenBucket
from aldeamo_async._order import Order, client_key
from support.clients import (
    MAYBE,
    UNSENT,
    Carrier,
    drain,
    later,
    make,
    messages,
    no,
    opened,
    scripted,
    taking,
    yes,
)
from support.clocks import virtual_backend

if TYPE_CHECKING:
    from aldeamo_async.transports import Exchange, WireRequest

WEATHER = {"unsent": UNSENT, "later": later("0.3"), "maybe": MAYBE, "no": no(), "yes": yes()}


# ── the bookkeeping ──


@pytest.mark.parametrize(
    "client_id", ["573000000001", "+57 300 000 0001", "57-3000000001", 573000000001]
)
@pytest.mark.parametrize("channel", ["sms", SendChannel.SMS])
def test_a_client_is_one_however_it_is_written(client_id: Any, channel: Any) -> None:
    """Signs and spaces in a number, and enum members, make no second client."""
    assert client_key(Outgoing(channel, client_id, "x")) == ("sms", "573000000001")


def test_the_same_id_on_another_channel_is_another_client() -> None:
    """A client is a channel and an id."""
    assert client_key(Outgoing("web", "1", "x")) != client_key(Outgoing("facebook", "1", "x"))


def test_what_is_no_message_has_no_client() -> None:
    """A mistake in the source is never held back, and holds nothing back."""
    order = Order(2)
    assert client_key(None) is None
    mistakes: list[Any] = [None, None, {}]
    assert all(order.start(mistake) for mistake in mistakes)
    assert [order.finish(mistake) for mistake in mistakes] == [None, None, None]
    assert order.held == 0


def test_messages_of_a_busy_client_come_back_in_their_order() -> None:
    """What was held back is given out first come, first served, and then the client is free."""
    order = Order(2)
    first, second, third = (Outgoing("sms", "1", text) for text in "abc")
    assert order.start(first)
    assert not order.start(second)
    assert not order.full
    assert not order.start(third)
    assert order.full
    assert order.finish(first) is second
    assert order.finish(second) is third
    assert order.finish(third) is None
    assert order.start(first)


# ── the run ──


async def test_one_client_is_served_one_message_at_a_time() -> None:
    """However many workers there are."""
    carrier = taking(1)
    async with (
        opened(carrier) as client,
        client.send_many(messages(10, clients=1), concurrency=5, ordered=True) as out,
    ):
        texts = [outcome.outgoing.text async for outcome in out]
    assert carrier.most == 1
    assert texts == carrier.texts == [f"Hola {n}" for n in range(10)]


async def test_other_clients_pass_a_busy_one() -> None:
    """A slow client holds back itself alone."""

    async def act(request: WireRequest) -> Exchange:
        await anyio.sleep(50 if dict(request.params)["client_id"].endswith("0") else 1)
        return yes()

    async with (
        opened(Carrier(lambda _, request: act(request))) as client,
        client.send_many(messages(60, clients=6), concurrency=6, ordered=True) as out,
    ):
        done = [(outcome.outgoing.client_id, anyio.current_time()) async for outcome in out]
    assert max(at for client_id, at in done if not str(client_id).endswith("0")) <= 12


async def test_what_is_held_back_is_bounded() -> None:
    """One talkative client fills ten places for each worker, and then the source waits."""
    taken = 0

    def source() -> Any:
        nonlocal taken
        for outgoing in messages(1000, clients=1):
            taken += 1
            yield outgoing

    async with (
        opened(taking(1)) as client,
        client.send_many(source(), concurrency=3, ordered=True) as outcomes,
    ):
        await anext(outcomes)
        assert taken <= 3 * 10 + 2
        outcomes.stop()
        rest = [outcome async for outcome in outcomes]
    assert len(rest) == taken - 1
    assert all(isinstance(outcome, Sent) for outcome in rest)


async def test_order_holds_through_retries() -> None:
    """The next message of a client waits until the one before it is done with its retries."""
    carrier = scripted(UNSENT, later("5"), yes(), UNSENT)
    policy = RetryPolicy(wait=lambda _: 2.0)
    async with (
        opened(carrier, retry=policy) as client,
        client.send_many(messages(3, clients=1), concurrency=3, ordered=True) as out,
    ):
        texts = [outcome.outgoing.text async for outcome in out]
    assert texts == ["Hola 0", "Hola 1", "Hola 2"]
    assert carrier.texts == ["Hola 0"] * 3 + ["Hola 1"] * 2 + ["Hola 2"]


async def test_a_bug_in_one_message_does_not_hold_its_client_s_others() -> None:
    """What was held back behind a programming error is still sent; nothing waits for ever."""

    async def act(number: int) -> Exchange:
        await anyio.sleep(1)
        if number == 0:
            raise TypeError("a bug")
        return yes()

    found: list[Outcome] = []
    async with (
        opened(Carrier(lambda number, _: act(number))) as client,
        client.send_many(messages(500, clients=1), concurrency=2, ordered=True) as out,
    ):
        with pytest.raises(TypeError, match="a bug"):
            await drain(out, found)
    assert [o.outgoing.text for o in found] == [f"Hola {n}" for n in range(1, out.taken)]


async def test_a_limiter_that_fails_behind_a_held_back_message_is_no_hang() -> None:
    """Nor does an error of the limiter leave the source waiting for room."""

    class Broken(TokenBucket):
        granted = 0

        async def acquire(self, n: float = 1, *, deadline: float | None = None) -> Any:
            raise RuntimeError("no store")

    async with (
        opened(taking(1), limiter=Broken(1000)) as client,
        client.send_many(messages(500, clients=1), concurrency=2, ordered=True) as out,
    ):
        with pytest.raises(RuntimeError, match="no store"):
            await drain(out)


@pytest.mark.slow
@given(
    clients=st.integers(1, 6),
    count=st.integers(1, 60),
    concurrency=st.integers(1, 8),
    rate=st.sampled_from([5.0, 50.0, float("inf")]),
    weather=st.lists(
        st.tuples(st.sampled_from(sorted(WEATHER)), st.sampled_from([0.0, 0.1, 1.0])), max_size=40
    ),
    hot=st.booleans(),
    backend=st.sampled_from(["asyncio", "trio"]),
)
def test_order_holds_in_any_weather(
    clients: int,
    count: int,
    concurrency: int,
    rate: float,
    weather: list[tuple[str, float]],
    hot: bool,
    backend: str,
) -> None:
    """For every client: outcomes and wire in the source's order, and none is lost."""
    source = [
        Outgoing("sms", f"57300000000{0 if hot and n % 4 else n % clients}", f"Hola {n}")
        for n in range(count)
    ]

    async def act(number: int) -> Exchange:
        kind, seconds = weather[number] if number < len(weather) else ("yes", 0.1)
        await anyio.sleep(seconds)
        return WEATHER[kind]

    async def run() -> None:
        carrier = Carrier(lambda number, _: act(number))
        policy = RetryPolicy(wait=lambda _: 0.5, budget=10_000)
        done: dict[Any, list[str]] = defaultdict(list)
        async with make(carrier, limiter=TokenBucket(rate), retry=policy) as client:
            with anyio.fail_after(100_000):
                async with client.send_many(source, concurrency=concurrency, ordered=True) as out:
                    async for outcome in out:
                        done[outcome.outgoing.client_id].append(outcome.outgoing.text)
        wanted: dict[Any, list[str]] = defaultdict(list)
        for outgoing in source:
            wanted[outgoing.client_id].append(outgoing.text)
        assert done == wanted
        assert carrier.most <= concurrency
        on_wire: dict[str, list[str]] = defaultdict(list)
        for request in carrier.requests:
            params = dict(request.params)
            if params["msg"] not in on_wire[params["client_id"]][-1:]:
                on_wire[params["client_id"]].append(params["msg"])
        assert on_wire == wanted

    name, options = virtual_backend(backend)
    anyio.run(run, backend=name, backend_options=options)
