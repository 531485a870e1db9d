"""The jobs of a campaign, one for each chunk, in procrastinate's tables beside the ledger.

Rule 1: nothing here is the truth. A job says that somebody should look at a chunk; what is to be
done there, the ledger knows. So a job that is lost is made again, one too many does no harm, and
all of them together can be thrown away.
Rule 2: of each chunk at most one job waits (its queueing lock), however often it is enqueued.
Rule 3: times are the server's.

procrastinate is asyncio only, and so is everything in this room.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import procrastinate
import psycopg
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from procrastinate.schema import SchemaManager
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from ..._errors import CampaignError
from .._postgres_link import fault
from ._order import Order

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from typing import LiteralString

    from .._postgres_url import Address

_LOG: Final = logging.getLogger("aldeamo_async.campaigns")

SCHEMA: Final = "aldeamo_queue"
TASK: Final = "aldeamo.run_chunk"
_TABLES: Final = SchemaManager.get_schema()
_PRINT: Final = f"procrastinate {hashlib.sha256(_TABLES.encode()).hexdigest()[:12]}"
_LOCK: Final = 0x414C4451  # "ALDQ": the advisory lock of whoever makes the schema
_AT_ONCE: Final = 1_000  # jobs of one statement
_POOL_SECONDS: Final = 10.0  # for a connection; a worker that gets none starts anew
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)  # due, whatever the clocks say

_ORDERS: Final = """
CREATE TABLE aldeamo_order (
    queue text PRIMARY KEY,
    rules jsonb NOT NULL,
    ordered timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_sweep timestamptz NOT NULL DEFAULT '-infinity'
)
"""
_PLACE: Final = """
INSERT INTO aldeamo_order (queue, rules) VALUES (%(queue)s, %(rules)s)
ON CONFLICT (queue) DO UPDATE SET
    rules = excluded.rules, ordered = excluded.ordered, next_sweep = '-infinity'
"""
# What waits for an hour of the old order is looked at anew; the notice is procrastinate's own.
_WAKE: Final = """
WITH woken AS (
    UPDATE procrastinate_jobs SET scheduled_at = NULL
    WHERE queue_name = %(queue)s AND status = 'todo' AND scheduled_at > now() RETURNING id
)
SELECT pg_notify(
    'procrastinate_queue_v1#' || %(queue)s::text,
    json_build_object('type', 'job_inserted', 'job_id', max(id))::text
) FROM woken HAVING count(*) > 0
"""
_ORDER: Final = "SELECT rules FROM aldeamo_order WHERE queue = %(queue)s"
# Jobs that wait for a chunk which others have finished in the meantime go with it.
_CLOSE: Final = """
WITH closed AS (
    DELETE FROM aldeamo_order
    WHERE queue = %(queue)s AND ordered = %(ordered)s::timestamptz RETURNING queue
)
DELETE FROM procrastinate_jobs USING closed WHERE queue_name = closed.queue AND status = 'todo'
"""
_ELECT: Final = """
UPDATE aldeamo_order SET next_sweep = clock_timestamp() + %(seconds)s * interval '1 second'
WHERE queue = %(queue)s AND next_sweep <= clock_timestamp() RETURNING ordered::text
"""
# procrastinate can enqueue many jobs at once, or each unless it waits already, but not both; this
# is both.
_ENQUEUE: Final = """
INSERT INTO procrastinate_jobs
    (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
SELECT %(queue)s::text, %(task)s::text, 0, NULL, %(queue)s::text || '/' || chunk,
    jsonb_build_object('chunk', chunk),
    CASE WHEN %(delay)s::float8 > 0 THEN now() + %(delay)s::float8 * interval '1 second' END
FROM unnest(%(chunks)s::bigint[]) AS chunk
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
"""


class _Manager(JobManager):
    """procrastinate's own, but for a job that ends without being there any more.

    A worker that slept through its lease finds its jobs given to others, and done: that is no
    error of a job. If the database is away instead, others take the job over.
    """

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        try:
            await super().finish_job(job, status, delete_job)
        except ConnectorException as error:
            _LOG.info("job %s was not closed: %s", job.id, _words(error))


class Queue:
    """The jobs and the order of one campaign."""

    def __init__(self, address: Address, *, connections: int = 2) -> None:
        self._address = address
        # Short, for PostgreSQL limits the name of a channel to 63 bytes.
        self.name = f"c{hashlib.sha256(address.campaign.encode()).hexdigest()[:16]}"
        self._connections = connections
        self._connector = procrastinate.PsycopgConnector()
        self.app = procrastinate.App(connector=self._connector)
        self.app.job_manager = _Manager(self._connector)

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Queue]:
        """Connect, and make the schema where there is none."""
        async with AsyncExitStack() as stack:
            pool = self._pool()
            stack.push_async_callback(pool.close)
            try:
                await pool.open(wait=True, timeout=_POOL_SECONDS)
                await _make_ready(pool, self._address.shown)
            except psycopg.Error as error:
                raise fault(error, self._address.shown) from None
            await stack.enter_async_context(self.app.open_async(pool))
            yield self

    def _pool(self) -> AsyncConnectionPool[Any]:
        return AsyncConnectionPool(
            self._address.conninfo.reveal(),
            kwargs={"options": self._options(), "application_name": "aldeamo-async"},
            min_size=1,
            max_size=self._connections,
            timeout=_POOL_SECONDS,
            check=AsyncConnectionPool.check_connection,  # one that was lost is made anew
            open=False,
        )

    def _options(self) -> str:
        """Return what the URL asks of its sessions, and what the jobs need.

        In another zone than UTC, a time that is read makes psycopg look for a file, in the loop.
        """
        given = conninfo_to_dict(self._address.conninfo.reveal()).get("options") or ""
        return f"{given} -c search_path={SCHEMA} -c timezone=UTC".strip()

    def on_chunk(self, work: Callable[[int], Awaitable[None]]) -> None:
        """Say what a worker does with the number of a chunk."""

        async def run_chunk(chunk: int) -> None:
            await work(chunk)

        self.app.task(name=TASK, queue=self.name)(run_chunk)

    # ── the order ─────────────────────────────────────────────────────────────────────────────────

    async def place(self, order: Order) -> None:
        """Start the campaign, or change what it goes by."""
        await self._do(_PLACE, rules=order.as_dict())
        await self._do(_WAKE)

    async def order(self) -> Order | None:
        """Return the order; ``None`` when the campaign was not started, or is done."""
        rows = await self._rows(_ORDER)
        return Order.from_dict(rows[0]["rules"]) if rows else None

    async def close_order(self, ordered: str) -> None:
        """Say that nothing is left to do, unless it was ordered again since."""
        await self._do(_CLOSE, ordered=ordered)

    async def elect(self, seconds: float) -> str | None:
        """Return when the campaign was ordered, if it is time to sweep, and ours to do; then it is
        nobody's for some seconds."""
        rows = await self._rows(_ELECT, seconds=seconds)
        return rows[0]["ordered"] if rows else None

    # ── the jobs ──────────────────────────────────────────────────────────────────────────────────

    async def enqueue(self, chunks: Sequence[int], delay: float = 0.0) -> None:
        """Have each chunk looked at, in ``delay`` seconds at the earliest, unless that is waiting
        to be done already."""
        for start in range(0, len(chunks), _AT_ONCE):
            some = list(chunks[start : start + _AT_ONCE])
            await self._do(_ENQUEUE, task=TASK, chunks=some, delay=delay)

    async def recover(self, seconds: float) -> None:
        """Give out again what workers held that have not beaten for so many seconds."""
        manager = self.app.job_manager
        found = await manager.get_stalled_jobs(queue=self.name, seconds_since_heartbeat=seconds)
        for job in found:
            try:
                await manager.retry_job(job, retry_at=_LONG_AGO)
            except ConnectorException:  # its chunk has another job that waits
                await manager.finish_job(job, status=Status.FAILED, delete_job=True)

    async def _do(self, statement: LiteralString, **values: Any) -> None:
        try:
            await self._connector.execute_query_async(statement, queue=self.name, **values)
        except ConnectorException as error:
            raise self._away(error) from None

    async def _rows(self, statement: LiteralString, **values: Any) -> list[dict[str, Any]]:
        try:
            rows: list[dict[str, Any]] = await self._connector.execute_query_all_async(
                statement, queue=self.name, **values
            )
        except ConnectorException as error:
            raise self._away(error) from None
        return rows

    def _away(self, error: ConnectorException) -> CampaignError:
        return CampaignError(
            f"{self._address.shown}: the jobs of the campaign are out of reach ({_words(error)})."
        )


def _words(error: ConnectorException) -> str:
    return str(error.__cause__ or error).strip().partition("\n")[0]


async def _make_ready(pool: AsyncConnectionPool[Any], shown: str) -> None:
    """Make the schema with procrastinate's tables in it; refuse one of another version of it."""
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        cursor = await connection.execute(
            "SELECT obj_description(to_regnamespace(%s), 'pg_namespace')", (SCHEMA,)
        )
        (found,) = await cursor.fetchone() or (None,)
        if found == _PRINT:
            return
        if found is not None:
            raise CampaignError(
                f"{shown}: the jobs in its schema {SCHEMA} were made by another version of "
                "procrastinate. Use one version on all machines; to change it, stop all workers, "
                f"DROP SCHEMA {SCHEMA} CASCADE, and start the campaign again. Nothing is lost by "
                "that: the jobs are made anew from the ledger."
            )
        await connection.execute(f"CREATE SCHEMA {SCHEMA}")
        await connection.execute(_TABLES)
        await connection.execute(_ORDERS)
        await connection.execute(f"COMMENT ON SCHEMA {SCHEMA} IS '{_PRINT}'")
