"""docs/monitoring with Debian's postgres_exporter and Prometheus: the queries give what
is there, the rules load and fire, each expression of the dashboard gives data, and each
metric that they name is one that the exporter has. ./run test-monitoring gives it a
server, by PGHOST and PGPORT, and a folder.

Prints "ok" and "not ok" lines; exits with 1 when one is not ok."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCS = f"{TOP}/docs/monitoring"
WORK = sys.argv[1]
LONG = 120                            # seconds; nothing here judges by time
failures = 0


def check(good, what, why=""):
    """Say whether something is as it should be."""
    global failures
    print(("ok " if good else "not ok ") + f"- {what}", flush=True)
    if not good:
        failures += 1
        print(f"#   {why}")


def sql(statement):
    """A statement's output, as psql has it."""
    return subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement],
                          check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=LONG) as response:
        return response.read().decode()


def until(condition, what):
    """What a condition gives, as soon as that is true."""
    end = time.monotonic() + LONG
    while True:
        try:
            value = condition()
            if value:
                return value
        except OSError:
            pass
        if time.monotonic() > end:
            raise AssertionError(f"not within {LONG} s: {what}")
        time.sleep(0.2)


def ask(path, **query):
    """What Prometheus's API says."""
    answer = json.loads(get(f"http://127.0.0.1:{prometheus_port}/api/v1/{path}?" +
                            urllib.parse.urlencode(query)))
    assert answer["status"] == "success", answer
    return answer["data"]


# ----- something to be seen, of several owners

sql("CREATE EXTENSION IF NOT EXISTS durable_wf")
sql("""
    CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
    CREATE ROLE alice LOGIN;
    CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS $$
    DECLARE got jsonb; BEGIN CALL wf_recv('go', NULL, NULL, got); END $$;
    CREATE PROCEDURE fails(input jsonb) LANGUAGE plpgsql AS $$ BEGIN RAISE 'secret'; END $$;
    SELECT wf_start('orders', input => '{"card": "secret"}');
    SELECT wf_send('orders', '"secret"', 'secret'), wf_send('orders', '"secret"', 'secret');
    SELECT wf_recv('secret', '1 s', 'orders');
    SELECT wf_start('queued', queue => 'nobody');
    SELECT wf_start('done'), wf_complete('1', 'done');
    SET ROLE alice;
    SELECT wf_start('suspended', 'waits');
    SELECT wf_start('failed', 'fails');
    SELECT wf_result('failed');
    RESET ROLE;
    INSERT INTO durable_wf.dead_letter VALUES ('orders', 'm', 'secret', 0, '"secret"', 9, now());
""")
until(lambda: sql("SELECT status = 'WAITING' FROM wf_workflows WHERE workflow_id = 'suspended'") == "t",
      "a suspended workflow")

# ----- the exporter, as a member of pg_monitor

exporter_port, prometheus_port = free_port(), free_port()
exporter = subprocess.Popen(
    ["prometheus-postgres-exporter", f"--web.listen-address=127.0.0.1:{exporter_port}",
     f"--extend.query-path={DOCS}/queries.yaml"],
    env={**os.environ, "DATA_SOURCE_NAME": f"host={os.environ['PGHOST']} port={os.environ['PGPORT']} "
         "user=monitor dbname=postgres sslmode=disable"},
    stdout=open(f"{WORK}/exporter.log", "w"), stderr=subprocess.STDOUT)
prometheus = None
try:
    metrics = until(lambda: get(f"http://127.0.0.1:{exporter_port}/metrics"), "the exporter")
    names = set(re.findall(r"^([a-zA-Z_:]+)[{ ]", metrics, re.M))
    log = open(f"{WORK}/exporter.log").read()
    check("rror" not in "\n".join(line for line in log.splitlines() if "durable_wf" in line),
          "the exporter runs the queries", log)
    check("secret" not in metrics, "no payload, topic or error is exported")

    def value(metric, **labels):
        for line in metrics.splitlines():
            if line.startswith(metric + "{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
                return float(line.split()[-1])
        return None

    for expected, metric, labels in (
            (1, "durable_wf_workflows_count", {"owner": "alice", "status": "WAITING", "body": "public.waits"}),
            (1, "durable_wf_workflows_count", {"owner": "alice", "status": "ERROR"}),
            (1, "durable_wf_workflows_overdue", {"queue": "nobody"}),
            (1, "durable_wf_mailboxes_items", {"owner": "postgres", "door": "message"}),
            (1, "durable_wf_mailboxes_dead_letters", {"door": "message"}),
            (1, "durable_wf_waits_suspended", {"owner": "alice", "door": "message"}),
            (2, "durable_wf_stat_sends", {"door": "message"}),
            (1, "durable_wf_stat_receives", {"door": "message"}),
            (1, "durable_wf_processes_count", {"kind": "worker"}),
            (1, "durable_wf_processes_count", {"kind": "launcher"})):
        check(value(metric, **labels) == expected, f"{metric} {labels}: {expected}",
              f"it is {value(metric, **labels)}")

    # ----- the rules

    done = subprocess.run(["promtool", "check", "rules", f"{DOCS}/alerts.yml"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(done.returncode == 0, "promtool accepts the rules", done.stdout)

    with open(f"{WORK}/prometheus.yml", "w") as file:
        file.write(f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{DOCS}/alerts.yml"]
scrape_configs:
  - job_name: postgres
    static_configs: [{{targets: ["127.0.0.1:{exporter_port}"]}}]
""")
    prometheus = subprocess.Popen(
        ["prometheus", f"--config.file={WORK}/prometheus.yml", f"--storage.tsdb.path={WORK}/tsdb",
         f"--web.listen-address=127.0.0.1:{prometheus_port}"],
        stdout=open(f"{WORK}/prometheus.log", "w"), stderr=subprocess.STDOUT)
    until(lambda: ask("query", query="durable_wf_stat_sends[1m]")["result"] and
          all(len(series["values"]) > 2 for series in ask("query", query="durable_wf_stat_sends[1m]")["result"]),
          "Prometheus has scraped")

    def fires():
        return {alert["labels"]["alertname"]: alert["state"] for alert in ask("alerts")["alerts"]}

    until(lambda: "DurableWfDeadLetters" in fires() and "DurableWfOverdue" in fires(), "alerts")
    check(fires().get("DurableWfDeadLetters") == "firing", "dead letters fire", fires())
    check("DurableWfNoWorker" not in fires() and "DurableWfDown" not in fires(), "what is well does not", fires())
    rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
    check(len(rules) == 7 and all(rule["health"] == "ok" for rule in rules), "all rules are evaluated", rules)

    # ----- the dashboard

    with open(f"{DOCS}/dashboard.json") as file:
        dashboard = json.load(file)
    check(dashboard["schemaVersion"] >= 30 and dashboard["title"] and dashboard["panels"], "the dashboard's form")
    places, ids = set(), set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        check(panel["type"] in ("timeseries", "stat") and panel["title"] and panel["targets"] and
              panel["id"] not in ids and (place["x"], place["y"]) not in places and
              place["x"] + place["w"] <= 24, f"panel {panel['title']}")
        places.add((place["x"], place["y"]))
        ids.add(panel["id"])
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$owner", ".*")
            check("$" not in expression and ask("query", query=expression)["result"],
                  f"its expression gives data: {target['expr']}")
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    for name in ("instance", "owner"):
        metric = re.match(r"label_values\((\w+), (\w+)\)$", variables[name]["definition"])
        check(metric and metric[2] == name and metric[1] in names, f"the variable {name}")

    # ----- each metric that is named there is there, and the other way round

    told = set(re.findall(r"\b(durable_wf_\w+|pg_up)\b", json.dumps(dashboard) + "".join(
        rule["query"] for rule in rules)))
    check(told <= names, "each metric that is named exists", told - names)
    unused = {name for name in names if name.startswith("durable_wf_")} - told
    check(unused <= {"durable_wf_waits_oldest_age_seconds"}, "each that exists is shown", unused)

    # ----- the worst case: our processes are gone

    sql("DROP EXTENSION durable_wf CASCADE")
    until(lambda: "DurableWfNoWorker" in fires(), "no worker: an alert")
    check(True, "an alert when there is no worker")
except AssertionError as error:
    check(False, "went on to the end", error)
finally:
    for process in (prometheus, exporter):
        if process is not None:
            process.terminate()
            process.wait()
sys.exit(failures > 0)
