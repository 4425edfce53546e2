// Receives webhooks, with nothing but Node.
//
//     WEBHOOK_SECRET=whsec_... PORT=3000 node receiver.js
//
// WEBHOOK_SCHEME=body checks X-Webhook-Signature in place of webhook-signature.

const { createHmac, timingSafeEqual } = require("node:crypto");
const { createServer } = require("node:http");

const SECRET = process.env.WEBHOOK_SECRET;
const TOLERANCE_SECONDS = 5 * 60;
const BODY_BYTES_MAX = 16 << 20;

// webhook-signature covers the id and the time of sending too, so that nobody can send an old request again.
function verifyStandard(secret, headers, body) {
  const id = headers["webhook-id"] ?? "";
  const timestamp = headers["webhook-timestamp"] ?? "";
  if (!/^\d+$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
  // For a day after the secret was rotated there are two, the old one's and the new one's.
  const signatures = (headers["webhook-signature"] ?? "").split(" ").filter((one) => one.startsWith("v1,"));
  return signatures.filter((one) => same(one.slice(3), expected)).length > 0;
}

// X-Webhook-Signature covers the body alone; the key is the whole secret, as it is written.
function verifyBody(secret, headers, body) {
  const expected = createHmac("sha256", secret).update(body).digest("base64");
  return same(headers["x-webhook-signature"] ?? "", expected);
}

// In constant time: how much of a guess was right must not show.
function same(given, expected) {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}

const verify = process.env.WEBHOOK_SCHEME === "body" ? verifyBody : verifyStandard;

// Ids that were taken. In production: a unique column, written in the transaction that stores the event.
const seen = new Set();

// The work itself, after the answer.
function handle(id, body) {
  console.log("handled", id, body.length);
}

const server = createServer(async (request, response) => {
  // The bytes as they came: JSON that is parsed and written again has another signature.
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > BODY_BYTES_MAX) return response.writeHead(413, { connection: "close" }).end();
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  if (!verify(SECRET, request.headers, body)) return response.writeHead(401).end();
  const id = request.headers["webhook-id"];
  if (!seen.has(id)) {
    seen.add(id);
    setImmediate(handle, id, body);
  }
  // At once, and for a repeat as well: it is here.
  response.writeHead(200).end();
});
server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
