// Publishes events over AMQP, with amqplib.
//
//     AMQP_URL=amqp://guest:guest@127.0.0.1:5672/%2f WORKSPACE=acme node publisher.js

const { randomBytes } = require("node:crypto");
const amqp = require("amqplib");

const WORKSPACE = process.env.WORKSPACE ?? "acme";

// Resolves when RabbitMQ has the event on disk. After an error, publish it again with the same id: what arrives twice is
// delivered once.
function publish(channel, eventType, eventId, event) {
  return new Promise((resolve, reject) => {
    const returned = (message) => message.properties.messageId === eventId && reject(new Error("no queue is bound"));
    channel.once("return", returned);
    channel.publish(
      "recadero.events",
      eventType,
      Buffer.from(JSON.stringify(event)),
      {
        persistent: true,
        // An error, in place of silence, when no queue is bound to the exchange.
        mandatory: true,
        contentType: "application/json",
        messageId: eventId,
        headers: {
          workspace_id: WORKSPACE,
          // Optional: who looks at a trace finds the delivery in it.
          traceparent: `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-01`,
        },
      },
      (error) => {
        channel.off("return", returned);
        error ? reject(error) : resolve();
      },
    );
  });
}

async function main() {
  const connection = await amqp.connect(process.env.AMQP_URL);
  const channel = await connection.createConfirmChannel();
  for (let number = 1; number <= 3; number++) {
    // One contact, one order: events of an endpoint are delivered in the order in which they are published.
    const event = { contact: { id: 1 }, message: { messageId: number, message: { type: "text", text: "¡Hola!" } } };
    await publish(channel, "message.sent", `node-${number}`, event);
    console.log("confirmed", `node-${number}`);
  }
  await connection.close();
}

main();
