"""Clients of what is read and not taken, and of hooks: events, streams, HTTP.

In the ledger, publish and look have a register "reg" and a number that only
grows; write and read have a "stream", and read its items, pairs of number and
value, either in the answer or part by part.  Payloads of hooks are sent and
received like messages, by the channel h:workflow:token.
"""

import http.client
import json
import time

from client import Client, Lost
from doors_queue import channel


# ----- events -----

class Publisher(Client):
    """Publishes growing numbers under a key; the only one who does."""

    door = "event"
    number = 0

    def act(self):
        self.values += 1
        number = self.values
        self.noted("publish", lambda seen: self.sql(
            "SELECT wf_set_event('k', %s::jsonb, %s)", str(number), "e-%d" % self.number) and None,
            reg="e-%d:k" % self.number, v=number)


class Looker(Client):
    """Reads what is published."""

    door = "event"

    def act(self):
        number = self.rng.randrange(self.plan.registers)
        sql = self.rng.choice(("SELECT wf_get_event(%s, 'k', '1 s')",
                               "CALL wf_get_event(%s, 'k', '1 s', NULL)"))
        self.noted("look", lambda seen: {"v": self.one(sql, "e-%d" % number)[0]},
                   reg="e-%d:k" % number)


# ----- streams -----

class Writer(Client):
    """Appends to the shared streams: one item, several, several at a time."""

    door = "stream"

    def act(self):
        workflow, _ = self.plan.stream(self.rng.randrange(self.plan.streams))
        self.rng.choice((self.single, self.many, self.transaction))(workflow)

    def write(self, work, workflow, values, **what):
        self.noted("write", work, stream=workflow + ":log", v=values, **what)

    def append(self, workflow, value):
        return self.one("SELECT wf_write_stream('log', %s::jsonb, %s)", json.dumps(value), workflow)[0]

    def single(self, workflow):
        value = self.value()
        self.write(lambda seen: {"last": self.append(workflow, value)}, workflow, [value])

    def many(self, workflow):
        values = [self.value() for _ in range(3)]
        self.write(lambda seen: {"last": self.one(
            "SELECT wf_write_stream_many('log', %s::jsonb[], %s)",
            [json.dumps(v) for v in values], workflow)[0]}, workflow, values)

    def transaction(self, workflow):
        values = [self.value() for _ in range(3)]

        def work(seen):
            self.sql("BEGIN")
            self.append(workflow, values[0])
            self.sql("SAVEPOINT s")
            self.append(workflow, values[1])
            self.sql("ROLLBACK TO s")
            last = self.append(workflow, values[2])
            self.sql("COMMIT")
            return {"last": last}
        self.write(work, workflow, [values[0], values[2]], undone=[values[1]])


class LightWriter(Writer):
    light = True


class Reader(Client):
    """Follows a stream by SQL, from where it is."""

    door = "stream"

    def act(self):
        places = self.__dict__.setdefault("places", {})
        workflow, _ = self.plan.stream(self.rng.randrange(self.plan.streams))
        after = places.get(workflow, 0)
        if self.rng.random() < 0.02:
            after = 0               # from the beginning, as a new reader
        timeout = self.rng.choice((0, 0.3, 2))
        call = self.rng.random() < 0.3

        def work(seen):
            args = (workflow, after, "%s s" % timeout)
            if call:
                values, last, _ = self.one(
                    "CALL wf_read_stream(%s, 'log', %s, 100, %s::interval, NULL, NULL, NULL)", *args)
                values = values or []
                items = [[last - len(values) + i, value] for i, value in enumerate(values, 1)]
            else:
                items = [[row[0], row[1]] for row in self.sql(
                    "SELECT item_no, value FROM wf_read_stream(%s, 'log', %s, 100, %s::interval)", *args)
                    if row[0] is not None]
            return {"items": items}
        reply = self.noted("read", work, stream=workflow + ":log", after=after, timeout=timeout, max=100)
        if reply and reply["items"]:
            places[workflow] = max(reply["items"][-1][0], places.get(workflow, 0))


# ----- hooks and HTTP -----

class Resumer(Client):
    """Resumes hooks by SQL, with the same key until it is acknowledged."""

    door = "hook"

    def act(self):
        workflow, token = self.rng.choice(self.plan.hooks)
        value = self.value()
        key = self.plan.key(value) if self.rng.random() < 0.7 else None

        def once():
            return self.noted("send", lambda seen: self.sql(
                "SELECT wf_resume_hook(%s, %s::jsonb, %s)", token, json.dumps(value), key) and None,
                how="hook", key=key, v=[[channel("h", workflow, token), value]])
        if key:
            self.until_acknowledged(once)
        else:
            once()


class Awaiter(Client):
    """Awaits what comes to hooks and webhooks."""

    door = "hook"

    def act(self):
        workflow, token = self.rng.choice(self.plan.hooks + self.plan.webhooks)
        timeout = self.rng.choice((0, 0.5, 2))
        sql = self.rng.choice(("SELECT wf_await_hook(%s, %s::interval)",
                               "CALL wf_await_hook(%s, %s::interval, NULL)"))

        def work(seen):
            got = self.one(sql, token, "%s s" % timeout)[0]
            if isinstance(got, dict):
                got = got["body"]       # a request
            return {"got": [[channel("h", workflow, token), got]] if got is not None else []}
        self.noted("recv", work, ch=[channel("h", workflow, token)], timeout=timeout, how="await_hook")


class Http(Client):
    """A client of the gateway; it has a connection of its own kind."""

    door = "http"
    web = None

    def drop(self):
        super().drop()
        if self.web is not None:
            self.web.close()
            self.web = None

    def open(self):
        if self.web is None:
            self.web = http.client.HTTPConnection("127.0.0.1", self.plan.ports["http"], timeout=60)
        return self.web

    def request(self, *args, **more):
        try:
            self.open().request(*args, **more)
            return self.web.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.drop()
            time.sleep(self.rng.random() * 0.2)
            raise Lost from error

    def fence(self):
        """A request without an answer may still be handled, and may not."""


class Poster(Http):
    """Posts to webhooks: a 202 says that it is committed."""

    def act(self):
        workflow, token = self.rng.choice(self.plan.webhooks)
        value = self.value()
        key = self.plan.key(value) if self.rng.random() < 0.7 else None
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key

        def once():
            n = self.ledger.call("send", how="post", key=key, v=[[channel("h", workflow, token), value]])
            try:
                response = self.request("POST", "/.well-known/workflow/v1/webhook/" + token,
                                        json.dumps(value), headers)
                response.read()
                status = response.status
            except (Lost, OSError, http.client.HTTPException):
                self.ledger.answer(n, None)
                raise Lost
            if status // 100 == 2:
                self.ledger.answer(n, True)
                return {}
            # 5xx: perhaps it was committed, and the answer could not be made
            more = {} if status >= 500 else {"unexpected": "HTTP status %d" % status}
            self.ledger.answer(n, None if status >= 500 else False, status=status, **more)
            self.refusal = str(status) if status >= 500 else None
            return None
        if key:
            self.until_acknowledged(once)
        else:
            once()


class HttpReader(Http):
    """Follows a stream by Server-Sent Events, and goes on after its last."""

    def act(self):
        workflow, token = self.plan.stream(self.rng.randrange(self.plan.streams))
        places = self.__dict__.setdefault("places", {})
        after = places.get(workflow, 0)
        n = self.ledger.call("read", how="sse", stream=workflow + ":log", after=after)
        try:
            response = self.request("GET", "/.well-known/workflow/v1/stream/" + token,
                                    headers={"Last-Event-ID": str(after)} if after else {})
            if response.status != 200:
                bad = {"unexpected": "HTTP status %d" % response.status} if response.status < 500 else {}
                self.ledger.answer(n, False, status=response.status, **bad)
                self.drop()
                return
            item = None
            until = time.monotonic() + self.rng.random() * 5
            while time.monotonic() < until and not self.over():
                line = response.readline().decode().rstrip("\r\n")
                if line.startswith("id:"):
                    item = int(line[3:])
                elif line.startswith("data:") and item is not None:
                    self.ledger.part(n, item=[item, json.loads(line[5:])])
                    places[workflow], item = item, None
                elif line == "" and response.isclosed():
                    break
        except Lost:
            self.ledger.answer(n, None)
            raise
        except (OSError, http.client.HTTPException, ValueError):
            pass
        self.ledger.answer(n, True)
        self.drop()
