// A scenario measured through the page: progress, the report and its files, a part of it after Stop, and the way to the
// computer that serves the page.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, serve } from "./browser.mjs";

const LONG_MS = 300_000;
const UNDERSTORY = process.env.UNDERSTORY_BIN;

let server, browser, page, folder;
const faults = [];
/** What was sent to the server, and what it answers. */
const sent = [];
let answer = { status: 201, json: {} };

before(async () => {
  server = await serve();
  browser = await launch();
  folder = await mkdtemp(join(tmpdir(), "understory-"));
  page = await browser.newPage();
  page.on("pageerror", (error) => faults.push(String(error)));
  await page.route("**/reports", (route) => {
    const request = route.request();
    sent.push({ method: request.method(), headers: request.headers(), body: request.postDataJSON() });
    return route.fulfill({ ...answer, json: { run_id: sent.at(-1).body.run_id, ...answer.json } });
  });
  await page.goto(`${server.url}#bench`);
});

after(async () => {
  await browser?.close();
  server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const button = (name) => page.getByRole("button", { name, exact: true });
const ready = () => button("Run").and(page.locator(":enabled")).waitFor({ timeout: LONG_MS });
const checks = () => page.getByRole("list", { name: "Before you measure" });

async function save(name) {
  const [download] = await Promise.all([page.waitForEvent("download"), button(`Save ${name}`).click()]);
  const path = join(folder, download.suggestedFilename());
  await download.saveAs(path);
  return { path, text: await readFile(path, "utf8") };
}

const report = async () => JSON.parse((await save("report.json")).text);
const flags = (report) => report.flags.map((flag) => flag.kind);

async function run(runs) {
  await ready();
  await page.getByLabel("Runs of each case", { exact: true }).fill(String(runs));
  await button("Run").click();
}

test("what is wrong before a run is said", { timeout: LONG_MS }, async () => {
  await ready();
  await checks().getByText("tales is loaded, with tales-draft as its draft").waitFor();
  await checks().getByText("A CPU imitates the GPU here", { exact: false }).waitFor();
  await checks().getByText("not cross-origin isolated", { exact: false }).waitFor();
  await checks().getByText("A release build").waitFor();
  await run(0);
  await page.getByRole("alert").getByText("expected a whole number from 1 to 100", { exact: false }).waitFor();
  await page.getByLabel("Runs of each case", { exact: true }).fill("2");
  await page.getByLabel("Scenario", { exact: true }).selectOption("single-request");
  await page.getByText("Its cold starts need fresh processes", { exact: false }).waitFor();
  await page.getByLabel("Scenario", { exact: true }).selectOption("quick");
});

test("quick gives a report that says what ran where", { timeout: LONG_MS }, async () => {
  await page.getByLabel("Name of this device", { exact: true }).fill("a <b>test</b> box");
  await run(2);
  await page.getByText(/^Run \d+ of 18: .*left/).waitFor({ timeout: LONG_MS });
  await ready();
  const made = await report();
  assert.deepEqual(made.cases.map((of) => of.samples.length), [2, 2, 2, 2, 2, 2]);
  assert.deepEqual(made.cases.slice(0, 3).map((of) => of.case.method.name), ["ar", "linear", "auto"]);
  // The second round is the first one backwards.
  const orders = made.cases.map((of) => of.samples.map((sample) => sample.order));
  orders.forEach(([first, second]) => assert.equal(first + second, 11));
  // The texts of a prompt are the same by every method, and none of it was in the KV cache.
  for (const prompt of [0, 3]) {
    const samples = made.cases.slice(prompt, prompt + 3).flatMap((of) => of.samples);
    assert.equal(new Set(samples.map((sample) => sample.output_hash)).size, 1);
    assert.ok(samples.every((sample) => sample.reused_tokens === 0 && sample.hidden === false && sample.peak_gpu_bytes > 0));
  }
  assert.deepEqual([made.runtime.kind, made.runtime.backend, made.runtime.worker, made.runtime.visible], ["browser", "webgpu", true, true]);
  assert.equal(made.runtime.isolated, false);
  assert.ok(made.runtime.browser.name && made.runtime.browser.version && made.runtime.timer_resolution_ms > 0);
  assert.equal(made.device.label, "a <b>test</b> box");
  assert.ok(made.device.adapter.software && flags(made).includes("software_adapter") && !flags(made).includes("partial"));
  // How the models came here, and the processor's pressure where the browser tells it.
  const loading = new Map(made.loading.map(({ name, ms }) => [name, ms]));
  assert.ok(["instantiate", "device", "upload", "draft upload"].every((phase) => loading.get(phase) > 0), JSON.stringify(made.loading));
  assert.ok([null, "nominal", "fair", "serious", "critical"].includes(made.device.pressure));
  assert.match(made.model.target.hash, /^[0-9a-f]{64}$/);
  assert.ok(made.model.target.weights_bytes > 0 && made.speculation.lossless === "verified");
  assert.equal(sent.length, 0, "a report was sent without a code");
});

test("the report is shown, without scripts, as high as it is", { timeout: 60_000 }, async () => {
  const frame = page.frameLocator("iframe.document");
  await frame.getByRole("heading", { level: 1 }).waitFor();
  assert.equal(await frame.locator("main b").count(), 0, "the device's name became markup");
  assert.equal(await page.locator("iframe.document").getAttribute("sandbox"), "allow-same-origin");
  const height = () => page.evaluate(() => {
    const frame = document.querySelector("iframe.document");
    return [frame.clientHeight, frame.contentDocument.documentElement.offsetHeight];
  });
  await page.waitForFunction(() => {
    const frame = document.querySelector("iframe.document");
    return frame.clientHeight >= frame.contentDocument.documentElement.offsetHeight;
  });
  const [before] = await height();
  await frame.locator("summary").first().click();
  await page.waitForFunction((before) => document.querySelector("iframe.document").clientHeight > before, before);
  // The page's own style policy must not take the document's style away.
  const padding = await frame.locator("main").evaluate((main) => getComputedStyle(main).paddingTop);
  assert.equal(padding, "24px");
});

test("all files are handed out, and the command line reads them", { timeout: 60_000 }, async () => {
  const html = await save("report.html");
  assert.match(html.text, /default-src 'none'/);
  assert.match((await save("samples.csv")).text, /^[a-z_]+,/);
  assert.match((await save("report.md")).text, /^# /);
  const { path } = await save("report.json");
  if (UNDERSTORY) {
    const committed = new URL("../../bench/runs/2026-11-22-lavapipe-2core-quick/report.json", import.meta.url).pathname;
    const said = execFileSync(UNDERSTORY, ["compare", committed, path], { encoding: "utf8" });
    assert.match(said, /test/);
  }
});

test("a stopped run keeps what was measured", { timeout: LONG_MS }, async () => {
  await run(50);
  await page.getByText(/^Run 10 of /).waitFor({ timeout: LONG_MS });
  await button("Stop").click();
  await ready();
  await page.getByText("It holds a part of what was planned", { exact: false }).waitFor();
  const made = await report();
  assert.ok(flags(made).includes("partial"));
  assert.match(made.flags.find((flag) => flag.kind === "partial").detail, /^\d+ of 300 planned runs were measured: stopped by hand/);
  assert.ok(made.cases.length >= 3 && made.cases.every((of) => of.samples.length > 0));
});

test("a hidden tab is in the report", { timeout: LONG_MS }, async () => {
  await run(1);
  await page.getByText(/^Run 8 of /).waitFor({ timeout: LONG_MS });
  await page.evaluate(() => {
    window.hide = (hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
    };
    // Until the next run begins.
    const run = () => document.querySelector(".progress label")?.textContent.match(/^Run \d+/)?.[0];
    const first = run();
    new MutationObserver((_, observer) => {
      if (run() === first) return;
      observer.disconnect();
      window.hide(false);
    }).observe(document.querySelector("main"), { subtree: true, childList: true, characterData: true });
    window.hide(true);
  });
  await ready();
  const made = await report();
  assert.ok(flags(made).includes("hidden") && made.runtime.visible === false);
  const hidden = made.cases.flatMap((of) => of.samples).filter((sample) => sample.hidden);
  // Marking all of them, or none, fails this.
  assert.ok(hidden.length >= 1 && hidden.length <= 3, `${hidden.length} runs are marked`);
});

test("with a code in the address the report goes to the serving computer", { timeout: LONG_MS }, async () => {
  answer = { status: 429, json: { error: "too many reports; wait a minute" } };
  await page.evaluate(() => (location.hash = "#bench?pair=12-34"));
  await page.waitForFunction(() => location.hash === "#bench");
  await page.getByRole("alert").getByText("It was refused: too many reports; wait a minute").waitFor({ timeout: LONG_MS });
  answer = { status: 201, json: {} };
  await button("Send again").click();
  await page.getByText("The report arrived at", { exact: false }).waitFor();
  assert.deepEqual(sent.map(({ method, headers }) => [method, headers.authorization]), Array(2).fill(["POST", "Bearer 12-34"]));
  assert.deepEqual(sent[1].body, await report());
  // The code outlives a reload, and stays out of the address.
  await page.reload();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("understory.pair")), "12-34");
  assert.equal(await page.getByLabel("Name of this device", { exact: true }).inputValue(), "a <b>test</b> box");
  assert.ok(!page.url().includes("12-34"));
  assert.deepEqual(faults, []);
});
