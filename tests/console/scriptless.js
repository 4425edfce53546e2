// Everything that changes something, in a browser that runs no script.
"use strict";

const assert = require("node:assert");
const { after, before, describe, it } = require("node:test");

const { Person } = require("./rig/browser");
const { until } = require("./rig/process");
const { Receiver } = require("./rig/receiver");
const { Service } = require("./rig/service");

module.exports = (shared) => describe("without JavaScript", { concurrency: false }, () => {
    let service, receiver, person, page, place;
    const done = (text) => page.getByRole("status").filter({ hasText: text }).waitFor();

    before(async () => {
        service = await Service.dev();
        receiver = await Receiver.start();
        await service.workspace("acme");
        person = await Person.at(shared.browser, service, { javaScriptEnabled: false });
        page = person.page;
    });
    after(async () => {
        await person?.leave();
        await receiver?.end();
        await service?.end();
    });

    it("a webhook is added; what is wrong is said in its form", async () => {
        await person.open(await service.door("acme"));
        await page.getByRole("link", { name: "Connect" }).click();
        await page.getByLabel("Endpoint URL").fill("https://10.0.0.1/");
        await page.getByLabel("Description").fill("kept");
        await page.getByRole("button", { name: "Save" }).click();
        await page.locator(".field-error").first().waitFor();
        assert.equal(await page.getByLabel("Description").inputValue(), "kept");
        await person.look("scriptless-refused");
        await page.getByLabel("Endpoint URL").fill(receiver.url);
        await page.getByRole("checkbox", { name: "New Outgoing Message" }).check();
        await page.getByRole("button", { name: "Save" }).click();
        await page.locator("#secret").waitFor();
        assert.equal(await page.getByRole("button", { name: "Copy" }).count(), 0, "nothing that only a script can do");
        await person.look("scriptless-secret");
        await page.getByRole("link", { name: "To the webhook" }).click();
        place = new URL(page.url()).pathname;
    });

    it("it is tested, rotated, edited, disabled and enabled", async () => {
        await page.getByRole("button", { name: "Send test event" }).click();
        await done("A test event was delivered");
        await page.getByRole("button", { name: "Rotate secret" }).click();
        await page.locator("#secret").waitFor();
        await person.open(`${place}/edit`);
        await page.getByLabel("Description").fill("edited");
        await page.getByRole("button", { name: "Save" }).click();
        await done("saved");
        await person.open(place);
        await page.getByRole("button", { name: "Disable" }).click();
        await done("is disabled");
        await person.look("scriptless-disabled");
        await page.getByLabel("Discard what waits").check();
        await page.getByRole("button", { name: "Enable" }).click();
        await done("is enabled");
    });

    it("an event is resent, and a dropped one recovered", async () => {
        await service.publish("acme", { event_type: "message.sent", event_id: "one" });
        await until("it to be delivered", () => receiver.taken().includes("one"));
        await person.open(`${place}/events/one`);
        await page.getByRole("button", { name: "Resend" }).click();
        await done("on its way again");
        receiver.status = 500;
        await service.publish("acme", { event_type: "message.sent", event_id: "two" });
        const endpoint = place.split("/").at(-1);
        const dropped = async () => (await service.api("GET", `/v1/workspaces/acme/endpoints/${endpoint}/dropped`)).data;
        await until("it to be dropped", async () => (await dropped()).some(({ event_id }) => event_id === "two"));
        receiver.status = 200;
        await person.open(`${place}/dropped`);
        await page.getByLabel("Dropped since").fill("2020-01-01T00:00:01");
        await page.getByRole("button", { name: "Recover" }).click();
        await done("on their way again");
        await until("it to be delivered", () => receiver.taken().includes("two"));
    });

    it("the log is filtered, the language switched", async () => {
        await person.open(`${place}?still=1`);
        await page.getByLabel("Result").selectOption({ label: "failed" });
        await page.getByRole("button", { name: "Filter" }).click();
        await page.locator("#log-rows").getByText("it answered 500").first().waitFor();
        await page.getByRole("button", { name: "Español" }).click();
        await page.locator("html[lang=es]").waitFor();
        await page.getByRole("button", { name: "English" }).click();
        await page.locator("html[lang=en]").waitFor();
    });

    it("it is deleted, and somebody signs out", async () => {
        await person.open(`${place}/delete`);
        await page.getByRole("button", { name: "Delete" }).click();
        await done("deleted");
        await page.getByRole("button", { name: "Sign out" }).click();
        await page.getByLabel("Token").waitFor();
    });

    it("a receiver of the demo is broken", async () => {
        await person.open("/console/demo");
        const slow = page.getByRole("group", { name: "How the receiver slow behaves" });
        await slow.getByRole("button", { name: "hanging" }).click();
        await done("The receiver slow is now hanging.");
        assert.equal(await slow.getByRole("button", { name: "hanging" }).getAttribute("aria-pressed"), "true");
        await person.look("scriptless-demo");
    });
});
