// The same pages in Spanish, in the dark, on a phone, for who may only read, and below the plan.
"use strict";

const assert = require("node:assert");
const { after, before, describe, it } = require("node:test");

const { Person } = require("./rig/browser");
const { until } = require("./rig/process");
const { Receiver } = require("./rig/receiver");
const { Service } = require("./rig/service");

const LONG = "https://hooks.example.com/a/very/long/path/that/nobody/would/like/to/see/but/somebody/has/and-it-does-not-break";

module.exports = (shared) => describe("the pages", { concurrency: false }, () => {
    let service, receiver, place;

    before(async () => {
        service = await Service.dev();
        receiver = await Receiver.start();
        const path = await service.workspace("acme", { name: "Acme" });
        const { id } = await service.api("POST", `${path}/endpoints`, { url: receiver.url, events: ["*"], description: "Our CRM", headers: { "x-api-key": "a-secret" } });
        const { id: other } = await service.api("POST", `${path}/endpoints`, { url: LONG, events: ["message.sent", "contact.created"] });
        await service.api("POST", `${path}/endpoints/${other}/disable`);
        for (const event_id of ["one", "two", "three"]) await service.publish("acme", { event_type: "message.received", event_id });
        await until("them to be delivered", () => receiver.requests.length === 3);
        await service.workspace("small", { plan: "basic" });
        place = `/console/workspaces/acme/endpoints/${id}`;
        service.disabled = `/console/workspaces/acme/endpoints/${other}`;
    });
    after(async () => {
        await receiver?.end();
        await service?.end();
    });

    /** Looks at all pages of a workspace. */
    async function walk(name, options) {
        const person = await Person.at(shared.browser, service, options);
        await person.open(await service.door("acme"));
        const pages = [
            ["webhooks", "/console/workspaces/acme"], ["add", "/console/workspaces/acme/endpoints/new"], ["endpoint", place],
            ["edit", `${place}/edit`], ["disabled", service.disabled], ["event", `${place}/events/one`], ["dropped", `${place}/dropped`],
        ];
        for (const [which, path] of pages) {
            assert.equal((await person.open(path)).status(), 200, path);
            await person.look(`${name}-${which}`);
        }
        assert.equal((await person.open(`${place}/events/none`)).status(), 404);
        await person.look(`${name}-nothing`);
        return person;
    }

    it("speak the browser's language, and the one that was chosen", async () => {
        const person = await walk("spanish", { locale: "es-MX" });
        const { page } = person;
        await person.open("/console/workspaces/acme");
        assert.equal(await page.locator("html").getAttribute("lang"), "es");
        await page.getByRole("link", { name: "Añadir Webhook" }).waitFor();
        await page.getByText("Nuevo Mensaje Saliente").first().waitFor();
        await page.getByRole("link", { name: "Añadir Webhook" }).click();
        await page.getByLabel("URL del endpoint").fill("https://user:secret@hooks.example.com/");
        await page.locator("#url-told").getByText("no puede llevar usuario ni contraseña").waitFor();
        await page.getByRole("button", { name: "Guardar" }).click();
        await page.locator("input[aria-invalid=true]").waitFor();
        await page.locator("#url-told").getByText("no puede llevar usuario ni contraseña").waitFor();
        await person.look("spanish-refused");
        await person.open(`${place}/events/none`);
        await page.getByRole("alert").getByText("No se sabe nada de ese evento en este endpoint.").waitFor();
        await person.open("/console/workspaces/acme");
        await page.getByRole("button", { name: "English" }).click();
        await page.getByRole("link", { name: "Add Webhook" }).waitFor();
        assert.equal(new URL(page.url()).pathname, "/console/workspaces/acme");
        await page.reload();
        assert.equal(await page.locator("html").getAttribute("lang"), "en", "it is remembered");
        await person.leave();
    });

    it("are dark where the reader likes them dark", async () => {
        await (await walk("dark", { colorScheme: "dark" })).leave();
    });

    it("fit on a phone", async () => {
        await (await walk("phone", { viewport: { width: 360, height: 740 } })).leave();
        const admin = await Person.at(shared.browser, service, { viewport: { width: 360, height: 740 } });
        for (const which of ["demo", "trouble", "rejected", "workspaces"]) {
            await admin.open(`/console/${which}`);
            await admin.look(`phone-${which}`);
        }
        await admin.leave();
    });

    it("are usable by keyboard alone", async () => {
        const person = await Person.at(shared.browser, service);
        await person.open(await service.door("acme"));
        await person.page.keyboard.press("Tab");
        await person.page.keyboard.press("Enter");
        assert.equal(await person.page.evaluate(() => document.activeElement.id), "content", "the first link skips to the content");
        await person.page.keyboard.press("Tab");
        const outline = await person.page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
        assert.notEqual(outline, "none", "the focus is seen");
        await person.leave();
    });

    it("show no buttons to who may only read, and take nothing from them", async () => {
        const person = await Person.at(shared.browser, service);
        const { page } = person;
        await person.open(await service.door("acme", true));
        for (const path of ["/console/workspaces/acme", place, service.disabled, `${place}/events/one`, `${place}/dropped`]) {
            await person.open(path);
            const buttons = await page.getByRole("button").allTextContents();
            assert.deepEqual(buttons.map((text) => text.trim()), ["Español", "Sign out"], path);
            assert.equal(await page.locator("main form[method=post]").count(), 0, path);
        }
        await person.open(place);
        await person.look("read-only");
        const csrf = await page.locator("input[name=csrf]").first().inputValue();
        const answer = await page.request.post(`${service.url}${place}/disable`, { form: { csrf } });
        assert.equal(answer.status(), 403);
        await person.leave();
    });

    it("take no form of another session, and show no other workspace", async () => {
        const person = await Person.at(shared.browser, service);
        await person.open(await service.door("acme"));
        for (const csrf of ["", "AAAA"]) {
            const answer = await person.page.request.post(`${service.url}${place}/disable`, { form: { csrf } });
            assert.equal(answer.status(), 403, csrf);
        }
        for (const path of ["/console/workspaces/demo", "/console/workspaces", "/console/trouble", "/console/rejected"]) {
            assert.equal((await person.open(path)).status(), 403, path);
        }
        await person.leave();
    });

    it("explain the plan where it has no webhooks", async () => {
        const person = await Person.at(shared.browser, service);
        await person.open(await service.door("small"));
        await person.page.getByText("Webhooks are not part of this plan").waitFor();
        await person.look("plan");
        await person.leave();
    });
});
