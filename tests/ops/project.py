"""The project's files, read once and in one way, for the tests of this folder."""

import json
import re
from pathlib import Path

import yaml

TOP = Path(__file__).resolve().parents[2]
CHART = "helm/recadero"
ALERTS = f"{CHART}/files/alerts.yml"
DASHBOARDS = f"{CHART}/files/dashboards"


def read(path):
    return (TOP / path).read_text(encoding="utf-8")


def load(path):
    """A YAML or JSON file."""
    return yaml.safe_load(read(path))


def alerts():
    """Every alerting rule."""
    return [rule for group in load(ALERTS)["groups"] for rule in group["rules"]]


def dashboards():
    """Every dashboard, by its file's name."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted((TOP / DASHBOARDS).glob("*.json"))}


def queries(dashboard):
    """A dashboard's queries, as (panel's title, query)."""
    found = [
        (panel["title"], target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]
    return found + [
        (variable["name"], re.sub(r"^label_values\((.*), *\w+\)$", r"\1", variable["query"]["query"]))
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    ]
