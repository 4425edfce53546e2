"""Publishes events over AMQP, with pika.

    AMQP_URL=amqp://guest:guest@127.0.0.1:5672/%2f WORKSPACE=acme python publisher.py
"""

import json
import os
import secrets

import pika

WORKSPACE = os.environ.get("WORKSPACE", "acme")


def publish(channel, event_type, event_id, event):
    """Returns when RabbitMQ has the event on disk. After an error, publish it again with the same id: what arrives twice
    is delivered once."""
    channel.basic_publish(
        exchange="recadero.events",
        routing_key=event_type,
        body=json.dumps(event).encode(),
        properties=pika.BasicProperties(
            delivery_mode=pika.DeliveryMode.Persistent,
            content_type="application/json",
            message_id=event_id,
            # Optional: who looks at a trace finds the delivery in it.
            headers={"workspace_id": WORKSPACE, "traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"},
        ),
        # An error, in place of silence, when no queue is bound to the exchange.
        mandatory=True,
    )


connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
# From here on basic_publish waits for the confirm, and raises NackError or UnroutableError.
channel.confirm_delivery()
for number in range(1, 4):
    # One contact, one order: events of an endpoint are delivered in the order in which they are published.
    event = {"contact": {"id": 1}, "message": {"messageId": number, "message": {"type": "text", "text": "¡Hola!"}}}
    publish(channel, "message.sent", f"python-{number}", event)
    print("confirmed", f"python-{number}", flush=True)
connection.close()
