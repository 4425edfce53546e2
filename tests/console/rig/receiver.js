// A customer's receiver: writes down what arrives, and answers as it is told.
"use strict";

const http = require("node:http");

class Receiver {
    /** One that is well. */
    static async start() {
        const receiver = new Receiver();
        receiver.status = 200;
        receiver.answer = "thank you";
        receiver.requests = [];
        receiver.server = http.createServer(async (request, response) => {
            const parts = [];
            for await (const part of request) parts.push(part);
            const body = Buffer.concat(parts).toString();
            receiver.requests.push({ headers: request.headers, body, status: receiver.status });
            response.writeHead(receiver.status, { "content-type": "text/plain" }).end(receiver.answer);
        });
        await new Promise((resolve) => receiver.server.listen(0, "127.0.0.1", resolve));
        receiver.url = `http://127.0.0.1:${receiver.server.address().port}/hook`;
        return receiver;
    }

    /** The ids of the events that it has taken, in order. */
    taken() {
        return this.requests.filter(({ status }) => status === 200).map(({ headers }) => headers["webhook-id"]);
    }

    /** Ends it. */
    async end() {
        this.server.closeAllConnections?.();
        await new Promise((resolve) => this.server.close(resolve));
    }
}

module.exports = { Receiver };
