"""Clients of workflows: who starts and feeds them, and who executes them.

A workflow's input says by which door each of its rounds gets a value; the one
that started it feeds these values.  Each round is a step with an effect, a
wait, an item in a stream and a message to a sink.  What was got is the output.
In the ledger: start, step (with the value that the server returned), finish,
result; and the sends of those that feed.
"""

import json

from client import Client, Lost, Refused
from doors_queue import channel

EFFECT = ("INSERT INTO storm_effect VALUES ($1->>0, $1->>1, $1->>2) RETURNING value")
ENDED = ("SUCCESS", "ERROR", "CANCELLED")
KINDS = ("recv", "recv_any", "notify", "hook", "event", "sleep", "wait_any")

BODY = """
CREATE PROCEDURE storm_body(input jsonb) LANGUAGE plpgsql AS $body$
DECLARE
    kind text; got jsonb; topic text; timed_out boolean; source int; at timestamptz;
    all_got jsonb = '[]'; i int = 0; me text = wf_current();
BEGIN
    PERFORM wf_create_hook('hook-' || me);
    FOR kind IN SELECT jsonb_array_elements_text(input->'kinds') LOOP
        i := i + 1;
        CALL wf_step('step ' || i, $$%s$$,
                     jsonb_build_array(me, 'step ' || i, wf_uuid()), 3, '10 ms', got);
        got := NULL;
        CASE kind
        WHEN 'recv' THEN CALL wf_recv('go', NULL, NULL, got);
        WHEN 'recv_any' THEN CALL wf_recv_any('{go,stay}', NULL, NULL, topic, got);
        WHEN 'notify' THEN CALL wf_wait_for_event('go', NULL, NULL, got, timed_out);
        WHEN 'hook' THEN CALL wf_await_hook('hook-' || me, NULL, got);
        WHEN 'event' THEN CALL wf_get_event(me, 'round ' || i, NULL, got);
        WHEN 'wait_any' THEN CALL wf_wait_any('[{"topic": "go"}, {"event_id": "other"}]', NULL, NULL, source, got);
        ELSE CALL wf_sleep('50 ms', at);
        END CASE;
        all_got := all_got || jsonb_build_array(got);
        PERFORM wf_write_stream('log', to_jsonb(me || '/' || i));
        PERFORM wf_send('sink', to_jsonb(me || '/' || i), 'sink');
    END LOOP;
    PERFORM wf_complete(jsonb_build_object('got', all_got));
END $body$;
""" % EFFECT


class Starter(Client):
    """Starts workflows, feeds them, and awaits their ends."""

    door = "body"
    start = "SELECT wf_start(%s, 'storm_body', %s)"

    def act(self):
        batch = []
        for _ in range(self.rng.randint(1, 4)):
            kinds = [self.rng.choice(KINDS) for _ in range(self.rng.randint(1, 5))]
            batch.append((self.begin(kinds), kinds))
        # what each of them waits for, in turns
        rounds = [(number, workflow, kind) for workflow, kinds in batch
                  for number, kind in enumerate(kinds, 1)]
        rounds.sort(key=lambda item: item[0])
        for number, workflow, kind in rounds:
            self.feed(workflow, number, kind)
            self.pause()
        for workflow, _ in batch:
            if self.rng.random() < 0.7:
                self.result(workflow)

    def begin(self, kinds):
        workflow = "wf-" + self.value()
        data = json.dumps({"kinds": kinds})
        self.until_acknowledged(lambda: self.noted(
            "start", lambda seen: self.sql(self.start, workflow, data) and None,
            wf=workflow, kinds=kinds, executed_by=self.door))
        return workflow

    def feed(self, workflow, number, kind):
        """Send what a round waits for; every way can be repeated."""
        value = "%s/%d" % (workflow, number)
        if kind in ("recv", "recv_any", "wait_any"):
            send, door, key = "SELECT wf_send(%s, %s::jsonb, 'go', %s)", "m", "go"
        elif kind == "hook":
            send, door, key = "SELECT wf_resume_hook('hook-' || %s, %s::jsonb, %s)", "h", "hook-" + workflow
        elif kind == "notify":
            self.addressed(workflow, value)
            return
        elif kind == "event":
            self.until_fed(workflow, lambda: self.noted(
                "feed", lambda seen: self.sql("SELECT wf_set_event(%s, %s::jsonb, %s)", "round %d" % number,
                                              json.dumps(value), workflow) and None,
                event=value, expected=("WF003",)))
            return
        else:
            return
        # WF006: it has not made its hook yet
        self.until_fed(workflow, lambda: self.noted(
            "send", lambda seen: self.sql(send, workflow, json.dumps(value), value) and None,
            how="feed", key=value, v=[[channel(door, workflow, key), value]], expected=("WF003", "WF006")))

    def until_fed(self, workflow, work):
        """Repeat work until it is acknowledged, or the workflow has ended: it
        ends only when it has got what a call without an answer has sent."""
        def once():
            reply = work()
            if reply is None and self.refusal and self.quietly("SELECT wf_status(%s)", workflow)[0][0] in ENDED:
                return {}
            return reply
        self.until_acknowledged(once)

    def addressed(self, workflow, value):
        """Notify once: a row of the same transaction tells whether it was."""
        def work(seen):
            self.sql("BEGIN")
            self.sql("SELECT wf_notify('go', %s::jsonb, %s)", json.dumps(value), workflow)
            self.sql("INSERT INTO storm_sent VALUES (%s)", value)
            self.sql("COMMIT")
        while True:
            try:
                self.noted("send", work, how="notify", evidence=True,
                           v=[[channel("n", workflow, "go"), value]])
                return
            except Lost:
                self.drop()
                if self.quietly("SELECT 1 FROM storm_sent WHERE value = %s", value):
                    return

    def result(self, workflow):
        def work(seen):
            status, output, error = self.one("CALL wf_result(%s, NULL, NULL, NULL, NULL)", workflow)
            return {"status": status, "output": output, "error": error}
        self.until_acknowledged(lambda: self.noted("result", work, wf=workflow))


class Canceller(Starter):
    """Starts workflows that nobody feeds, and cancels them."""

    door = "cancel"

    def act(self):
        workflow = "cx-" + self.value()
        start = self.rng.choice((Starter.start, QueueStarter.start))
        data = json.dumps({"kinds": ["recv"]})
        self.until_acknowledged(lambda: self.noted(
            "doom", lambda seen: self.sql(start, workflow, data) and None, wf=workflow))
        self.pause()
        self.until_acknowledged(lambda: self.noted("cancel", lambda seen: {
            "done": self.one("SELECT wf_cancel(%s, 'no more')", workflow)[0]}, wf=workflow))
        self.result(workflow)


class QueueStarter(Starter):
    """Starts workflows that client processes execute."""

    door = "queue"
    start = "SELECT wf_start(%s, queue => 'storm', input => %s)"


class Worker(Client):
    """Executes workflows of the queue; they are suspended while they wait."""

    door = "queue"
    settings = ("SET durable_wf.client_suspend_after = '20 ms'", "SET statement_timeout = 0")

    def over(self):
        return self.phase.value >= 2

    def pause(self):
        pass

    def act(self):
        row = self.one("CALL wf_attach_any('{storm}', '1 s', NULL, NULL, NULL, NULL)")
        if row[0] is not None:
            self.execute(row[0], row[2]["kinds"])

    def execute(self, workflow, kinds):
        """Run the workflow's code from the top; tell whether it has ended."""
        try:
            self.sql("SELECT wf_create_hook('hook-' || %s)", workflow)
            got = [self.round(workflow, i, kind) for i, kind in enumerate(kinds, 1)]
            self.noted("finish", lambda seen: self.sql(
                "SELECT wf_complete(%s::jsonb)", json.dumps({"got": got})) and None, wf=workflow)
        except Refused as error:
            if error.code != "WF010" and error.code not in cancelled(workflow):
                self.ledger.answer(self.ledger.call("execute", wf=workflow), False,
                                   unexpected=str(error))
            if error.code not in ("WF010", "WF002", "WF003"):
                self.drop()
            return False
        return True

    def round(self, workflow, i, kind):
        self.step(workflow, "step %d" % i)
        got = self.wait(workflow, i, kind)
        self.sql("SELECT wf_write_stream('log', %s::jsonb)", json.dumps("%s/%d" % (workflow, i)))
        self.sql("SELECT wf_send('sink', %s::jsonb, 'sink')", json.dumps("%s/%d" % (workflow, i)))
        return got

    def step(self, workflow, name):
        """Do a step with an effect, in one of two ways; its value is new in
        each run, and what the server returns is that of the first."""
        fresh = self.value()
        if hash_of(workflow, name) % 2:
            def work(seen):
                return {"value": self.one("SELECT wf_step(%s, %s, %s::jsonb)", name, EFFECT,
                                          json.dumps([workflow, name, fresh]))[0]}
        else:
            def work(seen):
                done, output = self.one("SELECT done, output FROM wf_begin_step(%s)", name)
                if done:
                    return {"value": output}
                self.sql("BEGIN")
                self.sql("SELECT wf_save_step(%s, %s::jsonb)", name, json.dumps(fresh))
                self.sql("INSERT INTO storm_effect VALUES (%s, %s, %s)", workflow, name, fresh)
                self.sql("COMMIT")
                return {"value": fresh}
        if self.noted("step", work, cancelled(workflow), wf=workflow, name=name) is None:
            raise Lost

    def wait(self, workflow, i, kind):
        if kind == "recv":
            return self.one("CALL wf_recv('go', NULL, NULL, NULL)")[0]
        if kind == "recv_any":
            return self.one("CALL wf_recv_any('{go,stay}', NULL, NULL, NULL, NULL)")[1]
        if kind == "notify":
            return self.one("CALL wf_wait_for_event('go', NULL, NULL, NULL, NULL)")[0]
        if kind == "hook":
            return self.one("CALL wf_await_hook('hook-' || %s, NULL, NULL)", workflow)[0]
        if kind == "event":
            return self.one("CALL wf_get_event(%s, %s, NULL, NULL)", workflow, "round %d" % i)[0]
        if kind == "wait_any":
            return self.one("""CALL wf_wait_any('[{"topic": "go"}, {"event_id": "other"}]', NULL, NULL, NULL, NULL)""")[1]
        self.sql("CALL wf_sleep('50 ms', NULL)")
        return None


class LightWorker(Worker):
    light = True


class Attached(Starter, Worker):
    """Starts workflows and executes them itself, attached by their ids."""

    door = "attached"
    start = "SELECT wf_start(%s, input => %s)"
    settings = ()

    def over(self):
        return self.phase.value >= 1

    def pause(self):
        Client.pause(self)

    def act(self):
        # who feeds has to be another session: this one would record its sends
        kinds = [self.rng.choice(("recv", "notify", "event", "sleep")) for _ in range(self.rng.randint(1, 5))]
        workflow = self.begin(kinds)
        for number, kind in enumerate(kinds, 1):
            self.feed(workflow, number, kind)
        while True:
            try:
                status = self.one("SELECT wf_attach(%s)", workflow)[0]
                if status in ENDED or self.execute(workflow, kinds):
                    break
            except Lost:
                self.drop()
        self.quietly("SELECT wf_detach()")


def cancelled(workflow):
    """What may be told to those that execute a workflow: WF002 if it is one
    that is cancelled."""
    return ("WF002",) if workflow.startswith("cx-") else ()


def hash_of(*words):
    """A number that is the same in each process."""
    return sum(map(ord, "".join(words)))
