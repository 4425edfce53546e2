"""Each alert fires when it should and stays silent when it should: the table in alerts.yml, judged by promtool."""

import os
import re
import subprocess
import tempfile
import unittest

import yaml

from project import ALERTS, TOP, alerts, read

# Without types: to YAML `0x120` is a number, to promtool a hundred and twenty times 0.
TABLE = yaml.load(read("tests/ops/alerts.yml"), yaml.BaseLoader)


def series(case):
    """The healthy installation as this case changes it."""
    kept = {
        name: values
        for name, values in TABLE["healthy"].items()
        if not name.startswith(tuple(case.get("without", ["-"])))
    }
    return {**kept, **case.get("set", {})}


def promtool_test(case):
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    return {
        "name": case["name"],
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series(case).items()],
        "promql_expr_test": [{
            "expr": f"{firing} > bool 0",
            "eval_time": case["at"],
            "exp_samples": [{"labels": '{alertname="%s"}' % name, "value": 1} for name in case["fires"]],
        }],
    }


class Alerts(unittest.TestCase):
    def test_rules_are_well_formed(self):
        subprocess.run(["promtool", "check", "rules", "--lint-fatal", TOP / ALERTS], check=True, capture_output=True)

    def test_every_alert_fires_and_is_silent_in_its_cases(self):
        test = {
            "rule_files": [str((TOP / ALERTS).resolve())],
            "evaluation_interval": "1m",
            "tests": [promtool_test(case) for case in TABLE["cases"]],
        }
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "test.yml")
            with open(path, "w", encoding="utf-8") as file:
                yaml.safe_dump(test, file, sort_keys=False)
            done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_alert_has_a_case_in_which_it_fires(self):
        firing = {name for case in TABLE["cases"] for name in case["fires"]}
        self.assertEqual(firing, {rule["alert"] for rule in alerts()})

    def test_every_alert_says_how_bad_it_is_and_what_to_do(self):
        for rule in alerts():
            name = rule["alert"]
            self.assertIn(rule["labels"]["severity"], ("critical", "warning"), name)
            self.assertEqual(set(rule["annotations"]), {"summary", "description", "runbook_url"}, name)
            self.assertTrue(re.fullmatch(r"docs/runbook\.md#" + name.lower(), rule["annotations"]["runbook_url"]), name)


if __name__ == "__main__":
    unittest.main()
