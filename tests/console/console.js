// The console, used by people in a real browser. tests/console/run runs it.
//
// The parts share a browser and run side by side, since most of what they do is waiting for time to pass. Rejected:
// Playwright's own test runner, which is a package more, and brings a browser.
"use strict";

const { after, before, describe } = require("node:test");

const { launch } = require("./rig/browser");

const shared = {};

describe("the console", { concurrency: 6 }, () => {
    before(async () => { shared.browser = await launch(); });
    after(() => shared.browser?.close());
    for (const part of ["demo", "platform", "webhooks", "workspace", "looks", "scriptless"]) require(`./${part}`)(shared);
});
