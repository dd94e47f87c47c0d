// The Models view over the real engine: what is chosen is loaded, and whatever goes wrong, another choice can follow.

import assert from "node:assert/strict";
import { copyFile, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, serve } from "./browser.mjs";
import { startHub } from "./hub.mjs";

const FIXTURES = fileURLToPath(new URL("../../fixtures/", import.meta.url));
const REPO = "forest/sapling";

let server, browser, hub, pythia, page, folder;
const faults = [];

before(async () => {
  server = await serve();
  browser = await launch();
  hub = await startHub(join(FIXTURES, "llama"), REPO);
  page = await browser.newPage();
  page.on("pageerror", (error) => faults.push(String(error)));
  await page.goto(`${server.url}#models`);
});

after(async () => {
  await browser?.close();
  server?.stop();
  hub?.stop();
  pythia?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

const show = (view) => page.getByRole("navigation").getByRole("link", { name: view, exact: true }).click();
const button = (name) => page.getByRole("button", { name, exact: true });
const group = (role) => page.getByRole("group", { name: role, exact: true });
const from = (role, what) => group(role).getByLabel("From", { exact: true }).selectOption(what);
const says = (text) => page.getByText(text, { exact: true }).waitFor({ timeout: 240_000 });
const kept = () => page.locator(".kept li p").allTextContents();

test("the bundled pair is loaded and kept", { timeout: 300_000 }, async () => {
  await says("Loaded: tales, drafted for by tales-draft.");
  await button("Delete tales").and(page.locator(":enabled")).waitFor({ timeout: 240_000 });
  assert.deepEqual((await kept()).map((text) => text.split(" ")[0]), ["tales", "tales-draft"]);
  await page.getByText(/^[\d.]+ MiB of the [\d.]+ GiB that the browser gives this page/).waitFor();
});

test("a load that fails says why, and a choice that is not made is asked for", { timeout: 60_000 }, async () => {
  await from("Target", "a folder or file of this computer");
  await button("Load").click();
  await page.getByRole("alert").getByText("no folder or file is chosen for the target").waitFor();
  await from("Target", "a repository of the hub");
  await group("Target").getByLabel("Repository", { exact: true }).fill("forest/elsewhere");
  await page.getByText("Hub", { exact: true }).click();
  await page.getByLabel("Endpoint", { exact: true }).fill(hub.endpoint);
  await button("Load").click();
  await page.getByRole("alert").getByText("has no forest/elsewhere at revision `main` (404)").waitFor();
  assert.equal(await button("Restart the engine").count(), 0);
  await button("Load the bundled pair").waitFor();
});

test("a repository's model loads without a draft, and methods that need one are off", { timeout: 240_000 }, async () => {
  await group("Target").getByLabel("Repository", { exact: true }).fill(REPO);
  await from("Draft", "none");
  await button("Load").click();
  await says("Loaded: forest/sapling, without a draft model.");
  await page.getByText("forest/sapling 3", { exact: false }).waitFor();
  await show("Generate");
  await button("Generate").and(page.locator(":enabled")).waitFor({ timeout: 240_000 });
  const off = await page.getByLabel("Method", { exact: true }).locator("option:disabled").allTextContents();
  assert.deepEqual(off, ["linear", "tree", "dynatree", "assisted, heuristic", "assisted, confidence"]);
  await page.getByText("Sampling and length").click();
  await page.getByLabel("new tokens", { exact: true }).fill("8");
  await button("Generate").click();
  await page.locator("dt", { hasText: /^TPOT / }).locator("+ dd").getByText(/^\d/).waitFor({ timeout: 60_000 });
  assert.equal(await page.locator(".text > span:not(.prompt)").count(), 8);
});

test("a folder that is chosen, or dropped, takes the model's place", { timeout: 240_000 }, async () => {
  await show("Models");
  await from("Target", "a folder or file of this computer");
  await group("Target").getByLabel("Folder", { exact: true }).setInputFiles(join(FIXTURES, "qwen3"));
  await group("Target").getByText("“qwen3” is chosen.").waitFor();
  await button("Load").click();
  await says("Loaded: qwen3, without a draft model.");
  const { x, y, width, height } = await page.locator(".drop").boundingBox();
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files: [join(FIXTURES, "gemma3")], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) {
    await devtools.send("Input.dispatchDragEvent", { type, x: x + width / 2, y: y + height / 2, data });
  }
  await group("Target").getByText("“gemma3” is chosen.").waitFor();
  await button("Load").and(page.locator(":enabled")).click({ timeout: 240_000 });
  await says("Loaded: gemma3, without a draft model.");
});

/** What is said of the load that failed. */
const advised = (text) => page.locator(".failure").getByText(text, { exact: false }).waitFor({ timeout: 120_000 });

// Advice in terms of flags, or none, fails these.
test("a pair that does not match is told apart, with what to do in this view", { timeout: 240_000 }, async () => {
  await from("Draft", "tales-draft (bundled)");
  await button("Load").and(page.locator(":enabled")).click({ timeout: 60_000 });
  await advised("draft and target have different vocabularies");
  await advised("Under Models, choose “none” under Draft, or a draft of the target's own family.");
  await button("Load the bundled pair").waitFor();
  await from("Draft", "none");
});

test("a file that was cut short is named, with how it comes again", { timeout: 240_000 }, async () => {
  folder = await mkdtemp(join(tmpdir(), "understory-"));
  const fixture = join(FIXTURES, "qwen3");
  for (const file of await readdir(fixture)) await copyFile(join(fixture, file), join(folder, file));
  const weights = await readFile(join(fixture, "model.safetensors"));
  await writeFile(join(folder, "model.safetensors"), weights.subarray(0, weights.length - 4096));
  await group("Target").getByLabel("Folder", { exact: true }).setInputFiles(folder);
  await button("Load").and(page.locator(":enabled")).click();
  await advised("Copy or download model.safetensors anew, whole, and choose the model again under Models.");
});

test("a kept model goes back into the form, and is deleted", { timeout: 120_000 }, async () => {
  hub.status = 500;
  await button(`Use ${REPO} as target`).click();
  await button("Load").and(page.locator(":enabled")).click({ timeout: 60_000 });
  await says("Loaded: forest/sapling, without a draft model.");
  await button(`Delete ${REPO}`).and(page.locator(":enabled")).click({ timeout: 60_000 });
  await button(`Delete ${REPO}`).waitFor({ state: "detached" });
  assert.equal((await kept()).length, 2);
});

// A card of another entry, a size that is promised, or a click that asks for another name fails this.
test("a card says what a model takes, and one click fetches and loads it", { timeout: 240_000 }, async () => {
  pythia = await startHub(join(FIXTURES, "gpt-neox"), "EleutherAI/pythia-70m");
  await page.getByText("Hub", { exact: true }).click();
  await page.getByLabel("Endpoint", { exact: true }).fill(pythia.endpoint);
  const card = page.locator(".cards li").filter({ has: page.getByRole("heading", { name: "Pythia 70M", exact: true }) });
  const says = async (text) => assert.ok((await card.innerText()).includes(text), `${text}: ${await card.innerText()}`);
  await says("gpt_neox, 70.4 M parameters, safetensors f16");
  await says("Download about 158 MiB, about 286 MiB of memory with 2048 tokens");
  await says("Licence: Apache-2.0");
  await says("Probably fits this device");
  assert.equal(await card.getByText("Kept in this browser").count(), 0);
  await button("Load Pythia 70M, safetensors f16").and(page.locator(":enabled")).waitFor();
  await button("Load Pythia 70M, safetensors f16").focus();
  await page.keyboard.press("Enter");
  await page.getByText("Loaded: EleutherAI/pythia-70m, without a draft model.", { exact: true }).waitFor({ timeout: 120_000 });
  assert.equal(pythia.requests.find(({ method }) => method === "GET").path, "/api/models/EleutherAI/pythia-70m/revision/main?blobs=true");
  await card.getByText("Kept in this browser").waitFor({ timeout: 120_000 });
});

// A pair of another order, or a draft that is left out, fails this.
test("one click asks for a pair, and a gated model says what to do", { timeout: 120_000 }, async () => {
  pythia.reset();
  await button("Load the pair: Pythia 2.8B with Pythia 70M as draft, safetensors f16").and(page.locator(":enabled")).click();
  await advised("has no EleutherAI/pythia-2.8b at revision `main` (404)");
  assert.ok(pythia.requests.some(({ path }) => path === "/api/models/EleutherAI/pythia-2.8b/revision/main?blobs=true"));
  const repository = (role) => group(role).getByLabel("Repository", { exact: true }).inputValue();
  assert.deepEqual([await repository("Target"), await repository("Draft")], ["EleutherAI/pythia-2.8b", "EleutherAI/pythia-70m"]);
  const gated = page.locator(".cards li", { hasText: "Gated: accept the licence on its page" });
  assert.equal(await gated.count(), 4);
  assert.equal(await gated.getByRole("link").first().getAttribute("href"), "https://huggingface.co/meta-llama/Llama-3.2-1B-Instruct");
  await page.setViewportSize({ width: 375, height: 800 });
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 375, "the cards are wider than a phone");
});

test("nothing failed unseen", () => assert.deepEqual(faults, []));
