"""What the tests of clients/python share. ./run test-python gives them a server."""

import asyncio
import os
import subprocess
import time
import unittest

import psycopg

LONG = 120                            # seconds; nothing here judges by time


def query(sql, values=None):
    """Rows of a statement, in a connection of its own."""
    with psycopg.connect(autocommit=True, application_name="test") as connection:
        cursor = connection.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


def value(sql, values=None):
    return query(sql, values)[0][0]


def until(sql, values=None):
    """Wait for what the server shows."""
    end = time.monotonic() + LONG
    while not value(f"SELECT ({sql})", values):
        if time.monotonic() > end:
            raise AssertionError(f"not within {LONG} s: {sql}")
        time.sleep(0.02)


async def until_async(sql, values=None):
    await asyncio.to_thread(until, sql, values)


def restart(mode="fast"):
    subprocess.run(["pg_ctl", "-m", mode, "-w", "-l", os.environ["DWF_LOG"], "restart"],
                   check=True, stdout=subprocess.DEVNULL)


def create_extension():
    query("CREATE EXTENSION IF NOT EXISTS durable_wf")
    query("CREATE TABLE IF NOT EXISTS done (workflow text, what text)")


def done(workflow_id, what):
    query("INSERT INTO done VALUES (%s, %s)", (workflow_id, what))


def count(workflow_id, what):
    return value("SELECT count(*) FROM done WHERE (workflow, what) = (%s, %s)", (workflow_id, what))


class Case(unittest.IsolatedAsyncioTestCase):
    """Asynchronous tests, each within LONG seconds."""

    @classmethod
    def setUpClass(cls):
        create_extension()

    def _callTestMethod(self, method):
        async def limited():
            await asyncio.wait_for(method(), LONG)
        if asyncio.iscoroutinefunction(method):
            super()._callTestMethod(limited)
        else:
            super()._callTestMethod(method)
