"""The moves that docs/operating.md describes, made as it describes them: nothing is lost, and order holds."""

import json
import re
import shutil
import subprocess
import unittest

from servers import Site, free_port, until

# Published before a move, and as many after it.
EVENTS = 60


class Moves(unittest.TestCase):
    def setUp(self):
        self.site = self.enterContext(Site(watched=False))
        self.site.ports["receiver"] = free_port()
        self.site.start_receiver()
        self.site.setup_demo()
        endpoints = "/v1/workspaces/demo/endpoints"
        (endpoint,) = self.site.api("GET", endpoints)["data"]
        self.endpoint = f"{endpoints}/{endpoint['id']}"
        self.numbers = []

    def publish(self):
        """Publishes the next events, numbered."""
        fresh = range(len(self.numbers), len(self.numbers) + EVENTS)
        self.numbers += fresh
        file = self.site.etc / "events.ndjson"
        lines = [{"event_type": "message.sent", "event_id": f"event-{number:04}"} for number in fresh]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.site.command("publish", "--workspace", "demo", "--file", str(file))

    def waiting(self):
        return self.site.api("GET", self.endpoint)["backlog"]["events"]

    def arrived(self):
        """The numbers at the receiver, in the order of arrival, each once."""
        found = re.findall(r"event-(\d{4})", self.site.processes["receiver"].printed())
        return list(dict.fromkeys(int(number) for number in found))

    def assert_all_arrive_in_order(self):
        until("all events", lambda: len(self.arrived()) == len(self.numbers))
        self.assertEqual(self.arrived(), self.numbers)

    def test_another_number_of_queues(self):
        self.publish()
        # Nothing is published any more, and the queues run empty.
        queue = "/api/queues/%2f/recadero.events.0"
        until("the empty queue", lambda: self.site.manage("GET", queue).get("messages") == 0)
        self.site.stop("recadero")
        three = {"RECADERO_AMQP_QUEUES": "3"}
        with self.assertRaisesRegex(AssertionError, "with another number of queues the order of events would break"):
            self.site.command("topology", environment=three)
        self.site.manage("DELETE", queue)
        self.site.command("topology", environment=three)
        self.site.start_recadero(**three)
        self.publish()
        self.assert_all_arrive_in_order()

    def test_from_one_redis_to_a_cluster(self):
        self.site.api("POST", f"{self.endpoint}/disable")
        self.publish()
        until("the events in Redis", lambda: self.waiting() == EVENTS)
        self.site.stop("recadero")
        # The same data, as a Cluster of one node that has all slots; then a second node takes half of them.
        self.site.stop("redis")
        data = self.site.etc / "data"
        shutil.copytree(self.site.processes["redis"].directory, data)
        for name, directory in (("redis", data), ("second", "DIR")):
            self.site.ports.setdefault(name, free_port())
            self.site.start_redis(name, directory, "--cluster-enabled", "yes", "--cluster-port", free_port())
            until("Redis", lambda: "PONG" in self.site.redis("ping", port=name))
        first, second = (f"127.0.0.1:{self.site.ports[name]}" for name in ("redis", "second"))
        self.cluster("fix", first)
        self.cluster("add-node", second, first)
        for name in ("redis", "second"):
            until("a Cluster that is up", lambda: "cluster_state:ok" in self.site.redis("cluster", "info", port=name))
        self.cluster("rebalance", first, "--cluster-use-empty-masters")
        self.assertGreater(int(self.site.redis("dbsize", port="second")), 0)
        self.site.start_recadero(RECADERO_REDIS_URL=f"redis://{first},redis://{second}")
        self.publish()
        self.site.api("POST", f"{self.endpoint}/enable", {"backlog": "deliver"})
        self.assert_all_arrive_in_order()

    def cluster(self, *words):
        done = subprocess.run(
            ["redis-cli", "--cluster", *words, "--cluster-yes"], input="yes\n", capture_output=True, text=True, timeout=120
        )
        self.assertEqual(done.returncode, 0, f"{words}: {done.stdout[-2000:]}{done.stderr}")


if __name__ == "__main__":
    unittest.main()
