"""Receives webhooks, with nothing but Python's standard library.

    WEBHOOK_SECRET=whsec_... PORT=3000 python receiver.py

WEBHOOK_SCHEME=body checks X-Webhook-Signature in place of webhook-signature.
"""

import base64
import hmac
import os
import queue
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["WEBHOOK_SECRET"]
SCHEME = os.environ.get("WEBHOOK_SCHEME", "standard")
TOLERANCE_SECONDS = 5 * 60
BODY_BYTES_MAX = 16 << 20


def verify_standard(secret, headers, body):
    """webhook-signature covers the id and the time of sending too, so that nobody can send an old request again."""
    event, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{event}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, signed, "sha256"))
    # For a day after the secret was rotated there are two, the old one's and the new one's.
    signatures = [one[3:] for one in headers.get("webhook-signature", "").split() if one.startswith("v1,")]
    return any([hmac.compare_digest(expected, one.encode()) for one in signatures])


def verify_body(secret, headers, body):
    """X-Webhook-Signature covers the body alone; the key is the whole secret, as it is written."""
    expected = base64.b64encode(hmac.digest(secret.encode(), body, "sha256"))
    return hmac.compare_digest(expected, headers.get("X-Webhook-Signature", "").encode())


verify = verify_body if SCHEME == "body" else verify_standard

# Ids that were taken. In production: a unique column, written in the transaction that stores the event.
seen = set()
work = queue.Queue()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > BODY_BYTES_MAX:
            return self.answer(413)
        # The bytes as they came: JSON that is parsed and written again has another signature.
        body = self.rfile.read(length)
        if not verify(SECRET, self.headers, body):
            return self.answer(401)
        event = self.headers["webhook-id"]
        if event not in seen:
            seen.add(event)
            work.put((event, body))
        # At once, and for a repeat as well: it is here.
        self.answer(200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def handle():
    """The work itself, after the answer."""
    while True:
        event, body = work.get()
        print("handled", event, len(body), flush=True)


threading.Thread(target=handle, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Receiver).serve_forever()
