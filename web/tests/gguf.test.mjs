// GGUF files in the page: chosen, dropped, and by name from a hub. The small one is the Qwen3 fixture, so its tokens are
// those that `transformers` computed; a published one is tried where the tests of the engine have fetched it.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { keepGenerations, launch, serve } from "./browser.mjs";
import { golden, model, split } from "./gguf.mjs";
import { startHub } from "./hub.mjs";
import { ask, greedy, load, openWorker } from "./worker.mjs";

const REPO = "forest/sapling";
const SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf";
const TEMPLATE = "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}";

let server, browser, hub, page, folder;
const faults = [];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "understory-"));
  const parts = await split("tree");
  const files = { "small.gguf": await model(), "chatty.gguf": await model({ template: TEMPLATE }), ...Object.fromEntries(parts) };
  files["cut.gguf"] = files["small.gguf"].subarray(0, files["small.gguf"].length - 4096);
  files["beginning.gguf"] = files["small.gguf"].subarray(0, 5000);
  files["none.gguf"] = Buffer.from("<html>404 Not Found</html>");
  files["unknown-type.gguf"] = await model({ type: 16 });
  files["unknown.gguf"] = await model({ architecture: "mamba" });
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes);
  for (const [name, inside] of [["one", ["small.gguf"]], ["several", ["small.gguf", "chatty.gguf"]]]) {
    await mkdir(join(folder, name));
    for (const file of inside) await writeFile(join(folder, name, file), files[file]);
  }
  // A repository of the usual kind: one model in several types, and a readme.
  await mkdir(join(folder, "repo"));
  const type = { F16: files["small.gguf"], IQ2: files["unknown-type.gguf"], odd: files["unknown.gguf"] };
  for (const [name, bytes] of Object.entries(type)) await writeFile(join(folder, "repo", `m-${name}.gguf`), bytes);
  for (const [name, bytes] of parts) await writeFile(join(folder, "repo", name), bytes);
  await writeFile(join(folder, "repo", "README.md"), "# m");
  hub = await startHub(join(folder, "repo"), REPO);
  server = await serve();
  browser = await launch();
  page = await browser.newPage();
  page.on("pageerror", (error) => faults.push(String(error)));
  await keepGenerations(page);
  await page.goto(`${server.url}#models`);
});

after(async () => {
  await browser?.close();
  server?.stop();
  hub?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

const show = (view) => page.getByRole("navigation").getByRole("link", { name: view, exact: true }).click();
const button = (name) => page.getByRole("button", { name, exact: true });
const group = (role) => page.getByRole("group", { name: role, exact: true });
const origin = (role) => group(role).getByLabel("From", { exact: true });
const chosen = (role) => origin(role).evaluate((select) => select.value);
const path = (name) => join(folder, name);
const paths = (...names) => names.map(path);
const says = (text) => page.getByText(text, { exact: true }).waitFor({ timeout: 240_000 });
const submit = () => button("Load").and(page.locator(":enabled")).click({ timeout: 240_000 });
const advised = (text) => page.locator(".failure").getByText(text, { exact: false }).waitFor({ timeout: 120_000 });

const pick = (files, input = "GGUF file") => group("Target").getByLabel(input, { exact: true }).setInputFiles(files);

async function drop(files) {
  const { x, y, width, height } = await group("Target").locator(".drop").boundingBox();
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) {
    await devtools.send("Input.dispatchDragEvent", { type, x: x + width / 2, y: y + height / 2, data });
  }
}

async function loads(name) {
  await submit();
  await says(`Loaded: ${name}, without a draft model.`);
}

/** The engine's reply to what the Generate view sends. */
async function generated(text, tokens) {
  await show("Generate");
  await button("Generate").and(page.locator(":enabled")).waitFor({ timeout: 240_000 });
  const before = await page.evaluate(() => window.generations.length);
  await page.locator("summary", { hasText: "Sampling and length" }).locator("..").evaluate((details) => (details.open = true));
  await page.getByLabel("new tokens", { exact: true }).fill(String(tokens));
  await page.locator("#prompt").fill(text);
  await button("Generate").click();
  await page.waitForFunction((before) => window.generations.length > before, before, { timeout: 240_000 });
  await show("Models");
  return page.evaluate(() => window.generations.at(-1));
}

test("a file that is chosen takes the target's place, without the other one's draft", { timeout: 300_000 }, async () => {
  await says("Loaded: tales, drafted for by tales-draft.");
  await origin("Target").selectOption("a folder or file of this computer");
  // Leaving the bundled draft there fails this: it has another vocabulary.
  assert.equal(await chosen("Draft"), "none");
  await pick(path("small.gguf"));
  await group("Target").getByText("“small.gguf” is chosen.").waitFor();
  await loads("small");
  const { text, token_ids, greedy_ids } = await golden();
  const { prompt_token_ids, token_ids: written } = await generated(text, 12);
  assert.deepEqual(prompt_token_ids, token_ids);
  assert.deepEqual(written, greedy_ids.slice(0, 12));
});

test("the form with files to choose fits a narrow screen", { timeout: 60_000 }, async () => {
  const before = page.viewportSize();
  await page.setViewportSize({ width: 375, height: 800 });
  const right = await group("Target").locator("input[type=file]").evaluateAll((all) => all.map((input) => input.getBoundingClientRect().right));
  assert.equal(right.length, 2);
  assert.ok(right.every((right) => right <= 375), String(right));
  await page.setViewportSize(before);
});

test("the bundled target gets its draft back", { timeout: 60_000 }, async () => {
  await origin("Target").selectOption("tales (bundled)");
  assert.equal(await chosen("Draft"), "tales-draft (bundled)");
  await origin("Target").selectOption("a folder or file of this computer");
  assert.equal(await chosen("Draft"), "none");
});

test("a file, all files of a split model, or a folder with one can be dropped", { timeout: 300_000 }, async () => {
  for (const [files, named, loaded] of [
    [paths("small.gguf"), "small.gguf", "small"],
    [paths("tree-00002-of-00002.gguf", "tree-00001-of-00002.gguf"), "tree-00001-of-00002.gguf", "tree"],
    [paths("one"), "one", "small"],
  ]) {
    await drop(files);
    await group("Target").getByText(`“${named}” is chosen.`).waitFor();
    await loads(loaded);
  }
});

test("a folder with one, or all files of a split model, can be chosen", { timeout: 300_000 }, async () => {
  await pick(paths("tree-00001-of-00002.gguf", "tree-00002-of-00002.gguf"));
  await loads("tree");
  await pick(path("one"), "Folder");
  await group("Target").getByText("“one” is chosen.").waitFor();
  await loads("small");
});

// Advice about folders alone, or none, fails this.
test("what cannot be loaded is told apart, with what to do", { timeout: 300_000 }, async () => {
  const again = (file) => `Copy or download ${file} anew, whole, and choose the model again under Models.`;
  for (const [files, what, advice] of [
    [paths("cut.gguf"), "cut.gguf is cut short", again("cut.gguf")],
    [paths("beginning.gguf"), "beginning.gguf is cut short", again("beginning.gguf")],
    [paths("none.gguf"), "none.gguf: is not a GGUF file: it does not begin with `GGUF`", "Copy the model's files anew"],
    [paths("unknown.gguf"), "unknown architecture `mamba`", "choose another model"],
    [paths("unknown-type.gguf"), "IQ2_XXS", "the same one with weights of a type that is known"],
    [paths("tree-00001-of-00002.gguf"), "it has no tree-00002-of-00002.gguf", "of a split model, all of its files"],
    [paths("repo/README.md"), "`README.md` cannot be used: it has no config.json", "or a GGUF file"],
  ]) {
    await pick(files);
    await submit();
    await advised(what);
    await advised(advice);
  }
  await pick(path("several"), "Folder");
  await submit();
  await advised("`several` cannot be used: it has several GGUF models: chatty.gguf, small.gguf");
});

test("a chat model is in chat mode, another one is not", { timeout: 300_000 }, async () => {
  const chat = page.getByRole("checkbox", { name: "Chat", exact: true });
  await pick(path("chatty.gguf"));
  await loads("chatty");
  const { text } = await golden();
  const asked = await generated("Who are you?", 4);
  await show("Generate");
  assert.ok(await chat.isChecked());
  await chat.uncheck();
  const plain = await generated("[user] Who are you?\n", 4);
  assert.deepEqual(asked.prompt_token_ids, plain.prompt_token_ids);
  await pick(path("small.gguf"));
  await loads("small");
  const { prompt_token_ids } = await generated(text, 4);
  assert.deepEqual(prompt_token_ids, (await golden()).token_ids);
  await show("Generate");
  assert.equal(await chat.count(), 0);
  await show("Models");
});

test("one of a repository's models is loaded by its label", { timeout: 300_000 }, async () => {
  await origin("Target").selectOption("a repository of the hub");
  await page.getByText("Hub", { exact: true }).click();
  await page.getByLabel("Endpoint", { exact: true }).fill(hub.endpoint);
  const repository = group("Target").getByLabel("Repository", { exact: true });
  await repository.fill(REPO);
  await submit();
  await advised(`${REPO} cannot be used: it has several GGUF models: m-F16.gguf, m-IQ2.gguf, m-odd.gguf, tree-00001-of-00002.gguf`);
  await repository.fill(`${REPO}:f16`);
  await loads(`${REPO}:f16`);
  await button(`Delete ${REPO}:f16`).waitFor();
});

/** A worker in a browser of its own, with nothing kept. */
async function fresh(test) {
  const context = await browser.newContext();
  try {
    await test(await openWorker(context, server));
  } finally {
    await context.close();
  }
}

const fromHub = (page, name) =>
  load(page, { from: "hub", repo: `${REPO}${name}`, revision: null }, { hub: { endpoint: hub.endpoint, token: null } });
const asked = (file) => hub.requests.filter(({ server, path }) => server === "storage" && path.endsWith(file)).length;

test("each model of a repository is one of its own, and loads again without the hub", { timeout: 300_000 }, () =>
  fresh(async (page) => {
    hub.reset();
    const { token_ids, greedy_ids } = await golden();
    for (const name of ["/m-F16.gguf", "/tree-00002-of-00002.gguf", ":F16"]) {
      const loaded = await fromHub(page, name);
      assert.equal(loaded.reply, "loaded", JSON.stringify(loaded));
      assert.equal(loaded.target, `${REPO}${name}`);
      assert.deepEqual((await greedy(page, token_ids, 24)).token_ids, greedy_ids.slice(0, 24), name);
    }
    // The headers, then the files: what another name of the same file needs of it is its header alone.
    assert.deepEqual(["m-F16.gguf", "tree-00001-of-00002.gguf", "tree-00002-of-00002.gguf"].map(asked), [3, 2, 2]);
    const { models } = await ask(page, { request: "models" });
    assert.deepEqual(models.map(({ source }) => source.repo).sort(), ["/m-F16.gguf", "/tree-00002-of-00002.gguf", ":F16"].map((name) => `${REPO}${name}`));
    assert.ok(models.every(({ bytes, kept_bytes }) => bytes === kept_bytes));
    hub.status = 503;
    for (const name of ["/m-F16.gguf", "/tree-00002-of-00002.gguf"]) {
      assert.equal((await fromHub(page, name)).reply, "loaded");
    }
  }));

test("a model that cannot be run is refused before it comes", { timeout: 240_000 }, () =>
  fresh(async (page) => {
    hub.reset();
    for (const [name, pattern] of [
      [":odd", /forest\/sapling:odd cannot be used: unknown architecture `mamba`/],
      [":Q8_0", /cannot be used: it has no such GGUF model, but m-F16\.gguf, m-IQ2\.gguf, /],
      ["/x.gguf", /cannot be used: it has no such GGUF model, but /],
      ["/x.bin", /names no repository: expected owner\/name, owner\/name\/FILE\.gguf or /],
    ]) {
      assert.match((await fromHub(page, name)).message, pattern);
    }
    assert.deepEqual((await ask(page, { request: "models" })).models, []);
    assert.equal(asked("m-odd.gguf"), 1);
  }));

test("a download that breaks off goes on where it did", { timeout: 240_000 }, () =>
  fresh(async (page) => {
    hub.reset();
    assert.equal((await fromHub(page, ":odd")).reply, "failed");
    hub.endAfter = 200_000;
    assert.match((await fromHub(page, ":F16")).message, /cut short/);
    hub.reset();
    assert.equal((await fromHub(page, ":F16")).reply, "loaded");
    assert.match(hub.requests.find(({ server }) => server === "storage").range, /^bytes=[1-9]\d*-$/);
  }));

/** A file that the engine's tests have fetched. */
async function published(name) {
  const { UNDERSTORY_TEST_MODELS, XDG_CACHE_HOME } = process.env;
  const cache = UNDERSTORY_TEST_MODELS || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "understory-test-models");
  return (await stat(join(cache, name)).catch(() => null))?.isFile() ? join(cache, name) : null;
}

test("a published model writes what transformers writes with its weights", { timeout: 900_000 }, async (context) => {
  const file = await published(SMOLLM2);
  if (!file) return context.skip(`SKIPPED: ${SMOLLM2} is not in the cache of the engine's tests`);
  await origin("Target").selectOption("a folder or file of this computer");
  await pick(file);
  const begun = performance.now();
  await loads(SMOLLM2.replace(".gguf", ""));
  context.diagnostic(`loaded in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  await show("Generate");
  await button("Generate").and(page.locator(":enabled")).waitFor({ timeout: 600_000 });
  context.diagnostic(`ready after ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  const chat = page.getByRole("checkbox", { name: "Chat", exact: true });
  assert.ok(await chat.isChecked());
  await chat.uncheck();
  await page.getByLabel("Method", { exact: true }).selectOption("ar (plain decoding)");
  const values = JSON.parse(await readFile(fileURLToPath(new URL("../../engine/model/tests/gguf_models/golden/smollm2.golden.json", import.meta.url)), "utf8"));
  const { text, token_ids, greedy_ids } = values[0];
  const { prompt_token_ids, token_ids: written, metrics } = await generated(text, 24);
  context.diagnostic(`TPOT ${metrics.tpot_ms?.toFixed(1)} ms, ${metrics.weights_bytes} bytes of weights, peak ${metrics.peak_gpu_bytes}`);
  assert.deepEqual(prompt_token_ids, token_ids);
  assert.deepEqual(written, greedy_ids.slice(0, 24));
});

test("nothing failed unseen", () => assert.deepEqual(faults, []));
