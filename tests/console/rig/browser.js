// Debian's Chromium, and what is held to be true of every page it is shown.
"use strict";

const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");

const { chromium } = require("playwright-core");

const { TOP } = require("./process");

const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const PICTURES = path.join(TOP, "target/console");
/** The most that a page may be, in bytes of HTML. */
const PAGE_BYTES_MAX = 200_000;

/** A browser with nothing in it: no profile, no cookies, nobody it talks to by itself. */
function launch() {
    return chromium.launch({
        executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        args: [
            "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync",
        ],
    });
}

/** A person at the browser, with cookies of their own. */
class Person {
    /** `options` are Playwright's for a context: `locale`, `colorScheme`, `viewport`, `javaScriptEnabled`. */
    static async at(browser, service, options = {}) {
        const person = new Person();
        person.service = service;
        person.scripted = options.javaScriptEnabled !== false;
        person.context = await browser.newContext({
            locale: "en-GB", timezoneId: "UTC", viewport: { width: 1200, height: 800 }, ...options,
        });
        person.context.setDefaultTimeout(60_000);
        person.page = await person.context.newPage();
        person.complaints = [];
        person.page.on("pageerror", (error) => person.complaints.push(`script: ${error}`));
        // A policy that was violated is said here too. That an answer was an error is the test's to know.
        person.page.on("console", (message) => {
            const known = message.text().startsWith("Failed to load resource: the server responded");
            if (message.type() === "error" && !known) person.complaints.push(message.text());
        });
        person.page.on("request", (request) => {
            if (!request.url().startsWith(`${service.url}/`)) person.complaints.push(`asked for ${request.url()}`);
        });
        person.page.on("response", async (response) => {
            if (response.request().resourceType() !== "document" || response.status() >= 300) return;
            const bytes = (await response.body().catch(() => "")).length;
            if (bytes >= PAGE_BYTES_MAX) person.complaints.push(`${response.url()} has ${bytes} bytes`);
        });
        return person;
    }

    /** Goes to a path of the console, or to a whole URL. */
    async open(to) {
        return this.page.goto(new URL(to, this.service.url).href);
    }

    /** Keeps a picture of the page, and holds it to what is true of all pages; `name` is the picture's. */
    async look(name) {
        const { page } = this;
        await this.picture(name);
        assert.deepEqual(this.complaints, [], `${name}: the browser complains`);
        assert.ok(await page.title(), `${name}: a page has a title`);
        if (!this.scripted) return;
        const width = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
        assert.ok(width[0] <= width[1], `${name}: ${width[0]} px wide in a window of ${width[1]} px`);
        await page.evaluate(AXE);
        const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
        const violations = found.violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(" | ")}`);
        assert.deepEqual(violations, [], `${name}: axe has found violations`);
    }

    /**
     * Keeps a picture of the whole page, in a window that is made as high as it. Playwright's `fullPage` is not used: after
     * it Chromium scrolls back when a field loses the focus, so that the next click goes beside what it was meant for,
     * also on a page without scripts.
     */
    async picture(name) {
        const { page } = this;
        const window = page.viewportSize();
        const [height, at] = await page.evaluate(() => [document.documentElement.scrollHeight, scrollY]);
        await page.setViewportSize({ ...window, height: Math.max(window.height, height) });
        await page.screenshot({ path: path.join(PICTURES, `${name}.png`) });
        await page.setViewportSize(window);
        await page.evaluate((y) => scrollTo(0, y), at);
    }

    /** Leaves. */
    async leave() {
        await this.context.close();
    }
}

module.exports = { Person, launch };
