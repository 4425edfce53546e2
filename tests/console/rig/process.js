// Processes of the test's own. Each runs under tests/it/rig/guard.sh: it ends, and its directory goes, when this process
// does, whatever ends that.
"use strict";

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");
const { setTimeout: sleep } = require("node:timers/promises");

const TOP = path.resolve(__dirname, "../../..");
const BINARY = process.env.RECADERO_BINARY ?? path.join(TOP, "target/debug/recadero");
const PATIENCE_MS = 60_000;

/** Waits, with a bound, until `condition` answers something true; answers that. */
async function until(what, condition, patienceMs = PATIENCE_MS) {
    const end = Date.now() + patienceMs;
    let last;
    while (Date.now() < end) {
        try {
            const found = await condition();
            if (found) return found;
        } catch (error) {
            last = error;
        }
        await sleep(50);
    }
    throw new Error(`waited ${patienceMs} ms for ${what}`, { cause: last });
}

/** Ports that nobody listens on, below those that the kernel hands out and apart from those of the other tests. */
async function freePorts(count) {
    const found = [];
    for (let port = 9000 + Math.floor(Math.random() * 2500); found.length < count; port += 1) {
        const free = await new Promise((resolve) => {
            const server = net.createServer().once("error", () => resolve(false));
            server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
        });
        if (free) found.push(port);
    }
    return found;
}

/** What the person at the keyboard has set for a Recadero of theirs is not for the test's. */
function environment(more) {
    const own = Object.entries(process.env).filter(([name]) => !/^(RECADERO|OTEL)_/.test(name));
    return { ...Object.fromEntries(own), ...more };
}

/** A guarded process, and what it has printed. */
class Process {
    constructor(name, command, more = {}) {
        this.name = name;
        this.directory = fs.mkdtempSync(path.join(os.tmpdir(), `recadero-console-${name}-`));
        this.printed = "";
        const words = command.map((word) => String(word).replaceAll("DIR", this.directory));
        const guard = path.join(TOP, "tests/it/rig/guard.sh");
        this.guard = spawn("sh", [guard, this.directory, ...words], { detached: true, env: environment(more) });
        this.guard.stderr.on("data", (text) => { this.printed += text; });
        this.guard.stdout.resume();
        this.ended = new Promise((resolve) => this.guard.once("exit", resolve));
    }

    /** Waits until it has printed something; answers the match. */
    async prints(pattern) {
        try {
            return await until(`${this.name} to print ${pattern}`, () => {
                if (this.guard.exitCode !== null) throw new Error(`${this.name} has ended`);
                return pattern.exec(this.printed);
            });
        } catch (error) {
            error.message += `\n--- ${this.name}\n${this.printed.slice(-3000)}`;
            throw error;
        }
    }

    /** Ends it. */
    async end() {
        this.guard.stdin.end();
        await this.ended;
    }
}

module.exports = { BINARY, Process, TOP, freePorts, until };
