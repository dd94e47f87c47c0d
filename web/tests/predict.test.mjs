// Predict, before anything is loaded and without WebGPU; then this device as it was measured.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, serve } from "./browser.mjs";

const PHONE = { width: 390, height: 800 };

let server, browser, page;
const faults = [];

function watch(page) {
  page.on("pageerror", (error) => faults.push(String(error)));
  return page;
}

before(async () => {
  server = await serve();
  browser = await launch();
  const context = await browser.newContext();
  // No WebGPU: whatever is predicted needs neither a device nor a model.
  await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined }));
  page = watch(await context.newPage());
  await page.goto(`${server.url}#predict`);
});

after(async () => {
  await browser?.close();
  server?.stop();
});

const title = (on = page) => on.locator(".predicted-title");
const field = (name, on = page) => on.getByLabel(name, { exact: true });
const button = (name, on = page) => on.getByRole("button", { name, exact: true });

/** The text of a figure. */
const figure = (name, on = page) => on.locator("dt", { hasText: new RegExp(`^${name} `) }).locator("+ dd").first().textContent();
const number = async (name, on = page) => Number.parseFloat(await figure(name, on));

test("a prediction comes without WebGPU and without a model", { timeout: 60_000 }, async () => {
  await title().getByText("llama-3.2-1b", { exact: false }).waitFor({ timeout: 30_000 });
  await page.getByRole("alert").getByText("no WebGPU", { exact: false }).waitFor();
  assert.match(await figure("TPOT"), /^\d/);
  assert.equal(await button("Measure this device").isEnabled(), false);
});

/** GenZ's steps: 8.895, 15.87 and, of four sequences, 9.21 ms. Whole numbers of 32 bits, a browser's, would fail the larger ones. */
test("the check values come out", { timeout: 60_000 }, async () => {
  await field("Device").selectOption("genz-a100-40gb");
  await field("Weights").selectOption("bf16");
  for (const [model, input, batch, published, within] of [
    ["llama-3.1-8b", 1024, 1, 8.895, 0.02],
    ["llama-2-13b", 1024, 1, 15.87, 0.02],
    ["llama-3.1-8b", 512, 4, 9.21, 0.03],
  ]) {
    await field("Model").selectOption(model);
    await field("input").fill(String(input));
    await field("output").fill("256");
    await field("batch").fill(String(batch));
    await title().getByText(new RegExp(`^${model} .* ${input} tokens in, 256 out, batch ${batch}$`)).waitFor();
    const tpot = await number("TPOT");
    assert.ok(Math.abs(tpot / published - 1) < within, `${model}: ${tpot} against ${published}`);
  }
  assert.equal(await figure("Weights"), "16.1 GB");
});

test("another length, another figure; what is drawn is there as a table", { timeout: 60_000 }, async () => {
  const before = await number("TTFT");
  await button("What is “TTFT”?").click();
  await page.getByRole("dialog").getByText("time to first token", { exact: false }).waitFor();
  await page.keyboard.press("Escape");
  await field("input").fill("2048");
  await title().getByText("2048 tokens in", { exact: false }).waitFor();
  assert.ok((await number("TTFT")) > 2 * before);
  assert.equal(await page.locator(".predicted figure svg .line:not(.dashed)").count(), 3);
  assert.ok((await page.locator(".predicted figure table tbody tr").count()) > 30);
  for (const bound of ["memory", "compute"]) {
    assert.ok((await page.locator(".predicted td", { hasText: new RegExp(`^${bound}$`) }).count()) > 0, bound);
  }
});

test("a draft brings rounds, its acceptance decides", { timeout: 60_000 }, async () => {
  await field("Draft").selectOption("llama-3.2-1b");
  await page.locator(".predicted h2", { hasText: "Speculation with llama-3.2-1b" }).waitFor();
  const good = await number("Speed-up");
  await field("acceptance").fill("0.2, 0.1");
  await page.waitForFunction((good) => !document.querySelector(".predicted .figures").textContent.includes(good), good.toFixed(2));
  assert.ok((await number("Speed-up")) < good);
});

test("what cannot be predicted is said, and the last figures stay", { timeout: 60_000 }, async () => {
  const said = () => page.locator(".composer .problem");
  for (const [name, wrong, right, words] of [
    ["batch", "0", "1", /batch = 0 is out of range/],
    ["input", "abc", "512", /input = "".*a whole number/],
    ["input", "200000", "512", /input \+ output = 200256/],
    ["acceptance", "often", "0.8", /acceptance = "often"/],
  ]) {
    // A number's field takes no letters.
    await field(name).fill(wrong === "abc" ? "" : wrong);
    await said().getByText(words).waitFor();
    assert.match(await figure("TPOT"), /^\d/);
    await field(name).fill(right);
    await said().waitFor({ state: "detached" });
  }
});

test("a phone scrolls down only", { timeout: 60_000 }, async () => {
  await page.setViewportSize(PHONE);
  const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(wide <= seen, `${wide} of ${seen}`);
});

test("this device is measured, and its points lie over the curves", { timeout: 600_000 }, async () => {
  const context = await browser.newContext();
  const own = watch(await context.newPage());
  await own.goto(`${server.url}#predict`);
  // While models load, predictions come.
  await title(own).waitFor({ timeout: 30_000 });
  await button("Measure this device", own).and(own.locator(":enabled")).waitFor({ timeout: 240_000 });
  await own.locator(".composer").getByText("0 prompt lengths", { exact: false }).waitFor();
  await button("Measure this device", own).click();
  await own.locator(".predicted h2", { hasText: "This device, as measured" }).waitFor({ timeout: 400_000 });
  assert.equal(await field("Device", own).inputValue(), "here");
  await title(own).getByText(/^tales .* as fitted/).waitFor();
  // Three times each of the fitted sizes in two charts, and those that were held out.
  for (const [colour, sizes] of [["f2", 6], ["f4", 2]]) {
    assert.equal(await own.locator(`.predicted figure:nth-child(2) circle.${colour}`).count(), 3 * sizes, colour);
  }
  await own.getByText("median error of sizes not used in the fit", { exact: false }).waitFor();
  console.log((await own.locator(".predicted li", { hasText: "median error" }).allTextContents()).join("; "));
  await context.close();
  assert.deepEqual(faults, []);
});
