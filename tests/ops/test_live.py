"""The Compose file's processes, started by hand from its files: events go through, and Prometheus sees what is asked of it."""

import json
import math
import re
import subprocess
import time
import unittest

from project import alerts, dashboards, queries
from servers import BINARY, PATIENCE_SECONDS, Process, Site, get, until
from test_names import contract_metrics

# Deliveries under way while Prometheus is asked.
EVENTS_PER_SECOND = 100
# Queries that may answer nothing here, each with its reason.
MAY_BE_EMPTY = {}


def selectors(expression):
    """The series that an expression of ours reads, each as a query of its own."""
    return re.findall(r'\b(?:recadero_\w+|rabbitmq_\w+|up)\b(?:\{[^}]*\})?', re.sub(r'by \([^)]*\)', "", expression))


def for_prometheus(query):
    """Grafana's variables, as Grafana would fill them in."""
    return query.replace("$job", ".*").replace("$__rate_interval", "30s")


def is_data(samples):
    return any(not math.isnan(float(sample["value"][1])) for sample in samples)


class Live(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = cls.enterClassContext(Site())
        cls.site.setup_demo()
        # One that fails: many contacts at a time, so that the quota disables it at once.
        endpoint = {"url": "http://127.0.0.1:1/", "events": ["*"], "lanes": 64}
        cls.failing = cls.site.api("POST", "/v1/workspaces/demo/endpoints", endpoint)["id"]
        file = cls.site.etc / "load.ndjson"
        contacts = (f"contact-{number % 1000}" for number in range(EVENTS_PER_SECOND * 2 * PATIENCE_SECONDS))
        lines = ({"event_type": "message.received", "contact": {"id": contact}} for contact in contacts)
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        publish = ("publish", "--workspace", "demo", "--file", file, "--rate", EVENTS_PER_SECOND)
        cls.load = Process("load", BINARY, *publish, environment=cls.site.environment())
        cls.addClassCleanup(cls.load.end)

    def test_an_event_goes_through(self):
        file = self.site.etc / "event.ndjson"
        file.write_text('{"event_type": "message.sent", "event_id": "the-one-event"}\n')
        self.site.command("publish", "--workspace", "demo", "--file", str(file))
        until("the event at the receiver", lambda: "the-one-event" in self.site.processes["receiver"].printed())

    def test_the_notice_of_the_failing_endpoint_is_caught(self):
        until("the e-mail", lambda: "To: demo@example.com" in self.site.processes["mail"].printed())

    def test_the_demo_can_be_set_up_twice(self):
        before = self.site.api("GET", "/v1/workspaces/demo/endpoints")["data"]
        self.site.setup_demo()
        self.assertEqual(len(self.site.api("GET", "/v1/workspaces/demo/endpoints")["data"]), len(before))

    def test_the_definitions_are_what_recadero_topology_declares(self):
        self.site.command("topology", "--check")
        self.site.manage("PUT", "/api/vhosts/fresh", {})
        self.site.manage("PUT", "/api/permissions/fresh/recadero", {"configure": ".*", "write": ".*", "read": ".*"})
        fresh = self.site.environment()["RECADERO_AMQP_URL"].replace("%2f", "fresh")
        self.site.command("topology", environment={"RECADERO_AMQP_URL": fresh})
        loaded, declared = (self.site.manage("GET", f"/api/definitions/{vhost}") for vhost in ("%2f", "fresh"))
        for kind in ("exchanges", "queues", "bindings"):
            by_text = [sorted(str(sorted(entry.items())) for entry in side[kind]) for side in (loaded, declared)]
            self.assertEqual(*by_text, kind)

    def test_metrics_are_well_formed_and_those_of_the_contract(self):
        metrics = get(self.site.url("ops", "/metrics"))
        self.assertEqual(set(re.findall(r"^# TYPE (\w+) ", metrics, re.M)), contract_metrics())
        done = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_every_query_of_every_dashboard_returns_data(self):
        asked = {
            for_prometheus(query): f"{name}: {title}"
            for name, dashboard in dashboards().items()
            for title, query in queries(dashboard)
        }
        self.assertEqual(self.unanswered(asked), MAY_BE_EMPTY)

    def test_every_series_that_an_alert_reads_is_there(self):
        asked = {selector: rule["alert"] for rule in alerts() for selector in selectors(rule["expr"])}
        self.assertGreater(len(asked), len(alerts()))
        self.assertEqual(self.unanswered(asked), {})

    def test_no_alert_has_an_error_and_none_fires(self):
        def evaluated():
            answer = self.site.prometheus("/api/v1/rules")["groups"]
            rules = [rule for group in answer for rule in group["rules"]]
            return rules if all(rule["health"] != "unknown" for rule in rules) else None

        rules = until("the first evaluation of every rule", evaluated)
        self.assertEqual(len(rules), len(alerts()))
        for rule in rules:
            self.assertEqual((rule["health"], rule.get("lastError", "")), ("ok", ""), rule["name"])
            self.assertNotEqual(rule["state"], "firing", rule["name"])

    def unanswered(self, asked):
        """Asks until each query has answered once, with a bound; what never did."""
        end = time.monotonic() + PATIENCE_SECONDS
        while asked and time.monotonic() < end:
            asked = {query: whose for query, whose in asked.items() if not is_data(self.site.query(query))}
            time.sleep(0.5)
        return asked


if __name__ == "__main__":
    unittest.main()
