"""The Compose file, the image, the unit and the dashboards as files: well formed, and at one with each other."""

import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

from project import TOP, dashboards, load, read

COMPOSE = load("docker-compose.yml")["services"]


def seconds(text):
    amount, unit = re.fullmatch(r"(\d+)([smh])", text).groups()
    return int(amount) * {"s": 1, "m": 60, "h": 3600}[unit]


class Compose(unittest.TestCase):
    def test_docker_compose_reads_it(self):
        done = subprocess.run(["docker-compose", "-f", TOP / "docker-compose.yml", "config", "-q"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_every_file_that_is_mounted_is_there(self):
        for name, service in COMPOSE.items():
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("."):
                    self.assertTrue((TOP / source).exists(), (name, source))
                    self.assertTrue(volume.endswith(":ro"), (name, volume))

    def test_every_image_has_a_version(self):
        for name, service in COMPOSE.items():
            self.assertRegex(service["image"], r":(v?\d+\.\d+|local)", name)

    def test_recadero_starts_after_its_servers_are_healthy_and_tells_of_itself(self):
        recadero = COMPOSE["recadero"]
        for server in ("rabbitmq", "redis"):
            self.assertEqual(recadero["depends_on"][server], {"condition": "service_healthy"})
            self.assertIn("test", COMPOSE[server]["healthcheck"])
        self.assertEqual(recadero["healthcheck"]["test"], ["CMD", "recadero", "health"])

    def test_nothing_is_killed_that_drains(self):
        recadero = COMPOSE["recadero"]
        grace = seconds(recadero["environment"]["RECADERO_SHUTDOWN_GRACE"])
        self.assertGreater(seconds(recadero["stop_grace_period"]), grace + 5)

    def test_ports_are_open_to_this_machine_alone(self):
        for name, service in COMPOSE.items():
            for port in service.get("ports", []):
                self.assertTrue(port.startswith("127.0.0.1:"), (name, port))
        published = [port.split(":")[1] for service in COMPOSE.values() for port in service.get("ports", [])]
        self.assertEqual(len(published), len(set(published)))

    def test_grafana_finds_dashboards_and_data(self):
        mounted = dict(volume.split(":")[1::-1] for volume in COMPOSE["grafana"]["volumes"])
        (provider,) = load("deploy/grafana/provisioning/dashboards/recadero.yml")["providers"]
        self.assertEqual(mounted[provider["options"]["path"]], "./helm/recadero/files/dashboards")
        (source,) = load("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
        self.assertEqual(source["url"], "http://prometheus:9090")

    def test_prometheus_reads_its_configuration(self):
        text = read("deploy/prometheus/prometheus.yml").replace("/etc/prometheus/", f"{TOP}/deploy/prometheus/")
        done = subprocess.run(["promtool", "check", "config", "/dev/stdin"], input=text, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Image(unittest.TestCase):
    def test_it_is_linted(self):
        hadolint = Path(sys.executable).parent / "hadolint"
        done = subprocess.run([hadolint, TOP / "deploy/Dockerfile"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_what_it_copies_is_sent_to_the_builder(self):
        allowed = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
        self.assertEqual(copied(), allowed)
        for source in copied():
            self.assertTrue((TOP / source).exists(), source)

    def test_it_is_not_root_and_builds_what_is_locked(self):
        text = read("deploy/Dockerfile")
        self.assertIn("\nUSER 10001\n", text)
        self.assertEqual(text.count("cargo build --release --locked"), text.count("cargo build"))

    def test_what_the_code_includes_is_copied(self):
        sources = [file for file in (TOP / "src").rglob("*.rs") if "tests" not in file.parts and file.name != "tests.rs"]
        code = "".join(without_tests(file) for file in sources)
        included = set(re.findall(r'include_(?:str|bytes)!\((?:concat!\()?"((?:\.\./)+[\w./-]+)"', code))
        # askama's folder.
        templates = {"templates" for _ in re.findall(r"^#\[template\(path = ", code, re.M)}
        self.assertTrue(included)
        self.assertLessEqual(top_of(included) | templates, copied())


def top_of(paths):
    return {path.lstrip("./").split("/")[0] for path in paths}


def copied():
    """What the image is made from."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", read("deploy/Dockerfile"), re.M)
    return {source for line in lines for source in line.split()[:-1]}


def without_tests(file):
    """A source file without its unit tests, which an image does not build."""
    return file.read_text(encoding="utf-8").split("#[cfg(test)]\nmod tests {")[0]


class Package(unittest.TestCase):
    def test_it_has_what_it_is_built_from_and_nothing_that_only_runs_it(self):
        listed = subprocess.run(
            ["cargo", "package", "--locked", "--allow-dirty", "--list"], cwd=TOP, capture_output=True, text=True
        )
        self.assertEqual((listed.returncode, "warning" in listed.stderr), (0, False), listed.stderr)
        files = listed.stdout.split()
        self.assertLessEqual({"Cargo.lock", "LICENSE", "README.md", "CHANGELOG.md", "src/main.rs"}, set(files))
        tops = {file.split("/")[0] for file in files}
        self.assertLessEqual(copied() - {"LICENSE", "README.md"}, tops)
        self.assertEqual(tops & {".ci", "deploy", "helm", "docker-compose.yml"}, set())


class Run(unittest.TestCase):
    def test_every_file_of_tests_is_run(self):
        named = re.findall(r"\btest_\w+\b", read("tests/ops/run").split("# Two halves")[1])
        self.assertEqual(sorted(named), sorted(path.stem for path in (TOP / "tests/ops").glob("test_*.py")))


class Unit(unittest.TestCase):
    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd here")
    def test_systemd_reads_it(self):
        done = subprocess.run(
            ["systemd-analyze", "verify", TOP / "deploy/systemd/recadero.service"], capture_output=True, text=True
        )
        # The one thing it may miss is the program, which is not installed here.
        complaints = [line for line in done.stderr.splitlines() if "is not executable" not in line]
        self.assertEqual(complaints, [])

    def test_it_waits_longer_than_the_drain(self):
        (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", read("deploy/systemd/recadero.service"), re.M)
        self.assertGreater(int(stop), 20 + 5)


class Dashboards(unittest.TestCase):
    def test_panels_are_described_and_do_not_overlap(self):
        self.assertEqual(set(dashboards()), {"oncall.json", "capacity.json"})
        for name, dashboard in dashboards().items():
            taken = set()
            self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))
            for panel in dashboard["panels"]:
                at = panel["gridPos"]
                cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
                self.assertFalse(cells & taken, (name, panel["title"]))
                self.assertLessEqual(at["x"] + at["w"], 24, (name, panel["title"]))
                taken |= cells
                if panel["type"] != "row":
                    self.assertTrue(panel["description"], (name, panel["title"]))
                    self.assertTrue(panel["targets"], (name, panel["title"]))


if __name__ == "__main__":
    unittest.main()
