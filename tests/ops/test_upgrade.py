"""A rolling upgrade as Kubernetes plays it, with processes and under traffic: nothing lost, nothing repeated, order kept.

A new process is ready before an old one is asked to end. RECADERO_OLD_BINARY is the release that is upgraded from; without it
both are the same. How long events took is printed, beside what they took in calm; nothing is asserted about it.
"""

import http.server
import json
import os
import threading
import time
import unittest

import pika

from servers import BINARY, Site, free_port, get, until

OLD_BINARY = os.environ.get("RECADERO_OLD_BINARY", BINARY)
REPLICAS = 2
WORKSPACES = [f"w{number:02}" for number in range(50)]
PER_SECOND = 100
CALM_SECONDS = 4
# Seconds between a pod's leaving its Service and SIGTERM, as `preStopSeconds` of the chart, but shorter.
PRE_STOP_SECONDS = 1
# What a receiver takes to answer, so that attempts are under way when a process is asked to end.
ANSWER_SECONDS = 0.2


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers 200 and writes down what came, and when."""

    protocol_version = "HTTP/1.1"
    arrivals = []

    def do_POST(self):
        self.arrivals.append((self.headers["webhook-id"], time.monotonic()))
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(ANSWER_SECONDS)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Publisher(threading.Thread):
    """Publishes to each workspace in turn, with confirms, until it is told to stop."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url = url
        self.published = {}
        self.stopping = threading.Event()

    def run(self):
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        channel = connection.channel()
        channel.confirm_delivery()
        number = 0
        while not self.stopping.wait(1 / PER_SECOND):
            workspace = WORKSPACES[number % len(WORKSPACES)]
            event = f"{workspace}-{number:06}"
            properties = pika.BasicProperties(message_id=event, delivery_mode=2, headers={"workspace_id": workspace})
            self.published[event] = time.monotonic()
            body = json.dumps({"event_type": "message.sent", "event_id": event})
            channel.basic_publish("recadero.events", "message.sent", body, properties, mandatory=True)
            number += 1
        connection.close()

    def stop(self):
        self.stopping.set()
        self.join()


def p99_ms(published, arrivals, between):
    """Of the events published in a span of time."""
    begin, end = between
    took = sorted(at - published[event] for event, at in arrivals if begin <= published[event] < end)
    return took[len(took) * 99 // 100] * 1000


class Upgrade(unittest.TestCase):
    def setUp(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.site = self.enterContext(Site(watched=False))
        for workspace in WORKSPACES:
            path = f"/v1/workspaces/{workspace}"
            self.site.api("PUT", path, {"plan": "advanced"})
            url = f"http://127.0.0.1:{server.server_port}/"
            self.site.api("POST", f"{path}/endpoints", {"url": url, "events": ["*"]})
        # The Deployment takes the place of the site's own process.
        for number in range(REPLICAS):
            self.start(f"old-{number}", OLD_BINARY)
        self.site.stop("recadero")

    def start(self, name, binary):
        """A pod that has become ready."""
        api, ops = free_port(), free_port()
        addresses = {"RECADERO_HTTP_ADDR": f"127.0.0.1:{api}", "RECADERO_OPS_ADDR": f"127.0.0.1:{ops}"}
        self.site.run(name, binary, "serve", environment=self.site.environment() | addresses)
        until(name, lambda: get(f"http://127.0.0.1:{ops}/readyz"))

    def test_a_rolling_upgrade_under_traffic_loses_and_repeats_nothing(self):
        publisher = Publisher(self.site.environment()["RECADERO_AMQP_URL"])
        publisher.start()
        arrivals = Receiver.arrivals
        # What setUp has ended is made up for before it counts.
        until("a second of deliveries", lambda: len(arrivals) > PER_SECOND)
        times = [time.monotonic()]
        time.sleep(CALM_SECONDS)
        times.append(time.monotonic())
        for number in range(REPLICAS):
            self.start(f"new-{number}", BINARY)
            time.sleep(PRE_STOP_SECONDS)
            self.site.stop(f"old-{number}")
        times.append(time.monotonic())
        publisher.stop()
        until("every event", lambda: len({event for event, _ in arrivals}) == len(publisher.published))

        events = [event for event, _ in arrivals]
        self.assertEqual(sorted(events), sorted(publisher.published), "each once")
        for workspace in WORKSPACES:
            of_it = [event for event in events if event.startswith(workspace)]
            self.assertEqual(of_it, sorted(of_it), "in the order of publishing")
        calm, upgrade = (p99_ms(publisher.published, arrivals, span) for span in zip(times, times[1:]))
        print(f"\np99 from published to delivered: {calm:.0f} ms in calm, {upgrade:.0f} ms in a rolling upgrade", flush=True)


if __name__ == "__main__":
    unittest.main()
