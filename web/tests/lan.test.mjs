// Other devices, each a browser with a profile of its own: they open the page over HTTPS with a pairing code, measure with
// their own engine, and their reports arrive in the collection of the serving computer.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { DIST, launchProfile } from "./browser.mjs";

const LONG_MS = 300_000;
const UNDERSTORY = process.env.UNDERSTORY_BIN;

let folder, db, server, url;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "understory-"));
  db = join(folder, "reports.sqlite");
  server = spawn(UNDERSTORY, ["serve", "--port", "0", "--lan=127.0.0.1", "--lan-port", "0", "--page", DIST, "--db", db]);
  url = await new Promise((found, failed) => {
    createInterface({ input: server.stdout }).on("line", (line) => line.includes("pair=") && found(line.trim()));
    server.on("exit", (status) => failed(new Error(`the server ended with ${status}`)));
  });
});

after(async () => {
  server?.kill();
  await rm(folder, { recursive: true, force: true });
});

const stored = () => JSON.parse(execFileSync(UNDERSTORY, ["reports", "list", "--json", "--db", db], { encoding: "utf8" }));

/** Opens `url` in a profile of its own, measures `quick` once, and waits for what is said of the sent report. */
async function measure(name, url, said) {
  const context = await launchProfile(join(folder, name), { ignoreHTTPSErrors: true });
  try {
    const page = await context.newPage();
    await page.goto(url);
    const run = page.getByRole("button", { name: "Run", exact: true });
    await run.and(page.locator(":enabled")).waitFor({ timeout: LONG_MS });
    assert.ok(await page.evaluate(() => window.isSecureContext), "WebGPU needs a secure context");
    assert.ok(!page.url().includes("pair="), "the code stays out of the address bar");
    await page.getByLabel("Name of this device", { exact: true }).fill(name);
    await page.getByLabel("Runs of each case", { exact: true }).fill("1");
    await run.click();
    await page.getByText(said, { exact: false }).first().waitFor({ timeout: LONG_MS });
  } finally {
    await context.close();
  }
}

test("reports of two devices arrive", { timeout: 2 * LONG_MS }, async () => {
  for (const name of ["a phone", "a laptop"]) await measure(name, url, "The report arrived at");
  const reports = stored();
  assert.deepEqual(reports.map(({ device }) => device), ["a phone", "a laptop"]);
  const [first, second] = reports.map(({ run_id }) => run_id);
  const table = execFileSync(UNDERSTORY, ["reports", "show", first, "--db", db], { encoding: "utf8" });
  assert.match(table, /TPOT/);
  // What came from browsers can be compared on the command line.
  const out = join(folder, "out");
  execFileSync(UNDERSTORY, ["reports", "export", out, "--db", db]);
  const files = [first, second].map((id) => join(out, `${id}.json`));
  assert.match(execFileSync(UNDERSTORY, ["compare", ...files], { encoding: "utf8" }), /a laptop/);
});

test("a wrong code is refused in words, and nothing is kept", { timeout: LONG_MS }, async () => {
  const code = new URL(url).hash.split("pair=")[1];
  const wrong = url.replace(code, code.replace(/./g, (digit) => (digit === "0" ? "1" : "0")));
  await measure("a stranger", wrong, "It was refused: the pairing code is missing or not that of this run");
  assert.equal(stored().length, 2);
});
