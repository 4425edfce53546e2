// A workspace's people: from Connect to a disabled webhook and back.
"use strict";

const assert = require("node:assert");
const { after, before, describe, it } = require("node:test");

const { Person } = require("./rig/browser");
const { until } = require("./rig/process");
const { Receiver } = require("./rig/receiver");
const { Service } = require("./rig/service");

const LANES = 8;
const HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202e desrever \u2066\u200f👩‍👩‍👧 ' \" &amp; ]]>";

module.exports = (shared) => describe("a workspace's people, all the way", { concurrency: false }, () => {
    let service, receiver, person, page, path, place, endpoint;
    const message = (event_id, contact, more = {}) =>
        service.publish("acme", { event_type: "message.sent", event_id, contact: { id: contact }, ...more });
    const dropped = async () => (await service.api("GET", `${path}/endpoints/${endpoint}/dropped`)).data.map(({ event_id }) => event_id);
    const done = (text) => page.getByRole("status").filter({ hasText: text }).waitFor();

    before(async () => {
        service = await Service.dev();
        receiver = await Receiver.start();
        path = await service.workspace("acme", { name: "Acme", notify: ["owner@acme.example"] });
        person = await Person.at(shared.browser, service);
        page = person.page;
    });
    after(async () => {
        await person?.leave();
        await receiver?.end();
        await service?.end();
    });

    it("come in by a code that is good once", async () => {
        const door = await service.door("acme");
        await person.open(door);
        assert.equal(new URL(page.url()).pathname, "/console/workspaces/acme", "the code does not stay in the URL");
        await page.getByRole("link", { name: "Connect" }).waitFor();
        await person.look("connect");
        const other = await Person.at(shared.browser, service);
        await other.open(door);
        await other.page.getByRole("alert").waitFor();
        await other.leave();
    });

    it("add a webhook, whose URL is checked as it is typed", async () => {
        await page.getByRole("link", { name: "Connect" }).click();
        const url = page.getByLabel("Endpoint URL");
        await url.pressSequentially("https://10.0.0.1/hook");
        await page.locator("#url-told .field-error").waitFor();
        await person.look("add-webhook-refused");
        await url.fill(receiver.url);
        await page.getByText("This URL can be used.").waitFor();
        await page.getByRole("checkbox", { name: "All events" }).check();
        await page.getByLabel("Description").fill("Our CRM");
        await page.getByText("Advanced").click();
        await page.getByLabel("Lanes").fill(String(LANES));
        await person.look("add-webhook");
        await page.getByRole("button", { name: "Save" }).click();
        const secret = await page.locator("#secret").textContent();
        assert.match(secret, /^whsec_/);
        await person.look("secret");
        await page.getByRole("link", { name: "To the webhook" }).click();
        place = new URL(page.url()).pathname;
        endpoint = place.split("/").at(-1);
        await page.getByText("No attempts yet.").waitFor();
        await person.look("endpoint-new");
    });

    it("see a delivery arrive while they look", async () => {
        await message("first", "ana", { text: "hello" });
        // Nobody has loaded the page again.
        await page.getByRole("rowheader", { name: "first" }).waitFor();
        await page.locator("#log-rows").getByText("delivered").waitFor();
        await person.look("endpoint");
    });

    it("see what was sent and what came back, and resend it", async () => {
        await page.getByRole("rowheader", { name: "first" }).getByRole("link").click();
        await page.getByText("thank you").waitFor();
        await page.getByText("x-webhook-signature", { exact: false }).first().waitFor();
        await person.look("event");
        await page.getByRole("button", { name: "Resend" }).click();
        await done("on its way again");
        const again = await until("the event again", () => receiver.requests.find(({ headers }) => headers["x-webhook-resend"]));
        assert.deepEqual([again.headers["webhook-id"], again.headers["x-webhook-resend"]], ["first", "true"]);
    });

    it("are shown hostile and large bodies harmlessly", async () => {
        await message("hostile", "<b>bea</b>", { text: HOSTILE });
        receiver.answer = HOSTILE;
        await message("large", "carl", { text: "é👩‍👩‍👧<script>".repeat(9_200) });
        await until("both to be delivered", () => receiver.taken().includes("hostile") && receiver.taken().includes("large"));
        page.on("dialog", (dialog) => person.complaints.push(`a dialog: ${dialog.message()}`));
        await person.open(`${place}/events/hostile`);
        await page.getByText("desrever").first().waitFor();
        await person.look("event-hostile");
        await person.open(`${place}/events/large`);
        await page.getByRole("link", { name: "Download it" }).waitFor();
        await person.look("event-large");
        receiver.answer = "thank you";
    });

    it("watch the retries, the quota and the disabling once the receiver breaks", async () => {
        await person.open(place);
        receiver.status = 500;
        // Every lane has a first event that fails, and a second one that waits for it.
        for (const round of [1, 2]) {
            for (let contact = 0; contact < 3 * LANES; contact += 1) await message(`c${contact}-${round}`, `contact-${contact}`);
        }
        await page.getByText(/Lanes that wait for a retry: \d of \d|All \d lanes wait for a retry/).waitFor();
        await page.getByText(/Lane \d: Event 1 of \d+, c\d-1, is (being )?tried for the (2nd|3rd|4th) time.*; later events wait for it\./).first().waitFor();
        await page.getByText(/[1-9]\d* of 30 failed attempts/).waitFor();
        await person.look("endpoint-failing");
        await page.getByText("Disabled since").waitFor({ timeout: 60_000 });
        await page.getByText("it answered 500").first().waitFor();
        await person.look("endpoint-disabled");
    });

    it("enable it while it still fails, which says so, and get what waited in order", async () => {
        await page.getByRole("button", { name: "Enable" }).click();
        await page.getByText("a test event failed just now").waitFor();
        await person.look("enabled-still-failing");
        receiver.status = 200;
        await page.getByText("Nothing waits.").waitFor();
        const taken = receiver.taken().filter((id) => /^c\d+-\d$/.test(id));
        // Some had failed for the last time before the webhook was disabled.
        assert.equal(new Set([...taken, ...await dropped()]).size, 2 * 3 * LANES);
        for (let contact = 0; contact < 3 * LANES; contact += 1) {
            const [first, second] = [1, 2].map((round) => taken.indexOf(`c${contact}-${round}`));
            assert.ok(second > first, `the order of contact ${contact}`);
        }
    });

    it("send a test event", async () => {
        await person.open(place);
        await page.getByLabel("Event type").selectOption({ label: "New Contact" });
        await page.getByRole("button", { name: "Send test event" }).click();
        await done("A test event was delivered");
        assert.equal(receiver.requests.at(-1).headers["x-webhook-event"], "contact.created");
    });

    it("rotate the secret", async () => {
        await page.getByRole("button", { name: "Rotate secret" }).click();
        await page.locator("#secret").waitFor();
        await person.look("secret-rotated");
        await message("signed-twice", "ana");
        const signed = await until("it", () => receiver.requests.find(({ headers }) => headers["webhook-id"] === "signed-twice"));
        assert.equal(signed.headers["webhook-signature"].split(" ").length, 2);
    });

    it("bring back what was dropped", async () => {
        receiver.status = 503;
        await message("dropped-1", "ana");
        await until("it to be dropped", async () => (await dropped()).includes("dropped-1"));
        receiver.status = 200;
        await person.open(`${place}/dropped`);
        await person.look("dropped");
        await page.getByRole("row", { name: "dropped-1" }).getByRole("button", { name: "Resend" }).click();
        await done("on its way again");
        await until("it to be delivered", () => receiver.taken().includes("dropped-1"));
    });

    it("filter the log", async () => {
        await person.open(`${place}?still=1`);
        await page.getByLabel("Result").selectOption({ label: "failed" });
        await page.getByRole("button", { name: "Filter" }).click();
        await page.locator("#log-rows").getByText("it answered 503").first().waitFor();
        assert.equal(await page.locator("#log-rows").getByText("delivered").count(), 0);
        await person.look("log-filtered");
    });

    it("edit it, see it in the table, disable, enable and delete it", async () => {
        await person.open(`${place}/edit`);
        await page.getByLabel("Description").fill("Our <i>new</i> CRM");
        await person.look("edit-webhook");
        await page.getByRole("button", { name: "Save" }).click();
        await done("saved");
        await person.open("/console/workspaces/acme");
        await page.getByText("Our <i>new</i> CRM").waitFor();
        await person.look("webhooks");
        await page.getByRole("button", { name: "Disable" }).click();
        await done("is disabled");
        await page.getByRole("button", { name: "Enable" }).click();
        await done("is enabled");
        await page.getByRole("link", { name: "Delete" }).click();
        await person.look("delete-webhook");
        await page.getByRole("button", { name: "Delete" }).click();
        await done("deleted");
        await page.getByRole("link", { name: "Connect" }).waitFor();
    });
});
