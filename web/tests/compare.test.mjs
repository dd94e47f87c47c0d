// Reports side by side: files, links, what is refused, and the own device among them.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, serve } from "./browser.mjs";

const COMMITTED = new URL("../../bench/runs/2026-11-22-lavapipe-2core-quick/report.json", import.meta.url);
const LONG_MS = 300_000;

let server, browser, page, link;
const faults = [];

before(async () => {
  server = await serve();
  browser = await launch();
  page = await browser.newPage();
  page.on("pageerror", (error) => faults.push(String(error)));
  await page.goto(`${server.url}#bench`);
});

after(async () => {
  await browser?.close();
  server?.stop();
});

const button = (name, of = page) => of.getByRole("button", { name, exact: true });
const listed = (of = page) => of.locator("ol.kept li");
const give = (files) => page.getByLabel("Reports", { exact: true }).setInputFiles(files);
const file = (name, text) => ({ name, mimeType: "application/json", buffer: Buffer.from(text) });
const frame = (of = page) => of.frameLocator("iframe.document");

test("the page's own report stands beside a file", { timeout: LONG_MS }, async () => {
  await button("Run").and(page.locator(":enabled")).waitFor({ timeout: LONG_MS });
  await page.getByLabel("Runs of each case", { exact: true }).fill("2");
  await page.getByLabel("Name of this device", { exact: true }).fill("the page");
  await button("Run").click();
  await button("Copy link").waitFor({ timeout: LONG_MS });
  link = await page.getByLabel("Link with the report").inputValue();
  await button("Compare").click();
  await listed().getByText("this device", { exact: true }).waitFor();
  // One report alone is shown as it is.
  await frame().getByRole("heading", { level: 1 }).waitFor();
  await give([file("lavapipe.json", await readFile(COMMITTED, "utf8"))]);
  await frame().getByRole("heading", { name: "Reports compared" }).waitFor();
  assert.equal(await frame().getByText("the page (this device)").first().isVisible(), true);
  assert.deepEqual(await frame().locator("th.own").first().textContent(), "A");
  // Ratios are to the first: the order can be changed.
  await button("Make report 2 the first").click();
  await frame().locator("th.own", { hasText: "B" }).first().waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), button("Save as HTML").click()]);
  assert.match(await readFile(await download.path(), "utf8"), /Reports compared/);
});

test("what is no report is refused in words, and the others stay", { timeout: 120_000 }, async () => {
  const good = JSON.parse(await readFile(COMMITTED, "utf8"));
  good.cases[0].case.max_new_tokens += 1;
  await give([
    file("notes.json", "{\"a\": 1}"),
    file("half.json", (await readFile(COMMITTED, "utf8")).slice(0, 5000)),
    file("changed.json", JSON.stringify(good)),
    file("huge.json", " ".repeat(25 << 20)),
  ]);
  await page.getByRole("alert").getByText("huge.json has 25", { exact: false }).waitFor();
  await listed().getByText("notes.json: is no report", { exact: false }).waitFor();
  await listed().getByText("half.json: is not JSON, or cut short", { exact: false }).waitFor();
  await listed().getByText("the file was changed", { exact: false }).waitFor();
  await frame().getByRole("heading", { name: "Reports compared" }).waitFor();
  for (let left = 5; left > 2; left -= 1) {
    assert.equal(await listed().count(), left);
    await button(`Remove report ${left}`).click();
  }
});

test("of what is dropped, reports are taken", { timeout: 60_000 }, async () => {
  await button("Remove report 1").click();
  await button("Remove report 1").click();
  await page.locator("iframe").waitFor({ state: "detached" });
  const text = await readFile(COMMITTED, "utf8");
  const transfer = await page.evaluateHandle((text) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], "one.json"));
    transfer.items.add(new File(["not this"], "notes.txt"));
    return transfer;
  }, text);
  await page.locator(".drop").dispatchEvent("drop", { dataTransfer: transfer });
  await listed().getByText("one.json").waitFor();
  assert.equal(await listed().count(), 1);
});

test("of a folder that is chosen, reports are taken", { timeout: 60_000 }, async () => {
  await button("Remove report 1").click();
  await page.getByLabel("Folder", { exact: true }).setInputFiles(fileURLToPath(new URL(".", COMMITTED)));
  await listed().getByText("2026-11-22-lavapipe-2core-quick/report.json").waitFor();
  assert.equal(await listed().count(), 1);
});

test("a link carries the report to another browser", { timeout: 120_000 }, async () => {
  assert.ok(link.length < 61_000, `${link.length} characters`);
  const context = await browser.newContext();
  const other = await context.newPage();
  other.on("pageerror", (error) => faults.push(String(error)));
  const requests = [];
  other.on("request", (request) => requests.push(request.url()));
  await other.goto(link);
  await listed(other).getByText("the page, quick").waitFor();
  await frame(other).getByRole("heading", { level: 1 }).waitFor();
  // Somebody else's report is not this device's, and what is in a fragment goes to no server.
  assert.equal(await listed(other).getByText("this device", { exact: true }).count(), 0);
  assert.ok(requests.every((url) => !url.includes("report=")));
  // A link that was cut short, and one that inflates without end, are refused.
  await other.goto(link.slice(0, link.length / 2));
  await listed(other).getByText("cut short", { exact: false }).waitFor();
  const bomb = await other.evaluate(async () => {
    const stream = new Blob([new Uint8Array(40 << 20)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    let text = "";
    for (let at = 0; at < bytes.length; at += 3000) text += btoa(String.fromCharCode(...bytes.subarray(at, at + 3000)));
    return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  });
  await other.goto(`${server.url}#compare?report=${bomb}`);
  await listed(other).getByText("no report in a link does", { exact: false }).waitFor();
  await context.close();
});

test("a link is shown where the own report is offered beside it", { timeout: 60_000 }, async () => {
  await page.goto("about:blank");
  await page.goto(link);
  await listed().getByText("the page, quick").waitFor();
  await button("Remove report 1").click();
  await button("Add this device's last report").click();
  await listed().getByText("this device", { exact: true }).waitFor();
  assert.deepEqual(faults, []);
});
