"""Real faults, and the alerts that a real Prometheus begins to raise: what promtool judges on made-up series, once in earnest."""

import re
import unittest

from servers import Site, until


class Faults(unittest.TestCase):
    def setUp(self):
        self.site = self.enterContext(Site())
        self.site.setup_demo()
        self.publish(100)

    def publish(self, count):
        self.site.command("publish", "--workspace", "demo", "--count", str(count))

    def raised(self):
        """Alerts whose expression is true now; most fire only after minutes of that."""
        groups = self.site.prometheus("/api/v1/rules")["groups"]
        return {rule["name"] for group in groups for rule in group["rules"] if rule["state"] != "inactive"}

    def assert_raises(self, *alerts):
        until(f"{alerts}", lambda: self.raised().issuperset(alerts))
        for alert in self.site.prometheus("/api/v1/alerts")["alerts"]:
            for said in alert["annotations"].values():
                self.assertNotRegex(said, r"error expanding|<no value>|\bof \.", alert["labels"]["alertname"])

    def assert_is_over(self, *alerts):
        until(f"the end of {alerts}", lambda: not self.raised().intersection(alerts))

    def test_each_fault_raises_its_alert_until_it_is_over(self):
        with self.subTest("Redis is full"):
            used = int(re.search(r"^used_memory:(\d+)", self.site.redis("info", "memory"), re.M)[1])
            self.site.redis("config", "set", "maxmemory", str(used))
            self.assert_raises("RecaderoStoreFull")
            self.site.redis("config", "set", "maxmemory", "512mb")
            self.assert_is_over("RecaderoStoreFull")
        with self.subTest("nobody runs, and events wait"):
            self.site.stop("recadero")
            self.publish(10)
            self.assert_raises("RecaderoMetricsMissing", "RecaderoProcessNotScraped", "RecaderoNoActiveConsumer")
            self.site.start_recadero()
            self.assert_is_over("RecaderoMetricsMissing", "RecaderoProcessNotScraped", "RecaderoNoActiveConsumer")
        with self.subTest("messages that can never be delivered"):
            self.publish_wrong()
            self.assert_raises("RecaderoEventsRejected")
        with self.subTest("Redis is gone"):
            self.site.stop("redis")
            self.assert_raises("RecaderoStoreUnreachable")
        with self.subTest("RabbitMQ is gone too"):
            self.site.stop("rabbitmq")
            self.assert_raises("RecaderoBrokerUnreachable")

    def publish_wrong(self):
        """One message that is no JSON, as somebody would from RabbitMQ's own console."""
        message = {"properties": {"headers": {"workspace_id": "demo"}}, "routing_key": "message.sent"}
        message |= {"payload": "no JSON", "payload_encoding": "string"}
        self.site.manage("POST", "/api/exchanges/%2f/recadero.events/publish", message)


if __name__ == "__main__":
    unittest.main()
