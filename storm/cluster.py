"""Two servers: a primary and a standby that follows it synchronously.

The roles change at a promotion; the old primary is thrown away then, and made
again as a copy of the new one.  PostgreSQL's programs are found by PATH.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import psycopg2

PATIENCE = 180          # seconds after which something does not happen any more

SETTINGS = """
shared_preload_libraries = 'durable_wf'
listen_addresses = '127.0.0.1'
unix_socket_directories = '{sockets}'
port = {port}
max_connections = 150
max_worker_processes = 24
max_prepared_transactions = 50
max_wal_senders = 8
wal_level = replica
wal_keep_size = 512MB
max_wal_size = 2GB
wal_retrieve_retry_interval = 100ms
restart_after_crash = on
wal_writer_delay = {wal_writer_delay}ms
log_line_prefix = '%m [%p] %b '
log_checkpoints = off
synchronous_standby_names = '{sync}'
fsync = {fsync}
durable_wf.http_port = {http}
durable_wf.http_role = 'storm'
durable_wf.http_stream_heartbeat = '1s'
durable_wf.http_base_url = 'http://127.0.0.1:{public}'
durable_wf.suspend_after = '30ms'
durable_wf.executor_idle_timeout = '2s'
durable_wf.max_executors = 4
durable_wf.max_attempts = 1000
durable_wf.careful_time = '{careful_time}'
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def until(condition, what, patience=PATIENCE, pause=0.03):
    """Wait until a condition holds; return its value."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise RuntimeError("it does not happen in %d s: %s" % (patience, what))
        time.sleep(pause)


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise RuntimeError("%s: %s" % (" ".join(command), done.stdout))
    return done.stdout


class Server:
    """One data directory and whoever runs it."""

    def __init__(self, name, work, sockets, public, options):
        self.name = name
        self.data = os.path.join(work, "data-" + name)
        self.log = os.path.join(work, name + ".log")
        self.sockets = sockets
        self.options = dict(options, sockets=sockets, port=free_port(),
                            http=free_port(), public=public, sync="")
        self.port = self.options["port"]

    def configure(self, reload=False, **options):
        self.options.update(options)
        path = os.path.join(self.data, "storm.conf")
        with open(path + ".new", "w") as file:
            file.write(SETTINGS.format(**self.options))
        os.rename(path + ".new", path)
        if reload:
            os.kill(self.postmaster(), signal.SIGHUP)

    def create(self):
        run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
            "--no-locale", "--no-sync")
        with open(os.path.join(self.data, "postgresql.conf"), "a") as file:
            file.write("include 'storm.conf'\n")
        self.configure()

    def copy_of(self, port):
        """Become a standby of another server, which is reached by that port."""
        shutil.rmtree(self.data, ignore_errors=True)
        run("pg_basebackup", "-D", self.data, "-h", "127.0.0.1", "-p", str(port),
            "-U", "postgres", "-c", "fast", "-X", "stream", "-R", "--no-sync")
        self.configure(sync="")

    def postmaster(self):
        try:
            with open(os.path.join(self.data, "postmaster.pid")) as file:
                return int(file.readline())
        except (FileNotFoundError, ValueError):
            return None

    def start(self):
        with open(self.log, "a") as log:
            # not "start", which would wait for a connection by itself
            self.process = subprocess.Popen(
                ["postgres", "-D", self.data], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=self.data, start_new_session=True)

    def query(self, sql, args=None):
        """Ask as superuser; None while the server does not answer."""
        try:
            db = psycopg2.connect(host=self.sockets, port=self.port, user="postgres",
                                  dbname="postgres", application_name="nemesis",
                                  connect_timeout=30, options="-c client_min_messages=error")
        except psycopg2.OperationalError:
            return None
        try:
            db.autocommit = True
            cursor = db.cursor()
            # what is asked here must not wait for the standby
            cursor.execute("SET synchronous_commit = local")
            cursor.execute(sql, args)
            return cursor.fetchall() if cursor.description else []
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            return None
        finally:
            db.close()

    def ready(self):
        return self.query("SELECT 1 WHERE NOT pg_is_in_recovery()")

    def checkpointer(self):
        """Identify this life of the server: each crash starts a new one."""
        rows = self.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
        return rows and rows[0][0]

    def stop(self, mode):
        """Stop it: smart, fast, immediate, or kill the postmaster only."""
        how = {"smart": signal.SIGTERM, "fast": signal.SIGINT,
               "immediate": signal.SIGQUIT, "kill": signal.SIGKILL}
        self.process.send_signal(how[mode])

    def await_stopped(self, patience=PATIENCE):
        """Wait until the postmaster and all its children have gone."""
        def gone():
            if self.process.poll() is None:
                return False
            return not self.members()
        until(gone, "%s stops" % self.name, patience)

    def members(self):
        """Find the processes whose working directory is the data directory."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    if os.readlink("/proc/%s/cwd" % entry) == os.path.realpath(self.data):
                        found.append(int(entry))
                except OSError:
                    pass
        return found


class Cluster:
    """A primary and perhaps a standby, which follows it through the proxy."""

    def __init__(self, work, sockets, proxied, options):
        make = lambda name: Server(name, work, sockets, proxied["http"], options)
        self.primary, self.standby = make("a"), make("b")
        self.link = proxied["wal"]
        self.following = False      # the standby exists and runs

    def ports(self):
        return {"pg": self.primary.port, "http": self.primary.options["http"]}

    def create(self):
        self.primary.create()
        self.primary.start()
        until(self.primary.ready, "the primary starts")

    def follow(self):
        """Make the standby; from then on commits wait for it."""
        self.standby.copy_of(self.link)
        self.standby.start()
        self.following = True
        until(lambda: self.primary.query(
            "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"), "the standby streams")
        self.primary.configure(sync="*", reload=True)
        until(lambda: self.primary.query(
            "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"), "the standby is synchronous")

    def caught_up(self, patience):
        """Tell whether the standby has all that is in the primary now."""
        if not self.following:
            return False
        rows = self.primary.query("SELECT pg_current_wal_lsn()")
        if not rows:
            return False
        try:
            return bool(until(lambda: self.primary.query(
                "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync' AND flush_lsn >= %s",
                rows[0]), "the standby catches up", patience))
        except RuntimeError:
            return False

    def behind(self):
        """How many bytes the primary has written that the standby has not got."""
        written = self.primary.query("SELECT pg_current_wal_insert_lsn()")
        got = self.standby.query("SELECT pg_last_wal_receive_lsn()")
        if not written or not got:
            return 0
        return int(self.primary.query("SELECT pg_wal_lsn_diff(%s, %s)", (written[0][0], got[0][0]))[0][0])

    def promote(self):
        """Let the standby take over from a primary that has stopped."""
        self.primary, self.standby = self.standby, self.primary
        self.following = False
        run("pg_ctl", "promote", "-D", self.primary.data, "-w", "-t", str(PATIENCE))
        until(self.primary.ready, "the new primary writes")

    def crashes(self):
        """What the logs say of processes that failed by themselves."""
        pattern = re.compile(r"TRAP:|PANIC:|was terminated by signal (4|6|7|8|11):|outside the valid range")
        found = []
        for server in (self.primary, self.standby):
            if os.path.exists(server.log):
                with open(server.log, errors="replace") as log:
                    found += [line.strip() for line in log if pattern.search(line)]
        return found

    def remove(self):
        for server in (self.primary, self.standby):
            shutil.rmtree(server.data, ignore_errors=True)

    def stop(self):
        for server in (self.primary, self.standby):
            if getattr(server, "process", None) and server.process.poll() is None:
                server.stop("immediate")
                server.await_stopped()
