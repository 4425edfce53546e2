// The platform's people: all workspaces, the worst endpoints, what was rejected.
"use strict";

const assert = require("node:assert");
const { after, before, describe, it } = require("node:test");

const { Person } = require("./rig/browser");
const { until } = require("./rig/process");
const { Service } = require("./rig/service");

const WORKSPACES = 60;

module.exports = (shared) => describe("the platform's people", { concurrency: false }, () => {
    let service, person, page;

    before(async () => {
        service = await Service.serve();
        for (let number = 0; number < WORKSPACES; number += 1) {
            const plan = number % 7 === 3 ? "basic" : "advanced";
            const name = `w-${String(number).padStart(3, "0")}`;
            await service.workspace(name, { plan, name: `Customer <b>${number}</b>`, notify: ["ops@example.com"] });
        }
        person = await Person.at(shared.browser, service);
        page = person.page;
    });
    after(async () => {
        await person?.leave();
        await service?.end();
    });

    it("sign in with an admin token, which is in no URL and no cookie", async () => {
        await person.open("/console/workspaces");
        await person.look("sign-in");
        await page.getByLabel("Token").fill("a-wrong-one");
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.getByRole("alert").waitFor();
        await person.look("sign-in-refused");
        await page.getByLabel("Token").fill(service.token);
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.getByRole("heading", { name: "Workspaces" }).waitFor();
        assert.equal(new URL(page.url()).pathname, "/console/workspaces");
        const cookies = await person.context.cookies();
        for (const { name, value, httpOnly, sameSite } of cookies) {
            assert.ok(!value.includes(service.token), name);
            assert.ok(httpOnly && ["Lax", "Strict"].includes(sameSite), `${name}: ${httpOnly} ${sameSite}`);
        }
    });

    it("page through all workspaces and search them", async () => {
        await person.open("/console/workspaces");
        assert.equal(await page.getByRole("row").count(), 51);
        await person.look("platform-workspaces");
        await page.getByRole("link", { name: "Next" }).click();
        await page.getByRole("link", { name: "w-059" }).waitFor();
        assert.equal(await page.getByRole("row").count(), 11);
        await page.getByRole("searchbox").fill("w-03");
        await page.getByRole("button", { name: "Search" }).click();
        await page.getByRole("link", { name: "w-031" }).waitFor();
        assert.equal(await page.getByRole("row").count(), 11);
    });

    it("see why events were rejected, and publish one or all again after a fix", async () => {
        await person.open("/console/rejected");
        await page.getByText("None.").waitFor();
        await person.look("platform-rejected-none");
        await service.amqp(async (channel) => {
            const options = { persistent: true, messageId: "e-1", headers: { workspace_id: "w-000" } };
            channel.publish("recadero.events", "message.sent", Buffer.from('{"text": "<script>alert(1)</script>'), options);
            channel.publish("recadero.events", "not.known", Buffer.from('{"event_id": "e-2"}'), { ...options, messageId: "e-2" });
            await channel.waitForConfirms();
        });
        await until("both to be rejected", async () => (await service.api("GET", "/v1/rejected")).data.length === 2);
        await page.reload();
        await page.getByText("unknown_event_type").waitFor();
        await page.getByText("bytes").first().click();
        await person.look("platform-rejected");
        await page.getByRole("row", { name: "not_json" }).getByRole("button", { name: "Publish again" }).click();
        // It is as wrong as before, and comes back.
        await page.getByText("Published again: 1.").waitFor();
        await page.getByRole("button", { name: "Publish all again" }).click();
        await page.getByText("Published again: ").waitFor();
    });

    it("see that nothing is in trouble", async () => {
        await person.open("/console/trouble");
        await person.look("platform-trouble-none");
    });

    it("are told where there is nothing", async () => {
        await person.open("/console/nothing");
        await page.getByRole("alert").waitFor();
        await person.look("nothing-here");
    });

    it("sign out", async () => {
        await person.open("/console/workspaces");
        await page.getByRole("button", { name: "Sign out" }).click();
        await page.getByLabel("Token").waitFor();
        await person.open("/console/workspaces");
        await page.getByLabel("Token").waitFor();
    });
});
