"""The tables, typed.

The contract's tables are ``notebooks``, ``notebook_parameters`` and ``notebook_executions``; columns that are not in it
are marked "beside the contract". ``execution_counts`` holds the totals of the history (see :class:`ExecutionCount`).
Procrastinate's own tables stand beside these; the functions of the queue are in ``migrations/sql/queue*.sql``.
"""

from pressroom.database.models.allowances import ExecutionAllowance
from pressroom.database.models.audit import AuditEntry
from pressroom.database.models.base import Base
from pressroom.database.models.batches import Batch
from pressroom.database.models.executions import TERMINAL, Attempt, Execution, ExecutionEvent
from pressroom.database.models.grants import Grant
from pressroom.database.models.history import HOUR_BLOCK_BITS, ExecutionCount, ExecutionHour, ExecutionParameter
from pressroom.database.models.notebooks import Notebook, Parameter
from pressroom.database.models.notifications import Delivery, Notification
from pressroom.database.models.results import ExecutionArtifact, ExecutionResult
from pressroom.database.models.schedules import Schedule, ScheduleTick
from pressroom.database.models.sessions import BrowserSession
from pressroom.database.models.tokens import AccessToken
from pressroom.database.models.tracking import MlflowRun, MlflowTracking
from pressroom.database.models.workers import ExecutionTurn, Worker

__all__ = [
    "HOUR_BLOCK_BITS",
    "TERMINAL",
    "AccessToken",
    "Attempt",
    "AuditEntry",
    "Base",
    "Batch",
    "BrowserSession",
    "Delivery",
    "Execution",
    "ExecutionAllowance",
    "ExecutionArtifact",
    "ExecutionCount",
    "ExecutionEvent",
    "ExecutionHour",
    "ExecutionParameter",
    "ExecutionResult",
    "ExecutionTurn",
    "Grant",
    "MlflowRun",
    "MlflowTracking",
    "Notebook",
    "Notification",
    "Parameter",
    "Schedule",
    "ScheduleTick",
    "Worker",
]
