"""Client and worker for durable_wf, the PostgreSQL extension.

``DurableWf`` is for programs with threads, ``AsyncDurableWf`` for asyncio.
"""

from ._client import AsyncDurableWf, Handle, HookInfo, News, StreamReader, Subscription
from ._context import Child, Context, Hook, SyncContext, SyncHook, SyncWebhook, Webhook, WebhookRequest
from ._errors import (DurableError, FatalError, ReplayMismatch, RetryableError, RunOver, StepError,
                      StepTimeout, WaitTimeout, WorkflowCancelled, WorkflowFailed)
from ._names import Body, Outcome, Workflow
from ._ops import Arrival, EventWait, Link, Notified, Received
from ._step import Backoff, StepInfo, step_info
from ._sync import DurableWf, SyncWorker
from ._values import UNSET
from ._worker import Worker

__version__ = "1.0.0"
__all__ = [
    "Arrival", "AsyncDurableWf", "Backoff", "Body", "Child", "Context", "DurableError", "DurableWf",
    "EventWait", "FatalError", "Handle", "Hook", "HookInfo", "Link", "News", "Notified", "Outcome",
    "Received", "ReplayMismatch", "RetryableError", "RunOver", "StepError", "StepInfo",
    "StepTimeout", "StreamReader", "Subscription", "SyncContext", "SyncHook", "SyncWebhook",
    "SyncWorker", "UNSET", "WaitTimeout", "Webhook", "WebhookRequest", "Worker", "Workflow",
    "WorkflowCancelled", "WorkflowFailed", "step_info",
]
