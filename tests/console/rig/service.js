// The service under the console: `recadero dev`, or `recadero serve` on a Redis and a RabbitMQ of its own.
"use strict";

const assert = require("node:assert");
const path = require("node:path");

const { BINARY, Process, TOP, freePorts, until } = require("./process");

const ADMIN_TOKEN = "an-admin-token-for-tests-0123456789";

/** A running service: its URL, and its API with an admin token. */
class Service {
    constructor(url, token, processes) {
        Object.assign(this, { url, token, processes });
    }

    /** `recadero dev --fast`: retries after 1, 2 and 3 seconds, a quota of 30 in two minutes, an answer within half a second. */
    static async dev() {
        const dev = new Process("dev", [BINARY, "dev", "--fast", "--http-addr", "127.0.0.1:0"]);
        const [, token, url] = await dev.prints(/see the endpoints: .*Bearer (\S+)' (http:\/\/[^/]+)\//);
        return new Service(url, token, [dev]);
    }

    /** `recadero serve`, as in production. */
    static async serve(more = {}) {
        const [amqp, redis, http, ops] = await freePorts(4);
        const rabbit = new Process("rabbit", ["sh", path.join(TOP, "tests/it/rig/rabbit.sh"), "DIR", amqp, 0]);
        const store = new Process("redis", [
            "redis-server", "--bind", "127.0.0.1", "--port", redis, "--dir", "DIR", "--save", "",
            "--maxmemory-policy", "noeviction", "--appendonly", "no",
        ]);
        await store.prints(/Ready to accept connections/);
        await rabbit.prints(/Server startup complete/);
        const serve = new Process("serve", [BINARY, "serve"], {
            RECADERO_AMQP_URL: `amqp://guest:guest@127.0.0.1:${amqp}/%2f`,
            RECADERO_REDIS_URL: `redis://127.0.0.1:${redis}`,
            RECADERO_HTTP_ADDR: `127.0.0.1:${http}`,
            RECADERO_OPS_ADDR: `127.0.0.1:${ops}`,
            RECADERO_ADMIN_TOKENS: ADMIN_TOKEN,
            RECADERO_TOKEN_KEYS: "a-key-for-workspace-tokens-of-the-tests",
            RECADERO_ALLOW_HTTP: "true",
            RECADERO_ALLOW_NETS: "127.0.0.0/8",
            RECADERO_LOG_FORMAT: "text",
            ...more,
        });
        const service = new Service(`http://127.0.0.1:${http}`, ADMIN_TOKEN, [serve, store, rabbit]);
        service.amqpUrl = `amqp://guest:guest@127.0.0.1:${amqp}/%2f`;
        await until("serve to be ready", async () => (await fetch(`http://127.0.0.1:${ops}/readyz`)).ok);
        return service;
    }

    /** Asks the API; fails unless it answers that it was done. */
    async api(method, path, body) {
        const headers = { authorization: `Bearer ${this.token}`, "content-type": "application/json" };
        const answer = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
        const text = await answer.text();
        assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
        return text && JSON.parse(text);
    }

    /** Sets a workspace; answers its path in the API. */
    async workspace(id, set = {}) {
        await this.api("PUT", `/v1/workspaces/${id}`, { plan: "advanced", name: id, ...set });
        return `/v1/workspaces/${id}`;
    }

    /** The way into a workspace's console: a URL that is good once. */
    async door(id, readOnly = false) {
        const ask = { ttl_seconds: 3600, read_only: readOnly };
        return (await this.api("POST", `/v1/workspaces/${id}/tokens`, ask)).console_url;
    }

    /** Does something by AMQP, on a channel that confirms; only `serve` has it. */
    async amqp(work) {
        const connection = await require("amqplib").connect(this.amqpUrl);
        try {
            await work(await connection.createConfirmChannel());
        } finally {
            await connection.close();
        }
    }

    /** Publishes an event of a contact. */
    async publish(id, body) {
        return (await this.api("POST", `/v1/workspaces/${id}/events`, body)).event_id;
    }

    /** Ends it. */
    async end() {
        for (const process of this.processes) await process.end();
    }
}

module.exports = { ADMIN_TOKEN, Service };
