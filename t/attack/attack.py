"""Random calls of every function of the extension, by three roles.

    attack.py SEED CALLS

It finds the functions in the catalog and makes up their arguments: good ones,
nulls, extremes, wrong types, huge texts, bytes that are no characters.  Most calls are made in
batches, each in a savepoint of its own (a function in PL/pgSQL); some by
themselves, pipelined by libpq's simple protocol or as a CALL that may commit.
A fourth role, the victim, has workflows with everything in them, and calls
nothing.  Afterwards: what is the victim's is as it was and was shown to nobody,
no internal error was raised, no process has died, nothing is left in shared
memory, and the server still serves.  Prints TAP; the seed repeats the calls.
"""

import random
import sys
import time

import psycopg2

SECRET = 'xyzzy'
ROLES = ('attack_owner', 'attack_other', 'attack_nobody')
BATCH = 100

SETUP = """
CREATE EXTENSION durable_wf;
CREATE ROLE attack_victim LOGIN;
CREATE ROLE attack_owner LOGIN;
CREATE ROLE attack_other LOGIN;
CREATE ROLE attack_nobody LOGIN;
CREATE SCHEMA attack;
GRANT USAGE ON SCHEMA attack TO PUBLIC;
GRANT CREATE ON SCHEMA public TO attack_owner, attack_other;
-- each call in a savepoint: its SQLSTATE, and what it said or returned that
-- nobody may see or that no call may raise
CREATE FUNCTION attack.batch(calls text[], OUT states text[], OUT bad text[])
LANGUAGE plpgsql AS $$
DECLARE
    call text;
    result text;
BEGIN
    states := '{}';
    bad := '{}';
    FOREACH call IN ARRAY calls LOOP
        BEGIN
            result := NULL;
            EXECUTE 'SELECT left(string_agg(r::text, '',''), 100000) FROM (' || call || ') r'
               INTO result;
            states := states || '00000'::text;
            IF result LIKE '%xyzzy%' THEN
                bad := bad || ('shown: ' || left(call, 2000));
            END IF;
        EXCEPTION WHEN OTHERS THEN
            states := states || SQLSTATE::text;
            IF SQLSTATE LIKE 'XX%' OR SQLERRM LIKE '%xyzzy%' THEN
                bad := bad || (SQLSTATE || ': ' || left(SQLERRM, 300) || ' in ' || left(call, 2000));
            END IF;
        END;
    END LOOP;
END $$;
CREATE PROCEDURE attack.body(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_step('s', 'SELECT 1');
END $$;
"""

# by the victim, each in a transaction of its own
VICTIM = """
SELECT wf_start('v-' || n, input => '"xyzzy"', attributes => '{"a": "xyzzy"}') FROM generate_series(1, 5) n;
SELECT wf_send('v-' || n, '"xyzzy"', t) FROM generate_series(1, 5) n, unnest(ARRAY[NULL, 't']) t;
SELECT wf_set_event('k', '"xyzzy"', 'v-' || n) FROM generate_series(1, 5) n;
SELECT wf_create_hook('victim-' || md5(random()::text), '"xyzzy"', workflow_id => 'v-1');
SELECT wf_create_webhook(workflow_id => 'v-2', metadata => '"xyzzy"');
SELECT wf_write_stream('s', '"xyzzy"', 'v-3');
SELECT wf_create_stream_url('s', 'v-3');
SELECT wf_attach('v-4');
SELECT wf_step('xyzzy', 'SELECT 1');
SELECT wf_detach();
SELECT wf_complete('"xyzzy"', 'v-5')
"""

# what is the victim's in each table that has something of workflows, as a hash
BELONGINGS = """
SELECT c.relname, format($$SELECT count(*), md5(string_agg(r::text, chr(10) ORDER BY r::text))
         FROM %s r WHERE workflow_id ~ '^v-[1-5]$'$$, c.oid::regclass)
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'workflow_id'
 WHERE c.relnamespace = 'durable_wf'::regnamespace AND c.relkind = 'r'
 ORDER BY 1
"""

FUNCTIONS = """
SELECT n.nspname, p.proname, p.prokind::text,
       (SELECT array_agg(format_type(t, NULL) ORDER BY i)
          FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (t, i)),
       p.pronargdefaults, COALESCE(p.proargmodes::text[] && ARRAY['b', 'o'], false),
       COALESCE((SELECT array_agg(p.proargnames[i] ORDER BY i)
          FROM generate_series(1, cardinality(p.proallargtypes)) i), p.proargnames)
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
       AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'durable_wf'
 ORDER BY p.oid::regprocedure::text COLLATE "C"
"""

TEXTS = [
    'a', 't', 'k', 's', 'q', '', ' ', 'x' * 100, 'ä€𝄞', '%', "'", '\\', '"', 'NULL', 'attack_victim',
    'attack_owner', 'attack.body', 'attack.body(jsonb)', 'pg_catalog.pg_sleep', '0', '-1', 'SELECT 1',
    'SELECT $1', 'DELETE FROM durable_wf.message', 'SELECT * FROM durable_wf.message', '* * * * *', 'v-1', 'v-2',
    'v-3', 'v-4', 'v-5', 'x' * 2000, 'ß' * 1000, '\u202e', '\x01', '{}', '[]', 'a=1&b=%C3%A4&c=%FF', 'infinity',
]
JSONS = [
    '1', 'null', '"a"', '{}', '[]', '{"topic": "t"}', '[{"topic": "t"}]', '[{"event": "k", "workflow_id": "v-1"}]',
    '[{"stream": "s", "workflow_id": "v-3"}]', '{"a": {"b": [1, 2, {"c": null}]}}', '[' * 500 + ']' * 500,
    '{"method": "POST", "headers": {"a": "b"}, "body": "x", "query": {}}', '1e400', '-0.0', '"\\u0000"', '{"a":',
    '"' + 'j' * 20000 + '"', '{"' + 'k' * 1000 + '": 1}', '[null, null]', 'true', '{"status": 99999}',
]
NUMBERS = ['0', '1', '2', '-1', '5', '100', '1000', '2147483647', '-2147483648', '9223372036854775807',
           '-9223372036854775808', '1.5', "'x'"]
SHORT = ['0', '1 ms', '-1 s', '0.5 ms']
INTERVALS = SHORT + ['178000000 years', '-178000000 years', '1 day', '7 d', '1 mon', 'infinity', 'x', '']
TIMES = ['now', 'infinity', '-infinity', 'epoch', '294276-12-31', '4713-01-01 BC', 'x', 'today']
WRONG = ['NULL', "'x'::bytea", 'ARRAY[1]', "ROW(1, 'a')", '1::oid', "'a'::name", 'true', "'{}'::text[]",
         "'1 day'::interval", "'[]'::jsonb", "'x'::xml", '0.1::float8', 'CURRENT_DATE']


def quote(text):
    """A literal."""
    if '\x00' in text:
        text = text.replace('\x00', '')
    return "'" + text.replace("'", "''") + "'" if '\\' not in text else \
        "E'" + text.replace('\\', '\\\\').replace("'", "''") + "'"


class Calls:
    """Makes up calls."""

    def __init__(self, seed, functions):
        self.random = random.Random(seed)
        self.functions = functions

    def text(self, role):
        r = self.random.random()
        if r < 0.55:
            return quote('%s-%d' % (role, self.random.randrange(6)))
        if r < 0.6:
            return quote('%s-%d' % (self.random.choice(ROLES), self.random.randrange(6)))
        if r < 0.603:
            return "repeat('h', 1000000)"
        return quote(self.random.choice(TEXTS))

    def value(self, kind, role, short):
        """An argument of this type, or of another."""
        r = self.random.random()
        if r < 0.08:
            return 'NULL'
        if r < 0.11:
            return self.random.choice(WRONG)
        if kind.endswith('[]'):
            some = [self.value(kind[:-2], role, short) for _ in range(self.random.choice((0, 1, 2, 3, 40)))]
            return 'ARRAY[%s]::%s' % (', '.join(some), kind) if some else "'{}'::" + kind
        if kind == 'text':
            return self.text(role)
        if kind == 'jsonb':
            return quote(self.random.choice(JSONS)) + '::jsonb'
        if kind == 'interval':
            return quote(self.random.choice(SHORT if short else INTERVALS)) + '::interval'
        if kind in ('integer', 'bigint', 'smallint', 'oid'):
            return self.random.choice(NUMBERS)
        if kind == 'boolean':
            return self.random.choice(('true', 'false'))
        if kind.startswith('timestamp'):
            return quote(self.random.choice(TIMES)) + '::' + kind
        return self.random.choice(WRONG + [quote(self.random.choice(TEXTS))])

    def call(self, role, kinds, short):
        """A call of a function (f) or a procedure (p)."""
        while True:
            schema, name, kind, types, defaults, _, names = self.random.choice(self.functions)
            if kind in kinds:
                break
        types = types or []
        # leave out some of the last arguments, or one too many
        count = len(types) - (self.random.randrange(defaults + 1) if self.random.random() < 0.5 else 0)
        if self.random.random() < 0.01:
            count = max(0, count - 1)
        values = []
        for i in range(count):
            # in a batch no call waits: null and the defaults may be for ever
            waits = names and i < len(names) and (names[i] or '') in ('timeout', 'duration')
            values.append(quote(self.random.choice(SHORT)) if short and waits else
                          self.value(types[i], role, short or waits and self.random.random() < 0.9))
        if short and count < len(types) and names:
            for i in range(count, len(types)):
                if names[i] in ('timeout', 'duration'):
                    values.append("%s => '0'" % names[i])
        arguments = ', '.join(values)
        if kind == 'p':
            return 'CALL "%s"."%s"(%s)' % (schema, name, arguments)
        return 'SELECT * FROM "%s"."%s"(%s)' % (schema, name, arguments)


class Attack:
    """The attack, and what is looked at afterwards."""

    def __init__(self, seed, calls):
        self.seed, self.wanted = seed, calls
        self.admin = self.connect('postgres')
        self.done = 0
        self.states = {}
        self.bad = []
        self.failed = 0
        self.number = 0

    def connect(self, role):
        connection = psycopg2.connect(user=role, connect_timeout=60)
        connection.autocommit = True
        return connection

    def query(self, sql, connection=None):
        with (connection or self.admin).cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def limit(self, connection, seconds):
        """Limit a session's statements; one that limits them is subject to the last limit."""
        while True:
            try:
                self.query("SET statement_timeout = '%s'" % seconds, connection)
                return
            except psycopg2.errors.QueryCanceled:
                pass

    def belongings(self):
        return {table: self.query(sql)[0] for table, sql in self.query(BELONGINGS)}

    def note(self, state, call='', message=''):
        self.states[state] = self.states.get(state, 0) + 1
        self.done += 1
        if state.startswith('XX') or SECRET in message:
            self.bad.append('%s: %s in %s' % (state, message[:300], call[:2000]))

    def batch(self, connection, calls):
        """Many calls, in one transaction."""
        with connection.cursor() as cursor:
            try:
                cursor.execute('SELECT * FROM attack.batch(%s)', (calls,))
                states, bad = cursor.fetchone()
                for state in states:
                    self.note(state)
                self.bad += bad
            except psycopg2.Error as error:
                # an interrupt that no EXCEPTION catches: statement_timeout
                self.note(error.pgcode or 'lost', calls[0], str(error))
                if error.pgcode is None:
                    raise

    def single(self, connection, call):
        """One call, in a transaction of its own."""
        with connection.cursor() as cursor:
            try:
                cursor.execute(call if isinstance(call, bytes) else call.encode())
                self.note('00000')
                try:
                    rows = cursor.fetchall() if cursor.description else []
                except (OverflowError, ValueError):
                    rows = ()           # what Python has no value for
                if SECRET in str(rows):
                    self.bad.append('shown: %s' % call[:2000])
            except psycopg2.Error as error:
                self.note(error.pgcode or 'lost', str(call), str(error))
                if error.pgcode is None:
                    raise

    def run(self):
        self.query(SETUP)
        victim = self.connect('attack_victim')
        for statement in VICTIM.split(';'):
            self.query(statement, victim)
        victim.close()
        functions = [f for f in self.query(FUNCTIONS)]
        before = self.belongings()
        makers = {role: Calls('%s %s' % (self.seed, role), functions) for role in ROLES}
        order = random.Random('%s order' % self.seed)
        sessions = {}

        turn = 0
        while self.done < self.wanted:
            role = ROLES[turn % 3]
            turn += 1
            # a new session now and then, which finds what the old one left
            if role not in sessions or turn % 150 < 3:
                if role in sessions:
                    sessions[role].close()
                sessions[role] = self.connect(role)
                self.query('SET client_min_messages = error; SET synchronous_commit = off', sessions[role])
                self.limit(sessions[role], '2 s')
            maker, session = makers[role], sessions[role]
            try:
                self.query('SELECT attack_start.n FROM (SELECT wf_start(\'%s-%d\', queue => \'q\') AS n) attack_start'
                           % (role, turn % 6), session)
            except psycopg2.Error as error:
                if error.pgcode is None:
                    raise
            r = order.random()
            if r < 0.8:
                self.batch(session, [maker.call(role, 'f', True) for _ in range(BATCH)])
            else:
                self.limit(session, '20 ms')
                for _ in range(10):
                    call = maker.call(role, 'fp', False)
                    if order.random() < 0.05:
                        # bytes that are no characters
                        call = call.encode().replace(b"'", b"'\xff\xc3", 1)
                    self.single(session, call)
                self.limit(session, '0')
                if order.random() < 0.3:
                    self.query('DISCARD ALL', session)
                    self.query('SET client_min_messages = error', session)
                self.limit(session, '2 s')
        for session in sessions.values():
            session.close()
        self.judge(before, functions)

    def say(self, good, what, why=''):
        self.number += 1
        print('%sok %d - %s' % ('' if good else 'not ', self.number, what))
        for line in str(why).split('\n')[:60] if not good else []:
            print('# ' + line[:3000])
        self.failed += not good

    def none_left(self, sql):
        """Does this count come to zero?  Processes need a moment to leave."""
        for _ in range(1800):
            count = self.query(sql)[0][0]
            if count == 0:
                break
            time.sleep(0.1)
        return count == 0

    def judge(self, before, functions):
        self.say(self.done >= self.wanted, '%d calls of %d functions, seed %s' % (self.done, len(functions), self.seed))
        self.say(len(self.states) > 15 and self.states.get('00000', 0) > self.done / 50, 'they succeed and fail in many ways',
                 self.states)
        self.say(not self.bad, 'no internal error, and nothing of the victim is shown', '\n'.join(self.bad[:20]))
        after = self.belongings()
        self.say(sum(n for n, _ in before.values()) > 20, 'the victim has something')
        self.say(after == before, 'what is the victim\'s is as it was',
                 [(t, before[t], after.get(t)) for t in before if before[t] != after.get(t)])
        self.say(self.query("SELECT count(*) FROM durable_wf.workflow WHERE owner::text = 'attack_victim'")[0][0] == 5,
                 'no workflow was given to the victim, or taken')
        self.say(self.none_left("SELECT count(*) FROM pg_stat_activity WHERE usename ~ '^attack_' AND backend_type = 'client backend'"),
                 'their sessions have ended')
        self.say(self.none_left('SELECT count(*) FROM durable_wf.waiters()'), 'no session waits')
        self.say(self.none_left('SELECT count(*) FROM durable_wf.executions() WHERE pid IS NOT NULL'), 'no session executes a workflow')
        self.say(self.none_left('SELECT durable_wf.listens()'), 'no session listens')
        self.say(self.none_left("SELECT count(*) FROM pg_locks WHERE locktype <> 'virtualxid' AND pid <> pg_backend_pid() AND granted "
                                "AND pid IN (SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend')"),
                 'no lock is left')
        self.query("SELECT wf_start('last'), wf_send('last', '1')")
        self.say(self.query("SELECT wf_recv(timeout => '0', workflow_id => 'last')")[0][0] == 1, 'the server serves')
        self.query("SELECT wf_start('last body', body => 'attack.body')")
        self.say(self.query("SELECT status FROM wf_result('last body', '60 s')")[0][0] == 'SUCCESS', 'and so do its worker and executors')
        print('# %s' % sorted(self.states.items(), key=lambda s: -s[1]))
        print('1..%d' % self.number)


if __name__ == '__main__':
    attack = Attack(sys.argv[1], int(sys.argv[2]))
    attack.run()
    sys.exit(attack.failed > 0)
