"""The processes of docker-compose.yml, started by hand from the same files, on free ports of 127.0.0.1.

Each runs under tests/it/rig/guard.sh: it ends, and its directory goes, when this process does, whatever ends that.
"""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

from project import ALERTS, TOP, load, read

PATIENCE_SECONDS = 180
BINARY = os.environ.get("RECADERO_BINARY", str(TOP / "target/debug/recadero"))
COMPOSE = load("docker-compose.yml")["services"]
# Ports of this process, until it ends.
HELD = []


def free_port():
    """A port that nobody else takes: held, as tests/it/rig/ports.rs holds its own, by an abstract socket of its name."""
    for port in range(20_000 + os.getpid() * 7919 % 11_000, 32_000):
        held = socket.socket(socket.AF_UNIX)
        try:
            held.bind(f"\0recadero-test-port-{port}")
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", port))
        except OSError:
            held.close()
            continue
        HELD.append(held)
        return port
    raise RuntimeError("no free port")


def get(url, **headers):
    """The body of what a URL answers; raises what urllib raises."""
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return answer.read().decode()


def until(what, condition):
    """Waits, with a bound, until `condition` answers something true; answers that."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except (OSError, urllib.error.URLError, subprocess.CalledProcessError):
            pass
        time.sleep(0.2)
    raise TimeoutError(f"waited {PATIENCE_SECONDS} s for {what}")


class Process:
    """A guarded process and what it printed."""

    def __init__(self, name, *command, environment=None):
        self.directory = tempfile.mkdtemp(prefix=f"recadero-ops-{name}-")
        self.log = tempfile.NamedTemporaryFile("w+", prefix=f"recadero-ops-{name}-", suffix=".log")
        self.guard = subprocess.Popen(
            ["sh", TOP / "tests/it/rig/guard.sh", self.directory, *(str(part).replace("DIR", self.directory) for part in command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        self.pid = int(self.guard.stdout.readline())

    def printed(self):
        return Path(self.log.name).read_text(encoding="utf-8", errors="replace")

    def stop(self):
        """Asks it to end, and waits until it has; its directory stays until `end`."""
        os.kill(self.pid, signal.SIGTERM)
        self.guard.wait(PATIENCE_SECONDS)

    def end(self):
        self.guard.stdin.close()
        self.guard.stdout.close()
        self.guard.wait(PATIENCE_SECONDS)
        shutil.rmtree(self.directory, ignore_errors=True)


class Site:
    """All of them; without receiver and Prometheus when not `watched`. A context: they end with it."""

    def __init__(self, watched=True):
        self.watched = watched
        names = ("amqp", "management", "queue_metrics", "redis", "api", "ops", "receiver", "prometheus", "mail")
        self.ports = {name: free_port() for name in names}
        self.processes = {}
        self.changed = {}
        self.etc = Path(tempfile.mkdtemp(prefix="recadero-ops-etc-"))

    def __enter__(self):
        try:
            self.start_rabbitmq()
            self.start_redis()
            self.start_mail()
            if self.watched:
                self.start_receiver()
                self.start_prometheus()
            until("RabbitMQ", lambda: "Server startup complete" in self.processes["rabbitmq"].printed())
            until("Redis", lambda: "PONG" in self.redis("ping"))
            self.start_recadero()
            if self.watched:
                until("Prometheus", lambda: get(self.url("prometheus", "/-/ready")))
        except BaseException:
            self.tell()
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.end()
        shutil.rmtree(self.etc)

    def tell(self):
        for name, process in self.processes.items():
            print(f"--- {name}\n{process.printed()[-3000:]}")

    def url(self, server, path=""):
        return f"http://127.0.0.1:{self.ports[server]}{path}"

    def run(self, name, *command, environment=None):
        if name in self.processes:
            self.processes.pop(name).end()
        self.processes[name] = Process(name, *command, environment=environment)

    def start_rabbitmq(self):
        # Debian's own program insists on its own user and directories; what it calls does not.
        server = "/usr/lib/rabbitmq/bin/rabbitmq-server"
        server = server if os.access(server, os.X_OK) else shutil.which("rabbitmq-server")
        directory = self.etc
        definitions = TOP / "deploy/rabbitmq/definitions"
        (directory / "rabbitmq.conf").write_text(
            read("deploy/rabbitmq/rabbitmq.conf").replace("/etc/rabbitmq/definitions", str(definitions))
            + f"listeners.tcp.1 = 127.0.0.1:{self.ports['amqp']}\n"
            + f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.ports['management']}\n"
            + f"prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {self.ports['queue_metrics']}\n"
        )
        shutil.copy(TOP / "deploy/rabbitmq/enabled_plugins", directory / "enabled_plugins")
        (directory / "env.conf").touch()
        self.run(
            "rabbitmq", "env", "-i", f"PATH={os.environ['PATH']}", "HOME=DIR", "LANG=C.UTF-8", "ERL_FLAGS=-start_epmd false",
            "RABBITMQ_NODENAME=ops@localhost",
            f"RABBITMQ_CONF_ENV_FILE={directory}/env.conf",
            f"RABBITMQ_CONFIG_FILE={directory}/rabbitmq.conf",
            f"RABBITMQ_ENABLED_PLUGINS_FILE={directory}/enabled_plugins",
            "RABBITMQ_ADVANCED_CONFIG_FILE=DIR/advanced.config", "RABBITMQ_GENERATED_CONFIG_DIR=DIR/generated",
            "RABBITMQ_MNESIA_BASE=DIR/data", "RABBITMQ_LOG_BASE=DIR/logs", "RABBITMQ_PID_FILE=DIR/pid",
            "RABBITMQ_ALLOW_INPUT=1",
            # No Erlang port and no daemon, as in tests/it/rig/rabbit.sh.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1 -sname ops@localhost -dist_listen false -start_epmd false -erl_epmd_port 1",
            server, "-noinput",
        )

    def start_redis(self, name="redis", directory="DIR", *more):
        program, file, *options = COMPOSE["redis"]["command"]
        assert file == "/etc/redis.conf"
        self.run(
            name, program, TOP / "deploy/redis/redis.conf", *options,
            "--bind", "127.0.0.1", "--port", self.ports[name], "--dir", directory, *more,
        )

    def environment(self):
        """What the Compose file gives Recadero, with the addresses of this site."""
        given = dict(COMPOSE["recadero"]["environment"])
        given["RECADERO_AMQP_URL"] = given["RECADERO_AMQP_URL"].replace("rabbitmq:5672", f"127.0.0.1:{self.ports['amqp']}")
        given["RECADERO_REDIS_URL"] = given["RECADERO_REDIS_URL"].replace("redis:6379", f"127.0.0.1:{self.ports['redis']}")
        given["RECADERO_SMTP_URL"] = given["RECADERO_SMTP_URL"].replace("mail:1025", f"127.0.0.1:{self.ports['mail']}")
        given["RECADERO_ALLOW_NETS"] += ",127.0.0.0/8"
        given["RECADERO_HTTP_ADDR"] = f"127.0.0.1:{self.ports['api']}"
        given["RECADERO_OPS_ADDR"] = f"127.0.0.1:{self.ports['ops']}"
        return given | self.changed

    def start_recadero(self, **changed):
        """With other options where `changed` says so, from now on."""
        self.changed.update(changed)
        self.run("recadero", BINARY, "serve", environment=self.environment())
        until("Recadero", lambda: get(self.url("ops", "/readyz")))

    def stop(self, name):
        """SIGTERM, as `docker compose stop` sends it, and the end of the process."""
        self.processes[name].stop()

    def start_mail(self):
        """A mail catcher; it prints what it catches."""
        handler = ["-c", "aiosmtpd.handlers.Debugging", "stdout"]
        address = f"127.0.0.1:{self.ports['mail']}"
        self.run("mail", sys.executable, "-u", "-m", "aiosmtpd", "-n", "-l", address, *handler)

    def start_receiver(self):
        command = [part.replace("0.0.0.0:3000", f"127.0.0.1:{self.ports['receiver']}") for part in COMPOSE["receiver"]["command"]]
        self.run("receiver", BINARY, *command)

    def start_prometheus(self):
        config = load("deploy/prometheus/prometheus.yml")
        assert config["rule_files"] == ["/etc/prometheus/alerts.yml"]
        config["rule_files"] = [str(TOP / ALERTS)]
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        for job in config["scrape_configs"]:
            own = "ops" if job["job_name"] == "recadero" else "queue_metrics"
            job.pop("dns_sd_configs", None)
            job["static_configs"] = [{"targets": [f"127.0.0.1:{self.ports[own]}"]}]
        file = self.etc / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        self.run(
            "prometheus", "prometheus", f"--config.file={file}", "--storage.tsdb.path=DIR/data",
            f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}",
        )

    def command(self, *arguments, environment=None):
        """Runs a command of the binary to its end and answers what it printed."""
        done = subprocess.run(
            [BINARY, *arguments], env={**os.environ, **self.environment(), **(environment or {})},
            capture_output=True, text=True, timeout=PATIENCE_SECONDS,
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def redis(self, *words, port="redis"):
        """What redis-cli answers."""
        command = ["redis-cli", "-p", str(self.ports[port]), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS).stdout

    def setup_demo(self):
        """The Compose file's demo service."""
        given = COMPOSE["demo"]["environment"]
        environment = {
            "DEMO_TOKEN": given["DEMO_TOKEN"],
            "DEMO_API": self.url("api"),
            "DEMO_TO": self.url("receiver", "/"),
        }
        subprocess.run(
            ["sh", TOP / "deploy/demo/setup.sh"], env={**os.environ, **environment},
            check=True, capture_output=True, timeout=PATIENCE_SECONDS,
        )

    def api(self, method, path, body=None):
        request = urllib.request.Request(
            self.url("api", path), method=method, data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {COMPOSE['demo']['environment']['DEMO_TOKEN']}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or "null")

    def manage(self, method, path, body=None):
        """Asks RabbitMQ's management plugin."""
        user, password = re.match(r"amqp://(\w+):(\w+)@", self.environment()["RECADERO_AMQP_URL"]).groups()
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        request = urllib.request.Request(
            self.url("management", path), method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {basic}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or "null")

    def prometheus(self, path):
        return json.loads(get(self.url("prometheus", path)))["data"]

    def query(self, expression):
        """What Prometheus answers to an instant query: a list of samples."""
        return self.prometheus(f"/api/v1/query?query={urllib.parse.quote(expression)}")["result"]
