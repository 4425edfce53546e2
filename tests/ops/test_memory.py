"""What a waiting event costs in Redis: measured, printed, and bounded (docs/operating.md sends its readers here)."""

import re
import unittest

from project import TOP
from servers import Site, until

EVENTS = 4_500
# Of what an event takes beside its own bytes: entry, index, count, and the digest by which a repeat is known.
BESIDE_ITS_BYTES_MAX = 500


class Memory(unittest.TestCase):
    def test_a_waiting_event_takes_its_bytes_and_little_more(self):
        site = self.enterContext(Site(watched=False))
        site.api("PUT", "/v1/workspaces/acme", {"plan": "advanced"})
        endpoints = "/v1/workspaces/acme/endpoints"
        endpoint = site.api("POST", endpoints, {"url": "http://127.0.0.1:1/", "events": ["*"]})["id"]
        site.api("POST", f"{endpoints}/{endpoint}/disable")

        def waiting():
            return site.api("GET", f"{endpoints}/{endpoint}")["backlog"]["events"]

        def fill(count):
            """Publishes as many more and waits until they wait; Redis's memory then."""
            wanted = waiting() + count
            site.command("publish", "--workspace", "acme", "--count", str(count))
            until("the events in the lane", lambda: waiting() == wanted)
            return int(re.search(r"^used_memory:(\d+)", site.redis("info", "memory"), re.M)[1])

        # Twice, so that what is there once (scripts, buffers) is no part of the difference.
        before, after = fill(EVENTS), fill(EVENTS)
        each = (after - before) / EVENTS
        samples = [len(path.read_bytes()) for path in (TOP / "events").glob("*.json")]
        size = sum(samples) / len(samples)
        print(f"\na waiting event of {size:.0f} bytes takes {each:.0f} bytes of Redis's memory", flush=True)
        self.assertGreater(each, size)
        self.assertLess(each, size + BESIDE_ITS_BYTES_MAX)


if __name__ == "__main__":
    unittest.main()
