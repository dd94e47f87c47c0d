// The page as `understory serve` serves it: the browser's engine and this computer's write the same text.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, serve } from "./browser.mjs";

const BIN = process.env.UNDERSTORY_BIN;
const skip = BIN ? false : "UNDERSTORY_BIN names no built `understory`; `cargo xtask browser` builds one and sets it";
const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
const TOKENS = 20;

let server, browser, page;
const requests = [];
const sockets = [];
const faults = [];

/** `understory serve` on `port`; 0: a free one. */
async function understory(port = 0) {
  const child = spawn(BIN, ["serve", "--port", String(port), "--page", DIST], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((resolve, reject) => {
    child.stdout.once("data", (line) => resolve(String(line).trim()));
    child.once("exit", (code) => reject(new Error(`understory serve ended with status ${code}`)));
  });
  const stop = () => new Promise((ended) => {
    child.removeAllListeners("exit");
    child.once("exit", ended);
    child.kill("SIGINT");
  });
  return { url, stop };
}

function watch(page) {
  page.on("request", (request) => requests.push(request.url()));
  page.on("websocket", (socket) => sockets.push(socket.url()));
  page.on("pageerror", (error) => faults.push(String(error)));
  return page;
}

before(async () => {
  if (skip) return;
  server = await understory();
  browser = await launch();
  const context = await browser.newContext();
  page = watch(await context.newPage());
  await page.goto(server.url);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const button = (name, on = page) => on.getByRole("button", { name, exact: true });
/** Costs are kept when the device is measured. */
const learned = () => page.getByText("Measuring this device", { exact: false }).waitFor({ state: "hidden", timeout: 240_000 });
const ready = (on = page) => button("Generate", on).and(on.locator(":enabled")).waitFor({ timeout: 240_000 });
const show = (view) => page.getByRole("navigation").getByRole("link", { name: view, exact: true }).click();

/** Fills a field, opening what hides it. */
async function fill(name, value) {
  await page.locator("summary", { hasText: "Sampling and length" }).evaluate((summary) => (summary.parentElement.open = true));
  await page.getByLabel(name, { exact: true }).fill(String(value));
}
const choice = (on = page) => on.getByLabel("Engine", { exact: true });

async function choose(engine) {
  await choice().selectOption(engine);
  await button("Generate").and(page.locator(":disabled")).waitFor();
  await ready();
  await learned();
}

async function generate(temperature) {
  await fill("temperature", temperature);
  await button("Generate").click();
  await button("Stop").and(page.locator(":enabled")).waitFor();
  await ready();
  return page.locator(".output .text").textContent();
}

/** The greedy and the sampled text of the engine in use, and the kernels that wrote them. */
async function texts() {
  const all = [await generate(0), await generate(0.8)];
  const engine = await page.getByText(/^Engine: /).textContent();
  await show("Device");
  const kernels = await page.locator("tr", { has: page.getByText("kernels", { exact: true }) }).locator("td").last().textContent();
  await show("Generate");
  return { all, engine, kernels };
}

test("both engines write the same text", { skip, timeout: 600_000 }, async () => {
  await ready();
  await learned();
  assert.equal(await choice().inputValue(), "browser");
  await page.getByLabel("Method", { exact: true }).selectOption("linear");
  await fill("new tokens", TOKENS);
  await fill("seed", 7);
  const browsers = await texts();
  assert.deepEqual(sockets, []);
  await choose("native");
  assert.equal(sockets.length, 1);
  const native = await texts();
  assert.deepEqual(native.all, browsers.all);
  assert.notEqual(native.all[0], native.all[1]);
  assert.match(browsers.engine, /this browser \(WebGPU\)/);
  assert.match(native.engine, /this computer \(native\)/);
  // A GPU's kernels may round otherwise: the texts are comparable where both devices are emulated.
  assert.deepEqual([browsers.kernels, native.kernels], ["cpu", "cpu"]);
});

test("side by side names the engine", { skip, timeout: 240_000 }, async () => {
  await show("Side by side");
  await button("Run both").click();
  await page.locator(".verdict").getByText("identical").waitFor({ timeout: 200_000 });
  await page.getByText(/^Engine: this computer \(native\)/).waitFor();
  await show("Generate");
});

test("stop ends a text of the native engine", { skip, timeout: 120_000 }, async () => {
  await page.getByLabel("Method", { exact: true }).selectOption("ar (plain decoding)");
  await fill("new tokens", 900);
  await page.getByText("Go on past the model's end token").click();
  await button("Generate").click();
  await page.locator(".text > span:not(.prompt)").first().waitFor();
  await button("Stop").click();
  await page.getByText("stopped by hand").waitFor();
});

test("the choice is kept, and so are the costs of both engines", { skip, timeout: 300_000 }, async () => {
  const earlier = page.getByText("measured on an earlier visit", { exact: false });
  await page.reload();
  await ready();
  assert.equal(await choice().inputValue(), "native");
  await show("Device");
  await earlier.waitFor();
  await choice().selectOption("browser");
  await earlier.waitFor({ state: "hidden" });
  await earlier.waitFor({ timeout: 240_000 });
  await choice().selectOption("native");
  await earlier.waitFor({ state: "hidden" });
  await earlier.waitFor({ timeout: 120_000 });
  await show("Generate");
  await ready();
});

test("a second page is told so, and has its turn afterwards", { skip, timeout: 120_000 }, async () => {
  const second = watch(await page.context().newPage());
  await second.goto(server.url);
  await second.getByRole("alert").getByText("one at a time", { exact: false }).waitFor();
  await page.close();
  await button("Connect again", second).click();
  page = second;
  await ready();
});

test("a server that ends is missed, and found again", { skip, timeout: 120_000 }, async () => {
  const { port } = new URL(server.url);
  await server.stop();
  const alert = page.getByRole("alert");
  await alert.getByText("No connection to the engine").waitFor();
  await button("Connect again").click();
  await alert.getByText("code 1006", { exact: false }).waitFor();
  server = await understory(port);
  await button("Connect again").click();
  await ready();
});

test("a browser without WebGPU uses the native engine by itself", { skip, timeout: 120_000 }, async () => {
  await page.close();
  const context = await browser.newContext();
  await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined }));
  page = watch(await context.newPage());
  await page.goto(server.url);
  await ready();
  assert.equal(await choice().inputValue(), "native");
  await context.close();
});

test("page and server of different versions are said to be", { skip, timeout: 60_000 }, async () => {
  const other = watch(await browser.newPage());
  await other.route("**/engine/info", (route) => route.fulfill({ json: { version: "0.0.7" } }));
  await other.goto(server.url);
  await other.getByText("version 0.0.7", { exact: false }).waitFor();
  await other.close();
});

test("on another host there is nothing to choose", { skip, timeout: 60_000 }, async () => {
  const host = await serve();
  const other = watch(await browser.newPage());
  const asked = other.waitForResponse((response) => response.url().endsWith("/engine/info"));
  await other.goto(host.url);
  assert.equal((await asked).status(), 404);
  await other.getByText("in this tab", { exact: false }).waitFor();
  assert.equal(await choice(other).count(), 0);
  await other.close();
  const own = [host.url, server.url];
  const outside = requests.filter((url) => !own.some((host) => url.startsWith(host)) && !url.startsWith("data:"));
  assert.deepEqual(outside, []);
  assert.ok(sockets.every((url) => url === `${server.url.replace("http", "ws")}engine`), sockets.join(" "));
  assert.deepEqual(faults, []);
  host.stop();
});
