"""Testing workflows without a server.

A WorkflowTest runs the code of a workflow as a worker does (_run.py), on a session
that lives in memory: a mailbox, a journal and a clock that jumps to the next thing
that happens. run() goes on until the code has ended or waits for something that is
not there; the next run() begins at the top again, against the journal, as after a
suspension.

replay() runs changed code against a journal that a server has recorded, and fails
where a worker would: with ReplayMismatch.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import random
import re
import uuid
from dataclasses import dataclass, field, replace as _with
from datetime import datetime, timezone
from typing import Any, Callable, Optional

from ._connections import Texts, texts_of
from ._errors import DurableError, ReplayMismatch, code_of
from ._names import Workflow, id_of
from ._ops import Op
from ._run import Attached, Limit
from ._values import UNSET, Duration, from_json, moment, to_json, to_seconds
from ._worker import execute


@dataclass
class Record:
    """A step in the journal. ``at`` orders the completions."""

    fn: str
    name: Optional[str]
    texts: Optional[Texts] = None
    error: Optional[list[Any]] = None
    at: Optional[float] = None


@dataclass
class Journal:
    """What a server has recorded of a workflow."""

    id: str
    input: Any
    steps: list[Optional[Record]] = field(default_factory=list)


@dataclass(frozen=True)
class TestOutcome:
    """How a run has ended: SUCCESS, ERROR, or WAITING."""

    __test__ = False
    status: str
    output: Any = None
    error: Optional[str] = None


def _null(value: Any) -> str:
    return to_json(value) or "null"


def _as_jsonb(value: Any) -> Any:
    """A value with its keys in the order of jsonb: the shorter first, then by bytes."""
    if isinstance(value, list):
        return [_as_jsonb(each) for each in value]
    if not isinstance(value, dict):
        return value
    keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
    return {key: _as_jsonb(value[key]) for key in keys}


def _stamp(seconds: float) -> str:
    return moment(seconds).isoformat(" ")


def _shown(fn: str, name: Optional[str]) -> str:
    if fn in ("wf_save_step", "wf_step"):
        return f'step "{name}"'
    return f"{fn}()" if name is None else f"{fn}({name})"


def _same_name(fn: str, one: Optional[str], other: Optional[str]) -> bool:
    if fn == "wf_wait_any" and one is not None and other is not None:
        return bool(json.loads(one) == json.loads(other))
    return one == other


def _key(source: dict[str, Any]) -> str:
    return json.dumps(source, sort_keys=True)


class _World:
    """What a workflow finds around it: mailbox, clock, other workflows."""

    def __init__(self, now: float, children: dict[str, Callable[..., Any]],
                 sql: Optional[Callable[..., Any]]) -> None:
        self.clock = now
        self.children = children
        self.sql = sql
        self.coming: list[tuple[float, int, Callable[[], None]]] = []
        self.queues: dict[str, list[tuple[str, int]]] = {}
        self.published: dict[tuple[str, str], str] = {}
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.streams: dict[tuple[str, str], list[str]] = {}
        self.closed: set[tuple[str, str]] = set()
        self.hooks: set[str] = set()
        self.events: dict[str, Any] = {}
        self.sent: list[dict[str, Any]] = []
        self.notified: list[dict[str, Any]] = []
        self.started: list[dict[str, Any]] = []
        self.responses: list[dict[str, Any]] = []
        self.attributes: dict[str, Any] = {}
        self.count = 0
        self.completed = 0

    def next(self) -> int:
        self.count += 1
        return self.count

    def happen(self, after: Duration, arrive: Callable[[], None]) -> None:
        """Have something happen, now or later."""
        seconds = to_seconds(after)
        if seconds == 0:
            arrive()
        else:
            self.coming.append((self.clock + seconds, self.next(), arrive))
            self.coming.sort(key=lambda each: each[:2])

    def put(self, source: dict[str, Any], value: Any) -> None:
        self.queues.setdefault(_key(source), []).append((_null(value), self.next()))

    def age(self, source: dict[str, Any]) -> float:
        queue = self.queues.get(_key(source))
        return queue[0][1] if queue else math.inf

    def look(self, source: dict[str, Any]) -> Any:
        """The text of a source's value; UNSET if it has none."""
        if "token" in source and source["token"] not in self.hooks:
            raise DurableError("there is no such hook", "WF006")
        workflow_id = source.get("workflow_id", "")
        if "key" in source:
            text = self.published.get((workflow_id, source["key"]), UNSET)
            return None if text is UNSET and workflow_id in self.outcomes else text
        if "stream" in source:
            place = (workflow_id, source["stream"])
            items = self.streams.get(place, [])
            if len(items) > source["after"]:
                return json.dumps({"item_no": source["after"] + 1, "ended": False,
                                   "value": json.loads(items[source["after"]])})
            if place in self.closed or workflow_id in self.outcomes:
                return json.dumps({"item_no": None, "value": None, "ended": True})
            return UNSET
        if "workflow_id" in source:
            outcome = self.outcomes.get(workflow_id)
            return UNSET if outcome is None else json.dumps(outcome)
        queue = self.queues.get(_key(source))
        return queue.pop(0)[0] if queue else UNSET

    def wait(self, sources: list[dict[str, Any]], deadline: float) -> Optional[tuple[int, Any]]:
        """Wait for the first of several sources; the clock jumps."""
        while True:
            for n, source in enumerate(sources):
                text = self.look(source)
                if text is not UNSET:
                    return n, text
            if self.coming and self.coming[0][0] <= deadline:
                at, _, arrive = self.coming.pop(0)
                self.clock = max(self.clock, at)
                arrive()
            elif deadline == math.inf:
                raise DurableError("the workflow is suspended", "WF010")
            else:
                self.clock = max(self.clock, deadline)
                return None


class _TestSession:
    """The session: what a server would do for each call, and the journal."""

    def __init__(self, world: _World, journal: list[Optional[Record]], workflow_id: str,
                 steps: dict[str, Any], is_replay: bool = False) -> None:
        self.world = world
        self.journal = journal
        self.id = workflow_id
        self.steps = steps
        self.is_replay = is_replay
        self.no = 0
        self.patches: dict[str, bool] = {}
        self.open: dict[str, int] = {}
        self.outcome: Optional[TestOutcome] = None
        self.next_input: Any = UNSET

    def _recorded(self, fn: str, name: Optional[str]) -> Optional[Record]:
        """The record at the next number, if there is one."""
        record = self.journal[self.no] if self.no < len(self.journal) else None
        self.no += 1
        if record is None:
            if self.is_replay and self.no > len(self.journal):
                raise DurableError("the journal ends here", "WF010")
            return None
        if record.fn != fn or not _same_name(fn, record.name, name):
            raise ReplayMismatch(
                f"step {self.no} was recorded as {_shown(record.fn, record.name)}, "
                f"and {_shown(fn, name)} was called", "WF004")
        return record if record.at is not None else None

    def _record(self, no: int, record: Record) -> None:
        self.world.completed += 1
        record.at = self.world.completed
        while len(self.journal) < no:
            self.journal.append(None)
        self.journal[no - 1] = record

    def _patched(self, change: str) -> bool:
        if change not in self.patches:
            rest = self.journal[self.no:]
            self.patches[change] = all(each is None or each.at is None for each in rest) or \
                (rest[0] is not None and (rest[0].fn, rest[0].name) == ("wf_patched", change))
            if self.patches[change] and self._recorded("wf_patched", change) is None:
                self._record(self.no, Record("wf_patched", change, ["t"]))
        return self.patches[change]

    async def call(self, op: Op, limit: Optional[Limit] = None) -> Any:
        if op.fn == "wf_patched":
            return self._patched(str(op.name))
        record = self._recorded(op.fn, op.name)
        no = self.no
        if record is not None and record.error is not None:
            raise DurableError(record.error[1], record.error[0])
        if record is not None:
            return op.decode(record.texts or [])
        try:
            texts = await self._do(op, limit or Limit(0))
        except Exception as error:
            if code_of(error) == "WF010":
                raise
            self._record(no, Record(op.fn, op.name, error=[code_of(error) or "P0001", str(error)]))
            raise
        self._record(no, Record(op.fn, op.name, texts))
        return op.decode(texts)

    async def _do(self, op: Op, limit: Limit) -> Texts:
        """What a call does, as the texts of its columns."""
        world, values, name = self.world, list(op.values), str(op.name)
        place = (self.id, name)
        if op.fn == "wf_set_event":
            world.events[name] = json.loads(values[1])
            return []
        if op.fn == "wf_send":
            world.sent.append({"to": values[0], "message": json.loads(values[1]),
                               "topic": values[2], "idempotency_key": values[3]})
            return [str(len(world.sent))]
        if op.fn == "wf_send_many":
            first = len(world.sent) + 1
            for to, message, key in zip(values[0], values[1], values[3]):
                world.sent.append({"to": to, "message": json.loads(message), "topic": values[2],
                                   "idempotency_key": key})
            return ["{" + ",".join(map(str, range(first, len(world.sent) + 1))) + "}"]
        if op.fn == "wf_notify":
            world.notified.append({"event_id": name, "data": json.loads(values[1]),
                                   "workflow_id": values[2]})
            return [] if values[2] is None else [values[2], str(len(world.notified)), None, None]
        if op.fn == "wf_now":
            return [_stamp(world.clock)]
        if op.fn == "wf_random":
            return [str(random.random())]
        if op.fn == "wf_uuid":
            return [str(uuid.uuid4())]
        if op.fn == "wf_status":
            return [world.outcomes.get(name, {}).get("status", "RUNNING")]
        if op.fn == "wf_start":
            return [await self._start(*values[:4])]
        if op.fn == "wf_cancel":
            alive = name not in world.outcomes
            if alive:
                world.outcomes[name] = {"status": "CANCELLED", "output": None, "error": None}
            return ["t" if alive else "f"]
        if op.fn == "wf_set_attributes":
            world.attributes.update(json.loads(values[0]))
            world.attributes = {key: value for key, value in world.attributes.items()
                                if value is not None}
            return [json.dumps(world.attributes)]
        if op.fn == "wf_create_hook":
            token = values[0] if values[0] is not None else f"hook-{world.next()}"
            world.hooks.add(token)
            return [token]
        if op.fn in ("wf_create_webhook", "wf_create_stream_url"):
            kind = "webhook" if op.fn == "wf_create_webhook" else "stream"
            token = f"{kind}-{world.next()}"
            if kind == "webhook":
                world.hooks.add(token)
            return [token, f"https://test.invalid/.well-known/workflow/v1/{kind}/{token}"]
        if op.fn == "wf_dispose_hook":
            found = name in world.hooks
            world.hooks.discard(name)
            return ["t" if found else "f"]
        if op.fn == "wf_resume_hook":
            return ["another"]
        if op.fn == "wf_respond":
            world.responses.append({"request_id": values[0], "status": values[1],
                                    "headers": json.loads(values[2]), "body": values[3]})
            return ["t"]
        if op.fn in ("wf_write_stream", "wf_write_stream_many"):
            items = world.streams.setdefault(place, [])
            items.extend(values[1] if op.fn == "wf_write_stream_many" else [values[1]])
            return [str(len(items))]
        if op.fn == "wf_close_stream":
            world.closed.add(place)
            return []
        if op.fn == "wf_step":
            if world.sql is None:
                raise TypeError(f'ctx.sql("{name}") wants the argument sql')
            return [_null(world.sql(name, values[1], from_json(values[2])))]
        until = limit.deadline if limit.deadline is not None else world.clock + limit.seconds
        sources = op.sources
        if op.fn == "wf_recv_any":
            sources = sorted(sources, key=world.age)    # the oldest of them
        return self._waited(op.fn, sources, world.wait(sources, until), until)

    def _waited(self, fn: str, sources: list[dict[str, Any]], got: Optional[tuple[int, Any]],
                until: float) -> Texts:
        """The columns of a call that waits."""
        if fn == "wf_sleep":
            return [_stamp(until)]
        if fn == "wf_recv_any":
            return [None, None] if got is None else [sources[got[0]]["topic"], got[1]]
        if fn == "wf_wait_for_event":
            return [None, "t"] if got is None else [got[1], "f"]
        if fn == "wf_wait_any":
            return [None, None] if got is None else [str(got[0] + 1), got[1]]
        if fn == "wf_result":
            outcome = {"status": "RUNNING"} if got is None else json.loads(got[1])
            output = outcome.get("output")
            return [outcome["status"], None if output is None else json.dumps(output),
                    outcome.get("error")]
        if fn == "wf_read_stream":
            after = str(sources[0]["after"])
            part = None if got is None else json.loads(got[1])
            if part is None or part["ended"]:
                return [None, after, "f" if part is None else "t"]
            return [json.dumps([part["value"]]), str(part["item_no"]), "f"]
        return [None if got is None else got[1]]

    async def _start(self, given: Optional[str], body: Optional[str], input: Optional[str],
                     queue: Optional[str]) -> str:
        world = self.world
        workflow_id = given if given is not None else f"child-{world.next()}"
        world.started.append({"id": workflow_id, "queue": queue, "body": body,
                              "input": from_json(input)})
        child = world.children.get(queue or body or "")
        if child is not None and workflow_id not in world.outcomes:
            outcome: dict[str, Any] = {"status": "SUCCESS", "output": None, "error": None}
            try:
                output = child(from_json(input))
                if asyncio.iscoroutine(output):
                    output = await output
                outcome["output"] = json.loads(_null(output))
            except Exception as error:
                outcome.update(status="ERROR", error=str(error))
            world.outcomes[workflow_id] = outcome
        return workflow_id

    async def received_traceparent(self) -> Optional[str]:
        """No test has traces."""
        return None

    async def begin(self, name: str) -> tuple[int, bool, Optional[str], Optional[str]]:
        record = self._recorded("wf_save_step", name)
        self.open[name] = self.no
        if record is None:
            return self.no, False, None, None
        if record.error is not None:
            return self.no, True, None, record.error[1]
        return self.no, True, (record.texts or [None])[0], None

    async def save(self, name: str, output: Optional[str]) -> str:
        saved = json.dumps(_as_jsonb(json.loads(output or "null")))
        self._record(self.open[name], Record("wf_save_step", name, [saved]))
        return saved

    async def fail(self, name: str, error: str) -> None:
        self._record(self.open[name], Record("wf_save_step", name, error=["38000", error]))

    def replace(self, name: str, fn: Callable[[], Any]) -> Callable[[], Any]:
        given = self.steps.get(re.sub(r" #\d+$", "", name), UNSET)
        if given is UNSET:
            return fn
        replaced: Callable[[], Any] = given if callable(given) else lambda: given
        return replaced

    async def pause(self, seconds: float) -> None:
        self.world.clock += seconds

    async def complete(self, output: Optional[str]) -> None:
        self.outcome = TestOutcome("SUCCESS", from_json(output))

    async def fail_workflow(self, error: str) -> None:
        self.outcome = TestOutcome("ERROR", error=error)

    async def continue_as_new(self, input: Optional[str]) -> None:
        self.journal.clear()
        self.next_input = input

    async def completions(self, workflow_id: str) -> list[int]:
        done = [(record.at, no + 1) for no, record in enumerate(self.journal)
                if record is not None and record.at is not None]
        return [no for _, no in sorted(done)]

    async def has_ended(self, workflow_id: str) -> bool:
        return False


def _code_of(workflow: Any) -> Any:
    return workflow.code if isinstance(workflow, Workflow) else workflow


async def _run(session: _TestSession, code: Any, input: Optional[str]) -> Optional[TestOutcome]:
    kind, error = await execute(session, Attached(session.id, "test", input, 1), code, {})
    if kind in ("completed", "failed"):
        return session.outcome
    if kind == "suspended":
        return TestOutcome("WAITING")
    if kind == "continued":
        return None
    raise error


class WorkflowTest:
    """A workflow to be tested. ``steps`` take the place of steps (a value, or a
    function), ``children`` say what children come to, ``sql`` what ctx.sql() returns."""

    def __init__(self, workflow: Any, input: Any = UNSET, *, id: str = "test",
                 now: Optional[datetime] = None, steps: Optional[dict[str, Any]] = None,
                 children: Optional[dict[str, Callable[..., Any]]] = None,
                 sql: Optional[Callable[..., Any]] = None) -> None:
        self.id = id
        self.journal: list[Optional[Record]] = []
        self._code = _code_of(workflow)
        self._input = to_json(input)
        self._steps = steps or {}
        self._world = _World((now or datetime.now(timezone.utc)).timestamp(), children or {}, sql)

    # ----- what happens around it, at once or ``after`` a time of the test's clock

    def send(self, message: Any, topic: Optional[str] = None, after: Duration = 0) -> WorkflowTest:
        """A message to it."""
        self._world.happen(after, lambda: self._world.put({"topic": topic}, message))
        return self

    def notify(self, event_id: str, data: Any = None, after: Duration = 0) -> WorkflowTest:
        """A notification for it."""
        self._world.happen(after, lambda: self._world.put({"event_id": event_id}, data))
        return self

    def resume_hook(self, token: str, payload: Any, after: Duration = 0) -> WorkflowTest:
        """A payload to a hook of it."""
        self._world.happen(after, lambda: self._world.put({"token": token}, payload))
        return self

    def request(self, webhook: str, body: Any = None, method: str = "POST",
                headers: Optional[dict[str, str]] = None, after: Duration = 0) -> WorkflowTest:
        """A request to a webhook of it, given by its token or URL."""
        text = "" if body is None else body if isinstance(body, str) else json.dumps(body)
        token = webhook.split("/")[-1]
        return self.resume_hook(token, {
            "request_id": self._world.next(), "method": method, "url": f"/{token}",
            "path": f"/{token}", "query": None,
            "headers": {name.lower(): value for name, value in (headers or {}).items()},
            "body": body, "body_base64": base64.b64encode(text.encode()).decode(),
            "received_at": moment(self._world.clock).isoformat()}, after)

    def publish(self, workflow: Any, key: str, value: Any, after: Duration = 0) -> WorkflowTest:
        """Another workflow publishes something."""
        def arrive() -> None:
            self._world.published[(id_of(workflow), key)] = _null(value)
        self._world.happen(after, arrive)
        return self

    def finish(self, workflow: Any, output: Any = None, error: Optional[str] = None,
               after: Duration = 0) -> WorkflowTest:
        """Another workflow ends."""
        def arrive() -> None:
            self._world.outcomes[id_of(workflow)] = {
                "status": "SUCCESS" if error is None else "ERROR",
                "output": json.loads(_null(output)), "error": error}
        self._world.happen(after, arrive)
        return self

    # ----- what it has done

    @property
    def now(self) -> datetime:
        """The test's clock."""
        return moment(self._world.clock)

    @property
    def events(self) -> dict[str, Any]:
        """What it has published."""
        return self._world.events

    @property
    def sent(self) -> list[dict[str, Any]]:
        """What it has sent."""
        return self._world.sent

    @property
    def notified(self) -> list[dict[str, Any]]:
        """What it has notified."""
        return self._world.notified

    @property
    def started(self) -> list[dict[str, Any]]:
        """What it has started."""
        return self._world.started

    @property
    def responses(self) -> list[dict[str, Any]]:
        """What it has answered to requests."""
        return self._world.responses

    @property
    def attributes(self) -> dict[str, Any]:
        """Its attributes."""
        return self._world.attributes

    @property
    def hooks(self) -> list[str]:
        """Its open hooks."""
        return sorted(self._world.hooks)

    def stream(self, name: str) -> list[Any]:
        """The items of a stream of it."""
        return [json.loads(text) for text in self._world.streams.get((self.id, name), [])]

    async def run_async(self, changed: Any = None) -> TestOutcome:
        """Run it, or changed code, on."""
        if changed is not None:
            self._code = _code_of(changed)
        while True:
            session = _TestSession(self._world, self.journal, self.id, self._steps)
            outcome = await _run(session, self._code, self._input)
            if outcome is not None:
                return outcome
            self._input = session.next_input

    def run(self, changed: Any = None) -> TestOutcome:
        """The same for tests that are not asynchronous."""
        return asyncio.run(self.run_async(changed))


async def journal_of_async(connection: Any, workflow: Any) -> Journal:
    """The journal of a workflow, from a server, by an AsyncConnection."""
    rows = await texts_of(connection, _JOURNAL, (id_of(workflow),))
    return _to_journal(id_of(workflow), rows)


def journal_of(connection: Any, workflow: Any) -> Journal:
    """The journal of a workflow, from a server, by a Connection of psycopg."""
    cursor = connection.execute(_JOURNAL, (id_of(workflow),))
    result = cursor.pgresult
    rows = []
    for row in range(result.ntuples):
        cells = [result.get_value(row, column) for column in range(result.nfields)]
        rows.append([None if cell is None else cell.decode() for cell in cells])
    return _to_journal(id_of(workflow), rows)


_JOURNAL = """
    SELECT s.step_no, s.function, s.name, to_json(s.result), to_json(s.error),
           (extract(epoch FROM s.completed_at) * 1000000)::bigint, w.input
      FROM wf_workflows w LEFT JOIN durable_wf.step s USING (workflow_id)
     WHERE w.workflow_id = %s ORDER BY s.step_no"""


def _to_journal(workflow_id: str, rows: list[Texts]) -> Journal:
    journal = Journal(workflow_id, from_json(rows[0][6]) if rows else None)
    for no, fn, name, texts, error, at, _ in rows:
        if no is None:
            continue
        while len(journal.steps) < int(no):
            journal.steps.append(None)
        journal.steps[int(no) - 1] = Record(
            "wf_save_step" if fn == "wf_fail_step" else str(fn), name,
            None if texts is None else json.loads(texts),
            None if error is None else json.loads(error), None if at is None else float(at))
    return journal


async def replay_async(workflow: Any, journal: Journal) -> TestOutcome:
    """Run code against a journal: how far it comes, WAITING where the journal ends.
    Raises ReplayMismatch where it makes another call than was recorded."""
    steps = [None if record is None else _with(record) for record in journal.steps]
    session = _TestSession(_World(0, {}, None), steps, journal.id, {}, is_replay=True)
    outcome = await _run(session, _code_of(workflow), to_json(journal.input))
    return outcome or TestOutcome("WAITING")


def replay(workflow: Any, journal: Journal) -> TestOutcome:
    """The same for tests that are not asynchronous."""
    return asyncio.run(replay_async(workflow, journal))
