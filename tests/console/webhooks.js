// A workspace's people on `serve`, with Redis and RabbitMQ, and a webhook of one lane: from the first event to one that
// was disabled and is well again. All that can be done is in workspace.js.
"use strict";

const assert = require("node:assert");
const { after, before, describe, it } = require("node:test");

const { Person } = require("./rig/browser");
const { until } = require("./rig/process");
const { Receiver } = require("./rig/receiver");
const { Service } = require("./rig/service");

const message = (number) => ({ event_type: "message.received", event_id: `m-${number}`, number });

module.exports = (shared) => describe("a workspace's people", { concurrency: false }, () => {
    let service, receiver, person, page;

    before(async () => {
        service = await Service.serve({ RECADERO_RETRY_DELAYS: "1s,1s,1s", RECADERO_QUOTA_LIMIT: "5" });
        receiver = await Receiver.start();
        await service.workspace("acme");
        person = await Person.at(shared.browser, service);
        page = person.page;
    });
    after(async () => {
        await person?.leave();
        await receiver?.end();
        await service?.end();
    });

    it("come in by a code that leaves the URL, and connect a webhook", async () => {
        await person.open(await service.door("acme"));
        assert.equal(new URL(page.url()).pathname + new URL(page.url()).search, "/console/workspaces/acme");
        await person.look("connect");
        await page.getByRole("link", { name: "Connect" }).click();
        // It is told while it is typed.
        await page.getByLabel("Endpoint URL").fill("https://10.0.0.1/");
        await page.locator("#url-told").getByText("may not").waitFor();
        await person.look("add-refused");
        await page.getByLabel("Endpoint URL").fill(receiver.url);
        await page.getByText("This URL can be used.").waitFor();
        await page.getByLabel("New Incoming Message").check();
        await page.getByRole("button", { name: "Save" }).click();
        await page.getByRole("heading", { name: "The webhook is added" }).waitFor();
        assert.match(await page.locator("#secret").textContent(), /^whsec_/);
        await person.look("secret");
        await page.getByRole("link", { name: "To the webhook" }).click();
        await person.look("endpoint-new");
    });

    it("see a delivery arrive by itself", async () => {
        await service.publish("acme", message(1));
        await page.getByRole("cell", { name: "m-1" }).or(page.getByText("m-1")).first().waitFor();
        await person.look("endpoint-live");
    });

    it("see a retry, the quota and the disabling, and why", async () => {
        receiver.status = 500;
        for (let number = 2; number <= 6; number += 1) await service.publish("acme", message(number));
        await page.getByText(/Event 1 of \d, m-\d, is tried for the (2nd|3rd|4th) time at .*; later events wait for it\./).waitFor();
        await page.getByRole("heading", { name: "Disabled since" }).waitFor({ timeout: 60_000 });
        await page.getByText("it answered 500").first().waitFor();
        await person.look("disabled");
    });

    it("enable it, are told that it still fails, and get what waited in order", async () => {
        await page.getByRole("button", { name: "Enable" }).click();
        await page.getByText("But a test event failed just now").waitFor();
        await person.look("enabled-still-fails");
        receiver.status = 200;
        await until("all to have arrived", () => receiver.taken().includes("m-6"));
        const taken = receiver.taken().filter((id) => id.startsWith("m-"));
        assert.deepEqual(taken, [...taken].sort(), "in order");
    });
});
