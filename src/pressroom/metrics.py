"""What Prometheus reads: what this process did, and what the database says at that moment.

Counters and histograms live in the process that runs the executions (``pressroom serve`` with workers, or
``pressroom worker``) and start at zero with it. The queue, the running and the workers are read from PostgreSQL when
they are asked for, so they are the same from every process. The names are explained in ``docs/how-to/watch.md``.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import QueuePool, text
from sqlalchemy.exc import SQLAlchemyError

from pressroom import logs
from pressroom.database.session import Database
from pressroom.errors import Unavailable

READ_SECONDS = 2.0
"""How long a scrape waits for the database before it answers without it."""
_WAIT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)
_DURATION_BUCKETS = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200)
log = logs.logger("pressroom.metrics")

# Each of the first two parts reads a partial index of what is under way, never the history. A pending execution waits
# since it was submitted, or since the pause after its last attempt ended; one whose time has not come does not wait.
_READ = text("""
    WITH waiting AS (
        SELECT queue, count(*) AS depth,
            min(coalesce(not_before, submitted_at)) FILTER (WHERE coalesce(not_before, submitted_at) <= now()) AS since
        FROM notebook_executions WHERE status = 'pending' GROUP BY queue
    ),
    running AS (
        SELECT queue, count(*) AS number FROM notebook_executions WHERE status = 'running' GROUP BY queue
    ),
    alive AS (
        SELECT workers.queues FROM workers JOIN procrastinate_workers AS beating USING (id)
        WHERE beating.last_heartbeat > now() - make_interval(secs => :lost)
    ),
    queues AS (
        SELECT 'default' AS queue UNION SELECT queue FROM waiting UNION SELECT queue FROM running
        UNION SELECT jsonb_array_elements_text(queues) FROM alive WHERE jsonb_typeof(queues) = 'array'
    )
    SELECT queue, coalesce(depth, 0), coalesce(extract(epoch FROM now() - since), 0), coalesce(number, 0),
        (SELECT count(*) FROM alive)
    FROM queues LEFT JOIN waiting USING (queue) LEFT JOIN running USING (queue) ORDER BY queue
""")


@dataclass(frozen=True, slots=True)
class _Queue:
    name: str
    depth: int
    oldest_seconds: float
    running: int


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the database said at one scrape. ``queues`` and ``workers`` are ``None`` where it said nothing."""

    connections: dict[str, int]
    connections_limit: int
    queues: list[_Queue] | None = None
    workers: int | None = None


class Metrics:
    """The metrics of one process. Two of them share nothing.

    A worker without a sign of life for ``lost_seconds`` is not counted; it is what ``worker_lost_seconds`` says.
    """

    def __init__(self, lost_seconds: float) -> None:
        self._lost_seconds = lost_seconds
        self.registry = CollectorRegistry()
        self._ended = Counter(
            "pressroom_executions",
            "Executions that this process ended, by status and reason (empty for a success).",
            ["status", "reason"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "pressroom_execution_seconds",
            "How long executions ran that this process ended, in seconds.",
            ["status"],
            buckets=_DURATION_BUCKETS,
            registry=self.registry,
        )
        self._waited = Histogram(
            "pressroom_execution_wait_seconds",
            "How long executions that this process started had waited since their submission, in seconds.",
            buckets=_WAIT_BUCKETS,
            registry=self.registry,
        )
        self._ticks = Counter(
            "pressroom_schedule_ticks",
            "Ticks of schedules that this process dealt with, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self._late = Histogram(
            "pressroom_schedule_late_seconds",
            "How long after its time a schedule fired that this process fired, in seconds.",
            buckets=_WAIT_BUCKETS,
            registry=self.registry,
        )
        # A series that begins above zero hides its first increase.
        self._ended.labels("success", "")
        self._seconds.labels("success")
        self._ticks.labels("fired")
        self._ticks.labels("missed")
        self._database = _DatabaseCollector()
        self.registry.register(self._database)
        ProcessCollector(registry=self.registry)

    def execution_started(self, waited_seconds: float) -> None:
        """An execution started, ``waited_seconds`` after it was submitted. Not called for a later attempt."""
        self._waited.observe(max(0.0, waited_seconds))

    def execution_ended(self, status: str, reason: str | None, seconds: float | None) -> None:
        """An execution got its terminal ``status``; not called for an attempt that is to be repeated.

        ``reason`` is why it did not succeed; ``seconds`` how long its last attempt took, ``None`` where none began.
        """
        self._ended.labels(status, reason or "").inc()
        if seconds is not None:
            self._seconds.labels(status).observe(seconds)

    def ticks_ended(self, outcome: str, count: int) -> None:
        """``count`` ticks of a schedule had an ``outcome``."""
        self._ticks.labels(outcome).inc(count)

    def schedule_fired(self, late_seconds: float) -> None:
        """A schedule fired, so long after its time."""
        self._late.observe(late_seconds)

    async def render(self, database: Database, accept: str = "") -> tuple[bytes, str]:
        """All metrics and their content type: OpenMetrics where the header ``Accept`` asks for it, else text.

        The database is asked in one statement. Where it does not answer within ``READ_SECONDS``, what only it knows
        is left out and ``pressroom_database_up`` is 0; nothing is raised.
        """
        self._database.reading = await _read(database, self._lost_seconds)
        self._database.log_change()
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


async def _read(database: Database, lost_seconds: float) -> _Reading:
    pool = database.engine.pool
    assert isinstance(pool, QueuePool)
    connections = {"in_use": pool.checkedout(), "idle": pool.checkedin()}
    try:
        async with asyncio.timeout(READ_SECONDS), database.transaction() as session:
            rows = (await session.execute(_READ, {"lost": lost_seconds})).all()
    except (Unavailable, SQLAlchemyError, TimeoutError):
        return _Reading(connections, pool.size())
    queues = [_Queue(name, depth, float(oldest), running) for name, depth, oldest, running, _ in rows]
    return _Reading(connections, pool.size(), queues, rows[0][4])


class _DatabaseCollector(Collector):
    """The gauges of the last reading. Nothing stays from the reading before, as it would in a ``Gauge``."""

    def __init__(self) -> None:
        self.reading: _Reading | None = None
        self._was_up = True

    def log_change(self) -> None:
        up = self.reading is not None and self.reading.queues is not None
        if up != self._was_up:
            log.warning("the database answers again" if up else "the database does not answer")
        self._was_up = up

    def collect(self) -> Iterable[Metric]:
        reading = self.reading
        up = GaugeMetricFamily("pressroom_database_up", "Whether the database answered this scrape, 1 or 0.")
        connections = GaugeMetricFamily(
            "pressroom_database_connections",
            "Database connections of this process's pool, by state: in_use, idle.",
            labels=["state"],
        )
        limit = GaugeMetricFamily(
            "pressroom_database_connections_limit", "Database connections that this process's pool may hold."
        )
        workers = GaugeMetricFamily("pressroom_workers", "Workers that give signs of life, everywhere.")
        depth = GaugeMetricFamily("pressroom_queue_depth", "Executions that are pending.", labels=["queue"])
        oldest = GaugeMetricFamily(
            "pressroom_queue_oldest_waiting_seconds",
            "How long the execution that waits longest has waited, in seconds; 0 where none waits.",
            labels=["queue"],
        )
        running = GaugeMetricFamily("pressroom_executions_running", "Executions that run.", labels=["queue"])
        if reading is not None:
            up.add_metric([], reading.queues is not None)
            for state, number in reading.connections.items():
                connections.add_metric([state], number)
            limit.add_metric([], reading.connections_limit)
            if reading.workers is not None:
                workers.add_metric([], reading.workers)
            for queue in reading.queues or ():
                depth.add_metric([queue.name], queue.depth)
                oldest.add_metric([queue.name], queue.oldest_seconds)
                running.add_metric([queue.name], queue.running)
        return [up, connections, limit, workers, depth, oldest, running]
