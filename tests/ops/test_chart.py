"""The chart, rendered by Helm's own engine: what it makes is valid and safe, and wrong values are refused in words."""

import functools
import ipaddress
import json
import re
import subprocess
import sys
import tempfile
import unittest

import helm_python as helm
import kubernetes_validate
import yaml

from project import CHART, TOP, alerts, load, read

VALUES = sorted((TOP / "tests/ops/values").glob("*.yml"))
# The oldest that Chart.yaml allows, and the newest that there are schemas of.
KUBERNETES = ["1.25.0", kubernetes_validate.latest_version()]
# Kinds of operators' own, which Kubernetes has no schema of; each has a test here.
OPERATORS = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}
# The drain of a process: RECADERO_SHUTDOWN_GRACE and what src/app.rs adds to it for saying goodbye.
GOODBYE_SECONDS = 5
SECONDS = {"s": 1, "m": 60, "h": 3600}

chart = helm.Chart.load(str(TOP / CHART))


def values_of(name):
    return load(f"tests/ops/values/{name}.yml")


def render(name):
    """The objects that these values make, and the notes."""
    rendered = chart.render(values_of(name), name="demo", namespace="prod", is_install=True)
    notes = "".join(text for path, text in rendered.items() if path.endswith("NOTES.txt"))
    texts = [text for path, text in rendered.items() if not path.endswith("NOTES.txt")]
    return [found for text in texts for found in yaml.safe_load_all(text) if found], notes


GOOD = {path.stem: render(path.stem) for path in VALUES if path.stem.startswith("good-")}


def kind(objects, wanted):
    return [found for found in objects if found["kind"] == wanted]


def one(objects, wanted, name=None):
    found = [found for found in kind(objects, wanted) if name in (None, found["metadata"]["name"])]
    assert len(found) == 1, (wanted, name, [f["metadata"]["name"] for f in found])
    return found[0]


def pods(objects):
    """Every pod that will run, as (name, pod template)."""
    return [
        (found["metadata"]["name"], found["spec"]["template"])
        for found in objects
        if found["kind"] in ("Deployment", "Job")
    ]


def matches(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def for_each_good_chart(check):
    """A test that runs `check` on what each good file of values makes."""

    @functools.wraps(check)
    def test(self):
        for name, (objects, _) in GOOD.items():
            with self.subTest(values=name):
                check(self, name, objects)

    return test


class EveryGoodChart(unittest.TestCase):
    def test_helm_lint_is_content(self):
        for name in GOOD:
            report = helm.lint(str(TOP / CHART), values_of(name), strict=True)
            loud = [message for message in report["messages"] if message["severity"] > 1]
            self.assertEqual((loud, report["errors"]), ([], []), name)

    @for_each_good_chart
    def test_kubernetes_knows_every_field(self, _, objects):
        for found in objects:
            if found["kind"] not in OPERATORS:
                for version in KUBERNETES:
                    kubernetes_validate.validate(found, version, strict=True)

    @for_each_good_chart
    def test_no_two_objects_have_one_name(self, _, objects):
        names = [(found["kind"], found["metadata"]["name"]) for found in objects]
        self.assertEqual(len(names), len(set(names)), names)

    @for_each_good_chart
    def test_every_container_may_do_nothing_it_need_not(self, _, objects):
        self.assertTrue(pods(objects))
        for name, template in pods(objects):
            spec = template["spec"]
            self.assertIs(spec["automountServiceAccountToken"], False, name)
            self.assertIs(spec["enableServiceLinks"], False, name)
            self.assertIs(spec["securityContext"]["runAsNonRoot"], True, name)
            self.assertGreater(spec["securityContext"]["runAsUser"], 0, name)
            self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"}, name)
            for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
                self.assertNotIn(forbidden, spec, name)
            for container in spec["containers"]:
                self.assertEqual(container["securityContext"], {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }, name)
                self.assertIn("memory", container["resources"]["limits"], name)
                self.assertIn("cpu", container["resources"]["requests"], name)

    @for_each_good_chart
    def test_every_selector_finds_its_pods_and_no_others(self, _, objects):
        labels = {name: template["metadata"]["labels"] for name, template in pods(objects)}
        for found in kind(objects, "Deployment"):
            name, selector = found["metadata"]["name"], found["spec"]["selector"]["matchLabels"]
            self.assertEqual([other for other in labels if matches(selector, labels[other])], [name])
        for found in kind(objects, "PodDisruptionBudget"):
            selector = found["spec"]["selector"]["matchLabels"]
            self.assertEqual(
                [other for other in labels if matches(selector, labels[other])], [found["metadata"]["name"]]
            )
        for found in kind(objects, "Service"):
            for port in found["spec"]["ports"]:
                having = [
                    name
                    for name, template in pods(objects)
                    if matches(found["spec"]["selector"], template["metadata"]["labels"])
                    and any(
                        p["name"] == port.get("targetPort", port["name"])
                        for p in template["spec"]["containers"][0].get("ports", [])
                    )
                ]
                self.assertTrue(having, found["metadata"]["name"])

    @for_each_good_chart
    def test_probes_are_what_the_process_answers(self, _, objects):
        for name, template in serving(objects):
            container = template["spec"]["containers"][0]
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            self.assertEqual(ports["ops"], 9464)
            # Liveness must not depend on Redis or RabbitMQ, which is what /readyz tells of.
            self.assertEqual(container["livenessProbe"]["httpGet"], {"path": "/healthz", "port": "ops"}, name)
            self.assertEqual(container["startupProbe"]["httpGet"], {"path": "/healthz", "port": "ops"}, name)
            self.assertEqual(container["readinessProbe"]["httpGet"], {"path": "/readyz", "port": "ops"}, name)

    @for_each_good_chart
    def test_a_pod_has_longer_than_its_drain(self, _, objects):
        for name, template in serving(objects):
            config = one(objects, "ConfigMap", release(objects))["data"]
            amount, unit = re.fullmatch(r"(\d+)([smh])", config["RECADERO_SHUTDOWN_GRACE"]).groups()
            sleep = template["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
            self.assertEqual(sleep[0], "sleep")
            drain = int(sleep[1]) + int(amount) * SECONDS[unit] + GOODBYE_SECONDS
            self.assertGreater(template["spec"]["terminationGracePeriodSeconds"], drain, name)

    @for_each_good_chart
    def test_the_environment_comes_from_things_that_exist(self, values, objects):
        mine = {(found["kind"], found["metadata"]["name"]) for found in objects}
        theirs = set(re.findall(r"existingSecret: ([\w-]+)", read(f"tests/ops/values/{values}.yml")))
        for name, template in pods(objects):
            container = template["spec"]["containers"][0]
            for source in container.get("envFrom", []):
                for key, of in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                    if key in source:
                        wanted = source[key]["name"]
                        self.assertTrue((of, wanted) in mine or wanted in theirs, (name, wanted))
            for variable in container.get("env", []):
                if "valueFrom" in variable:
                    wanted = variable["valueFrom"]["secretKeyRef"]["name"]
                    self.assertTrue(("Secret", wanted) in mine or wanted in theirs, (name, wanted))

    @for_each_good_chart
    def test_every_role_runs_once(self, values, objects):
        roles = [
            variable["value"].split(",")
            for _, template in serving(objects)
            for variable in template["spec"]["containers"][0]["env"]
            if variable["name"] == "RECADERO_ROLES"
        ]
        every = sorted(role for some in roles for role in some)
        wanted = ["router"] if values == "good-some-roles" else ["api", "deliverer", "notifier", "router"]
        self.assertEqual(every, wanted)

    @for_each_good_chart
    def test_a_service_monitor_finds_the_service_of_every_process(self, _, objects):
        for found in kind(objects, "ServiceMonitor"):
            selector = found["spec"]["selector"]["matchLabels"]
            services = [s for s in kind(objects, "Service") if matches(selector, s["metadata"]["labels"])]
            self.assertEqual([s["metadata"]["name"] for s in services], [release(objects) + "-ops"])
            for endpoint in found["spec"]["endpoints"]:
                self.assertEqual(set(endpoint), {"port", "path", "interval"})
                self.assertIn(endpoint["port"], [port["name"] for port in services[0]["spec"]["ports"]])

    @for_each_good_chart
    def test_a_prometheus_rule_is_one_that_prometheus_loads(self, _, objects):
        for found in kind(objects, "PrometheusRule"):
            self.assertEqual(set(found["spec"]), {"groups"})
            self.check_rules(found["spec"])

    @for_each_good_chart
    def test_a_scaled_object_scales_a_deployment_that_is_there(self, _, objects):
        for found in kind(objects, "ScaledObject"):
            fields = {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "cooldownPeriod", "triggers"}
            self.assertEqual(set(found["spec"]), fields)
            target = one(objects, "Deployment", found["spec"]["scaleTargetRef"]["name"])
            self.assertNotIn("replicas", target["spec"])
            for trigger in found["spec"]["triggers"]:
                self.assertEqual(trigger["type"], "prometheus")
                self.assertEqual(set(trigger["metadata"]), {"serverAddress", "query", "threshold"})
                self.assertTrue(trigger["metadata"]["threshold"].isdigit())
                rule = {"record": "scaling", "expr": trigger["metadata"]["query"]}
                self.check_rules({"groups": [{"name": "scaling", "rules": [rule]}]})

    def check_rules(self, rules):
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump(rules, file)
            file.flush()
            done = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_every_kind_is_seen(self):
        seen = {found["kind"] for objects, _ in GOOD.values() for found in objects}
        self.assertLessEqual(OPERATORS | {"HorizontalPodAutoscaler", "Ingress", "Job", "NetworkPolicy", "Secret"}, seen)


def release(objects):
    """The name of the release's objects."""
    return one(objects, "NetworkPolicy")["metadata"]["name"]


def serving(objects):
    """The pods that run `recadero serve`."""
    return [(name, template) for name, template in pods(objects) if template["spec"]["containers"][0].get("args") == ["serve"]]


class SomeCharts(unittest.TestCase):
    """What single values are for."""

    def test_overrides_and_omissions_of_alerts(self):
        rules = {
            rule["alert"]: rule
            for group in one(GOOD["good-roles"][0], "PrometheusRule")["spec"]["groups"]
            for rule in group["rules"]
        }
        self.assertEqual({rule["alert"] for rule in alerts()} - set(rules), {"RecaderoNoticesFailing"})
        self.assertEqual(rules["RecaderoStoreFull"]["for"], "10m")
        self.assertEqual(rules["RecaderoStoreFull"]["labels"], {"severity": "critical", "team": "webhooks"})
        self.assertEqual(
            rules["RecaderoStoreFull"]["annotations"]["runbook_url"],
            "https://example.com/recadero/docs/runbook.md#recaderostorefull",
        )

    def test_alerts_name_the_queues_of_the_exchange_that_is_set(self):
        text = json.dumps(one(GOOD["good-everything"][0], "PrometheusRule"))
        self.assertIn(r"platform\\\\.events\\\\.[0-9]+", text)
        self.assertNotIn("recadero\\\\", text)

    def test_dashboards_are_those_of_the_files(self):
        for name in ("oncall", "capacity"):
            found = one(GOOD["good-roles"][0], "ConfigMap", f"demo-recadero-{name}")
            (text,) = found["data"].values()
            self.assertEqual(json.loads(text), load(f"{CHART}/files/dashboards/{name}.json"))
            self.assertEqual(found["metadata"]["labels"]["grafana_dashboard"], "1")

    def test_whole_numbers_stay_whole(self):
        data = one(GOOD["good-everything"][0], "ConfigMap", "hooks")["data"]
        self.assertEqual(data["RECADERO_MAX_INFLIGHT"], "1000000")
        self.assertEqual(data["RECADERO_MAX_EVENT_BYTES"], "1MiB")
        self.assertNotIn("RECADERO_ALLOW_NETS", data)
        self.assertEqual(data["OTEL_EXPORTER_OTLP_ENDPOINT"], "http://collector.tracing:4318")

    def test_networks_and_ports_that_are_allowed_are_allowed_here_too(self):
        egress = one(GOOD["good-network"][0], "NetworkPolicy")["spec"]["egress"]
        blocks = [to["ipBlock"]["cidr"] for to in egress[-1]["to"]]
        self.assertEqual(blocks, ["0.0.0.0/0", "2000::/3", "10.20.0.0/16", "fd12::/16"])
        self.assertEqual(egress[-1]["ports"], [{"port": 443}, {"port": 8443}])

    def test_the_topology_is_declared_before_anything_runs(self):
        job = one(GOOD["good-existing-secret"][0], "Job")
        self.assertEqual(job["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade")
        url = job["spec"]["template"]["spec"]["containers"][0]["env"][-1]["valueFrom"]["secretKeyRef"]
        self.assertEqual(url, {"name": "rabbitmq-admin", "key": "RECADERO_AMQP_URL"})
        trial = one(GOOD["good-trial"][0], "Job")
        self.assertEqual(trial["metadata"]["annotations"]["helm.sh/hook"], "post-install,post-upgrade")

    def test_the_notes_warn_of_the_trial_and_of_being_unwatched(self):
        self.assertIn("WARNING: trial.enabled", GOOD["good-trial"][1])
        self.assertNotIn("WARNING", GOOD["good-minimal"][1])
        self.assertIn("Nobody watches", GOOD["good-minimal"][1])
        self.assertIn("https://hooks.example.com/", GOOD["good-ingress"][1])


class Refusals(unittest.TestCase):
    def test_wrong_values_are_refused_in_words(self):
        bad = [path for path in VALUES if path.stem.startswith("bad-")]
        self.assertGreaterEqual(len(bad), 6)
        for path in bad:
            with self.subTest(values=path.stem):
                wanted = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# says: ")
                with self.assertRaises(helm.HelmError) as raised:
                    render(path.stem)
                self.assertIn(wanted, str(raised.exception))
                self.assertNotIn("sw0rdfish", str(raised.exception), "a secret in a message")


class TheGuardOnceMore(unittest.TestCase):
    """The NetworkPolicy forbids what src/deliver/guard/registry.rs forbids."""

    def setUp(self):
        rows = re.findall(
            r"row([46])\(\[?([^\])]+?)\]?,\s*(\d+),\s*(Forbidden|Metadata|Global|Carries)", read("src/deliver/guard/registry.rs")
        )
        self.assertEqual(len(rows), 25 + 31, "rows of the registry")
        self.rows = [(network(version, address, bits), verdict) for version, address, bits, verdict in rows]
        policy = one(GOOD["good-minimal"][0], "NetworkPolicy")
        blocks = [to["ipBlock"] for to in policy["spec"]["egress"][-1]["to"]]
        self.allowed = [ipaddress.ip_network(block["cidr"]) for block in blocks]
        self.excepted = [ipaddress.ip_network(cidr) for block in blocks for cidr in block["except"]]

    def test_what_the_guard_forbids_is_forbidden(self):
        for net, verdict in self.rows:
            if verdict != "Global" and net.prefixlen:
                inside = [block for block in self.allowed if same(block, net) and net.subnet_of(block)]
                covered = [block for block in self.excepted if same(block, net) and net.subnet_of(block)]
                self.assertTrue(covered or not inside, f"{net} can be reached")

    def test_nothing_is_forbidden_that_the_guard_does_not_know(self):
        forbidden = {net for net, verdict in self.rows if verdict != "Global"}
        self.assertLessEqual(set(self.excepted), forbidden)

    def test_each_exception_lies_in_its_block(self):
        # Kubernetes refuses a policy otherwise.
        for net in self.excepted:
            self.assertTrue(any(same(block, net) and net.subnet_of(block) for block in self.allowed), net)


def same(a, b):
    return a.version == b.version


def network(version, address, bits):
    parts = [part.strip() for part in address.split(",")]
    text = ".".join(parts) if version == "4" else ":".join(part.removeprefix("0x") for part in parts)
    return ipaddress.ip_network(f"{text}/{bits}")


class Table(unittest.TestCase):
    def test_the_readme_has_the_values_as_they_are(self):
        done = subprocess.run([sys.executable, TOP / "helm/values-table", "--check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_every_value_says_what_it_is(self):
        rows = set(re.findall(r"^\| `([\w.-]+)` \|", read(f"{CHART}/README.md"), re.M))

        def leaves(values, path=()):
            for key, value in values.items():
                here = (*path, key)
                if isinstance(value, dict) and value and not ".".join(here) in rows:
                    yield from leaves(value, here)
                else:
                    yield ".".join(here)

        self.assertLessEqual(set(leaves(load(f"{CHART}/values.yaml"))), rows)


if __name__ == "__main__":
    unittest.main()
