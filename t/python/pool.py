"""A process of a pool: execute workflows of a queue until none is left.

The workflows have three steps: one in the database, one outside of it, and
another one in the database.  Whoever is killed in the middle leaves the rest
to the next process.

    pool.py QUEUE FILE      connects as the environment says; the effects
                            outside are lines of the file
"""

import os
import sys
import time

import psycopg2


def main(queue, path):
    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()

    def value(statement, *arguments):
        cursor.execute(statement, arguments)
        return cursor.fetchone()[0]

    while True:
        workflow = value("SELECT wf_attach_next(%s, '10 s')", queue)
        if workflow is None:
            return
        value("SELECT wf_step('first', 'INSERT INTO effect VALUES (wf_current(), ''first'')"
              " RETURNING pg_sleep(0.01)')")
        if value("SELECT wf_get_step('outside')") is None:
            with open(path, "a") as effects:
                effects.write(f"{workflow}\n")
            time.sleep(0.01)
            value("SELECT wf_save_step('outside', to_jsonb(%s::int))", os.getpid())
        value("SELECT wf_step('last', 'INSERT INTO effect VALUES (wf_current(), ''last'')"
              " RETURNING pg_sleep(0.01)')")
        value("SELECT wf_complete(wf_get_step('nothing'))")


main(*sys.argv[1:])
