"""Every option, metric and command that is named outside of the code exists in the binary, and the other way round."""

import os
import re
import subprocess
import unittest

from project import CHART, TOP, alerts, dashboards, load, queries, read

BINARY = os.environ.get("RECADERO_BINARY", str(TOP / "target/debug/recadero"))
# Set by the chart itself: the layout and the container's ports decide.
THE_CHARTS_OWN = {"roles", "http-addr", "ops-addr"}
# Look like options and are none: of the tests, of `recadero listen`, of the guides' command lines, of the contract's prose.
NOT_OPTIONS = re.compile(r"RECADERO_((TEST|SIM|DIFF|FUZZ)_\w+|FAULTS|SECRET|API|X_FILE|X)$")
HISTOGRAM = re.compile(r"_(bucket|sum|count)$")


def help_of(*command):
    return subprocess.run([BINARY, *command, "--help"], check=True, capture_output=True, text=True).stdout


def options():
    """Of `recadero serve --help`: each flag, with its variable and default."""
    found = {}
    for block in re.split(r"\n(?= +(?:-\w, )?--)", help_of("serve")):
        flag = re.match(r" +--([\w-]+) ", block)
        if flag and (variable := re.search(r"\[env: (\w+)", block)):
            default = re.search(r"\[default: ([^\]]*)\]", block)
            found[flag[1]] = (variable[1], default[1] if default else "")
    return found


def section(number):
    """A section of the contract."""
    return re.search(rf"^## {number}\. .*?(?=^## |\Z)", read("docs/contract.md"), re.M | re.S)[0]


def contract_metrics():
    rows = [row.split("|")[1] for row in section(6).splitlines() if row.startswith("| `")]
    return {f"recadero_{name}" for row in rows for name in re.findall(r"`(\w+)`", row)}


def texts():
    """What people read and run outside of the code, by path."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=TOP, check=True, capture_output=True, text=True,
    ).stdout.splitlines()
    wanted = re.compile(r"(\.md|^docker-compose\.yml|^(helm|deploy)/.*)$")
    return {path: read(path) for path in listed if wanted.search(path) and (TOP / path).is_file()}


class Options(unittest.TestCase):
    def test_the_contract_has_those_of_the_binary(self):
        rows = "\n".join(row for row in section(1).splitlines() if row.startswith("| `"))
        first = "\n".join(row.split("|")[1] for row in rows.splitlines())
        named = set(re.findall(r"`((?:RECADERO|OTEL)_\w+)`", first))
        # `RECADERO_BACKLOG_MAX_EVENTS` / `_MAX_BYTES` / `_MAX_AGE`
        named |= {f"RECADERO_BACKLOG{rest}" for rest in re.findall(r"`(_MAX_\w+)`", first)}
        self.assertEqual(named, {variable for variable, _ in options().values()})

    def test_the_chart_has_every_option_with_the_binarys_default(self):
        values = load(f"{CHART}/values.yaml")
        config, secrets = values["config"], values["secrets"]
        self.assertEqual(set(config) | set(secrets) | THE_CHARTS_OWN, set(options()))
        for name, value in config.items():
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            self.assertEqual(shown, options()[name][1], name)

    def test_the_schema_has_them_too(self):
        schema, values = load(f"{CHART}/values.schema.json"), load(f"{CHART}/values.yaml")
        for part in ("config", "secrets"):
            self.assertEqual(set(schema["properties"][part]["properties"]), set(values[part]))

    def test_the_schema_has_the_alerts(self):
        schema = load(f"{CHART}/values.schema.json")
        self.assertEqual(schema["definitions"]["alert"]["enum"], [rule["alert"] for rule in alerts()])

    def test_every_variable_that_is_named_is_an_option(self):
        known = {variable for variable, _ in options().values()}
        known |= {f"{variable}_FILE" for variable in known}
        for path, text in texts().items():
            named = {found for found in re.findall(r"\bRECADERO_[A-Z0-9_]*[A-Z0-9]\b", text) if not NOT_OPTIONS.match(found)}
            self.assertEqual({found for found in named if found not in known}, set(), path)


class Metrics(unittest.TestCase):
    def read_by_operators(self):
        expressions = [rule["expr"] for rule in alerts()]
        expressions += [query for dashboard in dashboards().values() for _, query in queries(dashboard)]
        return {HISTOGRAM.sub("", name) for text in expressions for name in re.findall(r"\brecadero_\w+", text)}

    def test_dashboards_and_alerts_read_what_the_contract_promises_and_all_of_it(self):
        self.assertEqual(self.read_by_operators(), contract_metrics())

    def test_documents_name_only_metrics_that_there_are(self):
        # A name that ends like a metric, with or without the prefix; files' names and keys are not.
        for path, text in texts().items():
            named = {
                HISTOGRAM.sub("", name)
                for name in re.findall(r"\brecadero_\w+(?:_total|_seconds|_bytes|_connected|_info|_inflight|_events|_count|_bucket)\b", text)
            }
            self.assertEqual(named - contract_metrics(), set(), path)

    def test_units_are_what_the_metrics_are_in(self):
        for name, dashboard in dashboards().items():
            for panel in dashboard["panels"]:
                for target in panel.get("targets", []):
                    with self.subTest(dashboard=name, panel=panel["title"], query=target["expr"]):
                        self.assertIn(panel["fieldConfig"]["defaults"]["unit"], units(target["expr"]))


def units(query):
    """The units of Grafana that fit a query."""
    if "_seconds_sum" in query and "/" not in query:
        return {"short"}
    if "backlog_events" in query and "_bytes" in query:
        return {"bytes"}
    if "_seconds_bucket" in query or "_seconds_sum" in query or "_age_seconds" in query:
        return {"s"}
    if "_bytes" in query:
        return {"percentunit"} if "/" in query else {"bytes"}
    if "rate(" in query:
        return {"percentunit", "short"} if "/" in query else {"ops"}
    return {"short", "none"}


class Commands(unittest.TestCase):
    def test_every_command_that_is_named_is_in_the_contract(self):
        named = set(re.findall(r"`recadero (\w+)", section(7)))
        for path, text in texts().items():
            used = set(re.findall(r"(?:`|^|\$ )recadero ([a-z]+)\b", text, re.M))
            used |= set(re.findall(r'\[(?:CMD, |")recadero(?:"|), "?([a-z]+)', text))
            self.assertLessEqual(used, named, path)

    def test_every_flag_that_is_named_is_one_of_its_command(self):
        there = set(re.findall(r"^  (\w+) ", help_of(), re.M))
        for path, text in texts().items():
            for command, arguments in re.findall(r"(?:`|^|\$ )recadero ([a-z]+)((?: +[^\s`|]+)*)", text, re.M):
                for flag in re.findall(r" (--[a-z-]+)", arguments):
                    if command in there:
                        self.assertIn(flag, help_of(command), f"{path}: recadero {command}")


if __name__ == "__main__":
    unittest.main()
