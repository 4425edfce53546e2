// The demo of `recadero dev`: what a newcomer sees.
"use strict";

const assert = require("node:assert");
const { after, before, describe, it } = require("node:test");

const { Person } = require("./rig/browser");
const { Service } = require("./rig/service");

module.exports = (shared) => describe("the demo", { concurrency: false }, () => {
    let service;
    before(async () => { service = await Service.dev(); });
    after(() => service?.end());

    it("opens on its workspace without a token", async () => {
        const person = await Person.at(shared.browser, service);
        await person.open("/console");
        assert.equal(new URL(person.page.url()).pathname, "/console/workspaces/demo");
        await person.look("demo-webhooks");
        await person.leave();
    });

    it("breaks a receiver, writes e-mail, and disables the webhook", async () => {
        const person = await Person.at(shared.browser, service);
        const { page } = person;
        await person.open("/console/demo");
        await person.look("demo");
        const fine = page.getByRole("group", { name: "How the receiver fine behaves" });
        await fine.getByRole("button", { name: "failing" }).click();
        await page.getByText("The receiver fine is now failing.").waitFor();
        assert.equal(await fine.getByRole("button", { name: "failing" }).getAttribute("aria-pressed"), "true");
        // It renews itself while it is looked at: the quota fills, and what fails last disables its webhook.
        await page.getByRole("cell").getByText("Disabled").first().waitFor({ timeout: 90_000 });
        const mail = page.locator("summary").filter({ hasText: "disabled" }).first();
        await mail.click();
        await page.getByText("X-").or(page.locator("details[open] pre")).first().waitFor();
        await person.look("demo-mail");
        await person.open("/console/trouble");
        await page.getByRole("table").first().waitFor();
        await person.look("platform-trouble");
        await person.leave();
    });
});
