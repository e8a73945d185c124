#!/usr/bin/env python3
"""Send generated requests (generated.py) to the gateway, and to others.

    compare.py SEED COUNT HOOK PORT [NAME=PORT=RECORD ...]

HOOK is the target of a webhook of the gateway at PORT, in the database that
libpq's environment names.  Each other server writes what it takes to a file,
as recorder.mjs does.  Behind each request comes a valid one, so that what is
taken shows where a server sees the end of the first.

The gateway has to take each request exactly as generated.py says.  Where
another server does not, differences.txt has to say why.  Prints the sums; the
exit status is 1 if anything is not as it should be.
"""
import asyncio
import base64
import collections
import json
import os
import re
import subprocess
import sys

from generated import generate

CONNECTIONS = 100
PATIENCE = 3        # seconds without a byte, then a server waits for more


def following(number, target):
    """The valid request behind another one."""
    return (b'GET %s?next HTTP/1.1\r\nHost: x\r\nX-Case: %d.next\r\nConnection: close\r\n\r\n' % (target, number))


async def send(port, text):
    """Send a text; the statuses that come back, and 'waits' if it stays open."""
    out = b''
    waits = False
    writer = None
    try:
        reader, writer = await asyncio.open_connection('127.0.0.1', port)
        writer.write(text)
        while True:
            data = await asyncio.wait_for(reader.read(65536), PATIENCE)
            if not data:
                break
            out += data
    except asyncio.TimeoutError:
        waits = True
    except OSError:
        pass
    finally:
        if writer:
            writer.close()
    return re.findall(rb'^HTTP/1\.1 (\d+)', out, re.M), waits


async def send_all(port, cases, target):
    """Send all cases to a server; what it says to each."""
    said = {}
    queue = iter(cases)

    async def work():
        for number, _, text, _ in queue:
            said[number] = await send(port, text + following(number, target))
    await asyncio.gather(*[work() for _ in range(CONNECTIONS)])
    return said


def plain(target):
    """A target without scheme and host, escaped where it is no ASCII."""
    target = re.sub(rb'(?i)^https?://[^/?]*', b'', target)
    return re.sub(rb'[\x80-\xff]', lambda m: b'%%%02X' % m.group()[0], target)


def taken_by_gateway(hook):
    """What lies in the mailbox: the case of each request, and the request."""
    token = hook.rsplit('/', 1)[1]
    query = ("COPY (SELECT json_build_object('case', payload->'headers'->>'x-case', 'method', payload->>'method',"
             " 'target', payload->>'path' || coalesce('?' || (payload->>'query'), ''), 'body', payload->>'body_base64')"
             f" FROM durable_wf.message WHERE key = '{token}' ORDER BY message_id) TO STDOUT")
    out = subprocess.run(['psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', query], check=True, capture_output=True).stdout
    return [json.loads(line.replace(b'\\\\', b'\\')) for line in out.splitlines()]


def by_case(records):
    """The requests of each case, in their order."""
    cases = collections.defaultdict(list)
    for r in records:
        number, _, tail = (r['case'] or '').partition('.')
        try:
            number = int(number.split(',')[0])
        except ValueError:
            number = -1
        cases[number].append((tail, r['method'].encode(), plain(r['target'].encode('latin-1', 'replace')), base64.b64decode(r['body'])))
    return cases


def judge(requests, expected, target):
    """What a server has made of a case: 'taken' as expected, 'refused', ...

    'refused, open': the request behind it is taken nevertheless.
    """
    first = [r for r in requests if r[0] != 'next']
    following_ones = [r for r in requests if r[0] == 'next']
    if not requests:
        return 'refused'
    if len(following_ones) > 1 or (following_ones and following_ones[0][1:] != (b'GET', target + b'?next', b'')):
        return 'otherwise'
    if not first:
        return 'refused, open'
    if expected is None:
        return 'taken'
    if len(first) == 1 and first[0][1:] == (expected[0], plain(expected[1]), expected[2]):
        return 'taken' if following_ones else 'taken, closed'
    return 'otherwise'


def read_differences():
    """The rows of differences.txt: (server, verdict, name) → why."""
    rows = {}
    with open(os.path.join(os.path.dirname(__file__), 'differences.txt'), encoding='utf-8') as file:
        for line in file:
            if line.startswith('|') and not line.startswith('|-') and 'verdict' not in line:
                server, verdict, name, why = [cell.strip() for cell in line.strip().strip('|').split('|')]
                rows[server, verdict, name] = why
    return rows


def main():
    """Send, then compare."""
    seed, count, hook, port = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    target = hook.encode()
    cases = list(generate(seed, count, target))
    bad = 0

    # ours, by the rules
    said = asyncio.run(send_all(port, cases, target))
    ours = by_case(taken_by_gateway(hook))
    sums = collections.Counter()
    for number, names, text, expected in cases:
        right = 'refused' if expected is None else 'taken'
        verdict = judge(ours[number], expected, target)
        statuses, waits = said[number]
        if verdict == 'refused' and (waits or len(statuses) != 1 or statuses[0] not in (b'400', b'505')):
            verdict = f'refused with {statuses}{" and waits" if waits else ""}'
        sums[verdict] += 1
        if verdict != right:
            bad += 1
            if bad <= 10:
                print(f'case {number} of seed {seed}, {names}: {verdict}, not {right}\n    {text!r}')
    print(f'the gateway: {dict(sums)}')

    # the others, by ours
    rows = read_differences()
    used = collections.Counter()
    for argument in sys.argv[5:]:
        server, other_port, record = argument.split('=')
        said = asyncio.run(send_all(int(other_port), cases, target))
        with open(record, encoding='utf-8') as file:
            theirs = by_case(json.loads(line) for line in file)
        sums = collections.Counter()
        for number, names, text, expected in cases:
            verdict = judge(theirs[number], expected, target)
            if verdict == 'refused' and said[number][1]:
                verdict = 'waits'
            right = 'refused' if expected is None else 'taken'
            sums[verdict] += 1
            if verdict == right:
                continue
            explained = [name for name in names if (server, verdict, name) in rows]
            for name in explained[:1]:
                used[server, verdict, name] += 1
            if not explained:
                bad += 1
                used[server, verdict, 'NOT EXPLAINED ' + ' + '.join(names)] += 1
                if bad <= 10:
                    print(f'case {number} of seed {seed}, {names}: {server} says {verdict}, ours {right}\n    {text!r}')
        print(f'{server}: {dict(sums)}')
    for (server, verdict, name), number in sorted(used.items()):
        print(f'    {server}, {verdict}: {name} ({number})')
    print('as it should be' if bad == 0 else f'{bad} cases are not as they should be')
    return 1 if bad else 0


sys.exit(main())
