"""One contract for every store: the same questions, the same answers, on the store's own clock."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from attrs import asdict, define, evolve
from valkey import Valkey

from aldeamo_async._errors import UsageError
from aldeamo_async.limits import Lease, LeaseRequest, LimitStore, MemoryStore, SharedTokenBucket
from aldeamo_async.limits._account import Account
from aldeamo_async.limits._postgres import _INHERITED, PostgresStore
from aldeamo_async.limits._store import open_store
from aldeamo_async.limits._valkey import ValkeyStore
from support import valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import PostgresServer
    from support.valkey import ValkeyServer

ASK = LeaseRequest(name="acme", worker="w1", want=10, ahead=0.2, rate=100.0, burst=5.0)
CLOSE = 1e-5  # seconds; what floats of a time since 1970 lose


@define
class Bench:
    """A store, and how to push the clock that it has written down."""

    store: LimitStore
    push: Callable[[float], None]

    def ask(self, **what: Any) -> Lease:
        return self.store.exchange(evolve(ASK, **what))


@contextmanager
def memory(request: pytest.FixtureRequest) -> Iterator[Bench]:
    store = MemoryStore(time.monotonic)

    def push(seconds: float) -> None:
        account = store._accounts["acme"]
        for name in ("at", "free_from", "frozen_until", "cut_after", "settle_at"):
            setattr(account, name, getattr(account, name) + seconds)

    yield Bench(store, push)


@contextmanager
def in_valkey(request: pytest.FixtureRequest) -> Iterator[Bench]:
    server: ValkeyServer = request.getfixturevalue("valkey_server")
    with Valkey.from_url(server.url()) as client:
        client.flushall()

        def push(seconds: float) -> None:
            for name in ("at", "free_from", "frozen_until", "cut_after", "settle_at"):
                client.hincrbyfloat("{aldeamo:limit:acme}", name, seconds)

        store = ValkeyStore(server.url())
        yield Bench(store, push)
        store.close()


@contextmanager
def in_postgres(request: pytest.FixtureRequest) -> Iterator[Bench]:
    url: str = request.getfixturevalue("shared_database")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS aldeamo_limits, aldeamo_limit_workers")
        connection.execute("DROP ROUTINE IF EXISTS aldeamo_lease_1")

    def push(seconds: float) -> None:
        with psycopg.connect(url) as connection:
            connection.execute(
                "UPDATE aldeamo_limits SET at = at + %s, free_from = free_from + %s,"
                " frozen_until = frozen_until + %s, cut_after = cut_after + %s,"
                " settle_at = settle_at + %s",
                [seconds] * 5,
            )

    store = PostgresStore(url)
    yield Bench(store, push)
    store.close()


KINDS = {"memory": memory, "valkey": in_valkey, "postgres": in_postgres}


@pytest.fixture(scope="module")
def shared_database(_postgres: PostgresServer) -> Iterator[str]:
    """One database for the whole contract: making one takes longer than a test."""
    with _postgres.database() as name:
        yield _postgres.url(name)


@pytest.fixture(params=KINDS)
def tested(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A fresh store of each kind."""
    with KINDS[request.param](request) as found:
        yield found


def test_slots_follow_each_other_without_a_gap(tested: Bench) -> None:
    """The second lease starts where the first ends, whoever asks."""
    first = tested.ask(want=4)
    second = tested.ask(want=3, worker="w2")
    assert (first.granted, second.granted) == (4, 3)
    assert first.step == pytest.approx(0.01)
    assert second.start == pytest.approx(first.start + 4 * first.step, abs=CLOSE)
    assert (first.workers, second.workers) == (1, 2)


def test_a_new_account_has_its_burst_and_no_more(tested: Bench) -> None:
    """The first slot is dated a burst back, and later by the way that the answer takes."""
    lease = tested.ask(lead=0.02)
    assert lease.start - lease.now == pytest.approx(-4 * 0.01 + 0.02, abs=CLOSE)
    assert (lease.rate, lease.burst, lease.share) == (100, 5, 1)


def test_a_lease_is_a_fair_part_of_a_tenth_of_a_second(tested: Bench) -> None:
    """At 100/s two workers get 5 of the 10 that they want; who needs more at once gets it."""
    tested.ask(want=0)
    assert tested.ask(want=10).granted == 10
    assert tested.ask(want=10, worker="w2", ahead=9).granted == 5
    assert tested.ask(want=10, worker="w3", ahead=9, least=4).granted == 4


def test_no_slot_is_given_out_too_far_ahead(tested: Bench) -> None:
    """Past `ahead` there is nothing but the date from which there will be."""
    while (lease := tested.ask(want=10)).granted:
        pass
    assert lease.start - lease.now > 0.2
    assert tested.ask(want=1, ahead=5.0).start == pytest.approx(lease.start, abs=CLOSE)


def test_a_freeze_holds_for_all_and_is_never_shortened(tested: Bench) -> None:
    """Slots after a freeze are dated after its end; a shorter freeze changes nothing."""
    long = tested.ask(want=0, freeze=30.0)
    assert long.frozen_until == pytest.approx(long.now + 30, abs=CLOSE)
    short = tested.ask(want=1, freeze=1.0, worker="w2", ahead=99)
    assert short.frozen_until == pytest.approx(long.frozen_until, abs=CLOSE)
    assert short.start == pytest.approx(long.frozen_until, abs=CLOSE)


def test_the_rate_is_cut_once_for_each_freeze(tested: Bench) -> None:
    """Ten workers report the same refusal: one cut; what was refused before it cuts nothing."""
    shares = [tested.ask(want=0, freeze=5.0, refused=0.0, worker=f"w{i}").share for i in range(10)]
    assert shares == [pytest.approx(0.7)] * 10
    tested.push(-6.0)
    late = tested.ask(want=0, refused=2.0)
    assert late.share == pytest.approx(0.7 + 0.01 * 1.0, abs=1e-3)
    again = tested.ask(want=0, freeze=1.0, refused=0.0)
    assert again.share == pytest.approx(late.share * 0.7, abs=1e-3)


def test_the_brake_climbs_back_to_the_whole_rate(tested: Bench) -> None:
    """A hundredth of the rate each second, and no further than all of it."""
    tested.ask(want=0, refused=0.0)
    tested.push(-10.0)
    assert tested.ask(want=0).share == pytest.approx(0.8, abs=1e-3)
    tested.push(-60.0)
    assert tested.ask(want=0).share == 1


def test_the_newest_word_on_the_rate_counts(tested: Bench) -> None:
    """What a worker declares holds for all and lifts the brake; what it only believes does not."""
    tested.ask(want=0, refused=0.0)
    assert tested.ask(want=0, rate=7.0).rate == 100
    assert tested.ask(want=0, declare=True).share < 1  # no news
    told = tested.ask(want=0, rate=50.0, burst=2.0, declare=True)
    assert (told.rate, told.burst, told.share) == (50, 2, 1)
    assert tested.ask(want=0, worker="w2").rate == 50


def test_a_paused_account_gives_out_nothing(tested: Bench) -> None:
    """At rate 0 there are no slots, and the step is endless."""
    lease = tested.ask(rate=0.0, declare=True)
    assert (lease.granted, lease.rate, lease.step) == (0, 0, float("inf"))


def test_accounts_are_strangers_to_each_other(tested: Bench) -> None:
    """A freeze of one name is none of another's."""
    tested.ask(want=0, freeze=60.0)
    assert tested.ask(name="other").granted == 10


def test_a_clock_that_goes_backwards_takes_all_dates_along(tested: Bench) -> None:
    """A store whose clock was set back an hour does not stand still for an hour."""
    tested.ask(want=0, freeze=0.5)
    tested.push(3600.0)
    lease = tested.ask(want=1, ahead=0.6)
    assert lease.granted == 1
    assert lease.frozen_until - lease.now <= 0.5


def test_who_comes_back_after_an_outage_starts_together(tested: Bench) -> None:
    """The first to come back names the moment; no slot is dated before it, for anybody."""
    fresh = tested.ask(want=0, recovering=True)
    assert fresh.settle_at == pytest.approx(fresh.now + 1.0, abs=CLOSE)
    second = tested.ask(want=0, recovering=True, worker="w2")
    assert second.settle_at == pytest.approx(fresh.settle_at, abs=CLOSE)
    newcomer = tested.ask(want=1, worker="w3", ahead=5)
    assert newcomer.start == pytest.approx(fresh.settle_at, abs=CLOSE)
    tested.push(-5.0)
    tested.ask(want=0)
    alone = tested.ask(want=0, recovering=True, worker="w2")
    assert alone.settle_at < alone.now


def test_workers_that_fell_silent_are_not_counted(tested: Bench) -> None:
    """After some seconds without a question a worker is gone."""
    tested.ask(want=0, worker="w2")
    assert tested.ask(want=0).workers == 2
    age(tested.store, 20.0)
    assert tested.ask(want=0).workers == 1


def age(store: LimitStore, seconds: float) -> None:
    """Make all signs of life older."""
    if isinstance(store, MemoryStore):
        workers = store._accounts["acme"].workers
        workers.update({who: seen - seconds for who, seen in workers.items()})
    elif isinstance(store, ValkeyStore):
        assert store._client is not None
        client, key = store._client[1], "{aldeamo:limit:acme}:workers"
        for who, seen in client.zrange(key, 0, -1, withscores=True):  # type: ignore[union-attr]
            client.zadd(key, {who: seen - seconds})
    elif isinstance(store, PostgresStore):
        assert store._held is not None
        store._held[1].execute("UPDATE aldeamo_limit_workers SET seen = seen - %s", [seconds])


def test_every_store_comes_to_the_numbers_of_the_reference(tested: Bench) -> None:
    """Three hundred questions of every kind: the answers are those of `Account`, to 10 µs."""
    dice = random.Random(5)
    tested.ask(want=0, name="warm")
    account = Account(ASK.rate, ASK.burst)
    for number in range(300):
        ask = evolve(
            ASK,
            worker=f"w{dice.randrange(4)}",
            want=dice.choice([0, 1, 3, 40]),
            least=dice.choice([1, 1, 2]),
            ahead=dice.choice([0.2, 0.2, 3.0]),
            lead=dice.choice([0.0, 0.003]),
            rate=dice.choice([100.0, 80.0]),
            burst=dice.choice([5.0, 2.5]),
            declare=dice.random() < 0.03,
            freeze=dice.choice([0.0, 0.005]) if dice.random() < 0.1 else None,
            refused=dice.choice([0.0, 0.1, 2.0]) if dice.random() < 0.1 else None,
            recovering=dice.random() < 0.05,
        )
        if number == 0:
            ask = evolve(ask, rate=ASK.rate, burst=ASK.burst)
        lease = tested.store.exchange(ask)
        expected = account.lease(lease.now, ask)
        held = asdict(lease)
        for name, value in asdict(expected).items():
            if name in ("frozen_until", "settle_at") and value == -float("inf"):
                continue  # no time at all is the beginning of time elsewhere
            assert held[name] == pytest.approx(value, abs=CLOSE), (number, name, ask)


def test_the_address_of_a_store_is_shown_without_its_password(tested: Bench) -> None:
    """`str` and `repr` name the store and hold no secret."""
    for store in (ValkeyStore("valkey://:hush@h/0"), PostgresStore("postgresql://ana:hush@h/d")):
        assert "hush" not in f"{store} {store!r}"
        assert str(store) in repr(store)
    assert str(tested.store) in repr(tested.store).lower() or "memory" in str(tested.store)


def test_a_url_names_the_kind_of_its_store() -> None:
    """PostgreSQL, Valkey and Redis by their schemes; a store is taken as it is."""
    for url in ("postgresql://h/d", "postgres://h/d"):
        assert isinstance(open_store(url), PostgresStore)
    for kind in ("valkey", "valkeys", "redis", "rediss", "unix", "REDIS"):
        assert isinstance(open_store(f"{kind}://h/0"), ValkeyStore)
    store = MemoryStore()
    assert open_store(store) is store
    assert repr(store) == "<MemoryStore of 0 accounts, 0 exchanges>"


@pytest.mark.parametrize("store", ["mysql://:hush@h", "", 7, MemoryStore])
def test_what_is_no_store_is_refused(store: Any) -> None:
    """A usage error before any I/O that says what would do, and quotes no password."""
    with pytest.raises(UsageError, match=r"postgresql://|MemoryStore") as caught:
        SharedTokenBucket(store, 5)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("library", "url", "extra"),
    [("valkey", "redis://h", "valkey"), ("psycopg", "postgresql://h/d", "postgres")],
)
def test_a_missing_library_is_named_with_its_extra(
    library: str, url: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the client library is not installed, the error is the command that installs it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=rf"pip install 'aldeamo-async\[{extra}\]'"):
        SharedTokenBucket(url, 5)
    assert library in sys.modules  # of this test; the store itself did not load it


def test_a_lost_connection_is_made_anew(postgres_url: str) -> None:
    """A connection that the server closed meanwhile costs nothing but a new one."""
    store = PostgresStore(postgres_url)
    store.exchange(ASK)
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert store.exchange(evolve(ASK, ahead=9)).granted == 10
    store.close()
    store.close()


def test_a_forked_child_leaves_the_connection_of_its_parent_alone(
    postgres_url: str, valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes one of its own; the parent's still answers afterwards."""
    stores = PostgresStore(postgres_url), ValkeyStore(valkey_server.url())
    parent = os.getpid()
    for store in stores:
        store.exchange(evolve(ASK, name="fork"))
        monkeypatch.setattr(os, "getpid", lambda: parent + 1)
        store.close()  # of another process: not touched
        monkeypatch.undo()
    for store in stores:
        store.exchange(evolve(ASK, name="fork"))
        monkeypatch.setattr(os, "getpid", lambda: parent + 1)
        store.exchange(evolve(ASK, name="fork"))
        store.close()
        monkeypatch.undo()
    assert len(_INHERITED) == 2
    while _INHERITED:
        held = _INHERITED.pop()
        assert held.execute("SELECT 1").fetchone() == (1,)
        held.close()


def test_a_table_lock_is_broken_off_by_close(postgres_url: str) -> None:
    """A round trip that hangs in the server ends when the store is closed from elsewhere."""
    store = PostgresStore(postgres_url)
    store.exchange(ASK)
    ended: list[BaseException] = []

    def exchange() -> None:
        try:
            store.exchange(ASK)
        except psycopg.OperationalError as error:
            ended.append(error)

    with psycopg.connect(postgres_url) as locker:
        locker.execute("LOCK TABLE aldeamo_limits IN ACCESS EXCLUSIVE MODE")
        thread = threading.Thread(target=exchange)
        thread.start()
        while not locker.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            time.sleep(0.005)
        store.close()
        thread.join(5)
    assert [type(error) for error in ended] == [psycopg.OperationalError]
    store.close()


def test_a_role_that_may_make_no_tables_says_so(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """The first round trip raises what the database said, and leaves no connection."""
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    postgres_server.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", name)
    postgres_server.execute("DROP ROLE IF EXISTS guest")
    postgres_server.execute("CREATE ROLE guest LOGIN")
    store = PostgresStore(postgres_url.replace("postgres@", "guest@"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        store.exchange(ASK)
    assert store._held is None


def test_a_password_opens_the_server_and_a_wrong_one_is_not_repeated() -> None:
    """With the password it answers; without, the error does not hold what was tried."""
    with valkey.running(password="hush") as server:
        store = ValkeyStore(server.url())
        assert store.exchange(ASK).granted == 10
        store.close()
        wrong = ValkeyStore(server.url().replace("hush", "guess"))
        with pytest.raises(Exception, match=r"(?i)password") as caught:
            wrong.exchange(ASK)
        assert "guess" not in repr(caught.value)
        wrong.close()
