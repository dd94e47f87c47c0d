// The page over the real engine: every view, and that nothing is asked of anyone but its own server.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, serve } from "./browser.mjs";

let server, browser, page;
const requests = [];
const faults = [];

before(async () => {
  server = await serve();
  browser = await launch();
  page = await browser.newPage();
  page.on("request", (request) => requests.push(request.url()));
  page.on("pageerror", (error) => faults.push(String(error)));
  await page.goto(server.url);
});

after(async () => {
  await browser?.close();
  server?.stop();
});

const show = (view) => page.getByRole("navigation").getByRole("link", { name: view, exact: true }).click();
const button = (name) => page.getByRole("button", { name, exact: true });
/** Guesses begin when the device is measured. */
const learned = () => page.getByText("Measuring this device", { exact: false }).waitFor({ state: "hidden", timeout: 240_000 });
const ready = (name) => button(name).and(page.locator(":enabled")).waitFor({ timeout: 240_000 });

async function generate(method) {
  await page.getByLabel("Method", { exact: true }).selectOption(method);
  await button("Generate").click();
  await button("Stop").and(page.locator(":enabled")).waitFor();
  await ready("Generate");
}

test("the bundled pair is loaded and writes, token by token", { timeout: 300_000 }, async () => {
  await ready("Generate");
  await learned();
  await page.getByText("Sampling and length").click();
  await page.getByLabel("new tokens", { exact: true }).fill("24");
  await generate("linear");
  const spans = page.locator(".text > span:not(.prompt)");
  assert.equal(await spans.count(), 24);
  const sources = await spans.evaluateAll((all) => all.map((span) => span.title));
  assert.equal(sources[0], "the target's own token");
  assert.ok(sources.some((source) => source.startsWith("drafted, depth ")), sources.join("; "));
  for (const figure of ["TTFT", "Paint TTFT", "TPOT", "Tokens/s", "Acceptance length"]) {
    const value = await page.locator("dt", { hasText: new RegExp(`^${figure} `) }).locator("+ dd").first().textContent();
    assert.match(value, /^\d/, figure);
  }
});

test("a definition is one click away and closes with Escape", async () => {
  await button("What is “TPOT”?").first().click();
  await page.getByRole("dialog").getByText("Time per output token", { exact: false }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
});

test("a wrong parameter is named before anything runs", async () => {
  await page.getByLabel("k", { exact: true }).fill("64");
  await button("Generate").click();
  assert.match(await page.getByRole("alert").textContent(), /k = 64 .*1 to 63/);
  await page.getByLabel("k", { exact: true }).fill("6");
});

test("the rounds are there as trees, and the arrow keys go through them", { timeout: 120_000 }, async () => {
  await show("Tree");
  const at = () => page.locator(".scrubber .live").textContent();
  const [, rounds] = (await at()).match(/of (\d+)/);
  assert.equal(await at(), `${rounds} of ${rounds}`);
  await page.locator("h1").click();
  await page.keyboard.press("ArrowLeft");
  assert.equal(await at(), `${rounds - 1} of ${rounds}`);
  // The last rounds are cut short by the limit of new tokens.
  await page.getByLabel("Round", { exact: true }).fill("0");
  assert.equal(await at(), `1 of ${rounds}`);
  assert.equal(await page.locator("svg.tree .node.root").count(), 1);
  assert.equal(await page.locator("svg.tree .node.drafted").count(), 6);
});

test("side by side, the texts are identical", { timeout: 300_000 }, async () => {
  await show("Side by side");
  await button("Run both").click();
  await page.locator(".verdict").getByText("identical").waitFor({ timeout: 240_000 });
  assert.equal(await page.locator("tbody tr").count(), 4);
});

test("the device is described, its costs are kept for the next visit", async () => {
  await show("Device");
  await page.getByText("measured just now", { exact: false }).waitFor({ timeout: 240_000 });
  assert.ok((await page.locator(".plot .point.verify").count()) > 2);
  await page.reload();
  await page.getByText("measured on an earlier visit", { exact: false }).waitFor({ timeout: 240_000 });
});

test("nothing was asked of anyone else, and nothing failed unseen", () => {
  const outside = requests.filter((url) => !url.startsWith(server.url) && !url.startsWith("data:"));
  assert.deepEqual(outside, []);
  assert.deepEqual(faults, []);
});
