// Models from a hub and from folders, what the browser keeps of them, and what they write: the tokens that
// `transformers` computed for the fixtures. A fake hub stands at another origin.

import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, serve } from "./browser.mjs";
import { COMMIT, startHub } from "./hub.mjs";
import { ask, greedy, load, openWorker, startWorker } from "./worker.mjs";

const FIXTURES = fileURLToPath(new URL("../../fixtures/", import.meta.url));
const REPO = "forest/sapling";
const MODEL = { from: "hub", repo: REPO, revision: null };

let server, browser, hub;

before(async () => {
  server = await serve();
  browser = await launch();
  // Two shards and their index.
  hub = await startHub(join(FIXTURES, "llama3.2"), REPO);
});

after(async () => {
  await browser?.close();
  server?.stop();
  hub?.stop();
});

beforeEach(() => hub.reset());

const golden = async (name) => JSON.parse(await readFile(join(FIXTURES, name, "golden.json"), "utf8")).prompts[0];
const access = (more = {}) => ({ hub: { endpoint: hub.endpoint, token: null, ...more } });
const loadHub = (page, more) => load(page, MODEL, access(more));
const kept = (page) => ask(page, { request: "models" });
const files = (requests) => requests.filter(({ method, path }) => method === "GET" && !path.startsWith("/api/"));

/** A browser of its own, with nothing kept; `test` gets its page and its context. */
async function fresh(test, query) {
  const context = await browser.newContext();
  try {
    await test(await openWorker(context, server, query), context);
  } finally {
    await context.close();
  }
}

/** Loads the hub's model and compares what it writes. */
async function loadsAndWrites(page, more) {
  const loaded = await loadHub(page, more);
  assert.equal(loaded.reply, "loaded", JSON.stringify(loaded));
  const { token_ids, greedy_ids } = await golden("llama3.2");
  const generated = await greedy(page, token_ids, 8);
  assert.deepEqual(generated.token_ids, greedy_ids.slice(0, 8));
  return { loaded, generated };
}

async function fails(page, pattern, more) {
  const reply = await loadHub(page, more);
  assert.equal(reply.reply, "failed", JSON.stringify(reply));
  assert.match(reply.message, pattern);
}

/** Loads the hub's model; the connection breaks once what was sent of the weights has been read. */
async function breaks(page, pattern) {
  hub.breakAfter = 50_000;
  const failed = fails(page, pattern);
  const come = hub.smallBytes + hub.breakAfter;
  await page.waitForFunction((come) => window.progress.some(({ done_bytes }) => done_bytes >= come), come);
  hub.cut();
  await failed;
}

// Each query is a store of its own: the private file system, and the Cache API.
for (const query of ["", "?store=cache"]) {
  const name = (what) => (query ? `${what} (Cache API)` : what);

  test(name("a model of the hub loads by name, then without the hub"), { timeout: 240_000 }, () =>
    fresh(async (page) => {
      const { loaded, generated } = await loadsAndWrites(page);
      assert.equal(loaded.target, REPO);
      // Phases that are put into the reply alone, and not into the engine's own, fail this.
      const { fetch, hash } = loaded.phases_ms;
      assert.ok(fetch > 0 && hash > 0, JSON.stringify(loaded.phases_ms));
      assert.deepEqual([generated.metrics.phases_ms.fetch, generated.metrics.phases_ms.hash], [fetch, hash]);
      const { models, usage_bytes, quota_bytes } = await kept(page);
      const total = [...hub.files.values()].reduce((sum, bytes) => sum + bytes.length, 0);
      assert.deepEqual(models.map(({ source, endpoint, commit, bytes, kept_bytes }) => ({ source, endpoint, commit, bytes, kept_bytes })), [
        { source: MODEL, endpoint: hub.endpoint, commit: COMMIT, bytes: total, kept_bytes: total },
      ]);
      assert.ok(usage_bytes >= total && quota_bytes > usage_bytes, `${usage_bytes} of ${quota_bytes}`);
      const asked = hub.requests.length;
      hub.status = 503;
      await page.reload();
      await startWorker(page, query);
      const again = await loadsAndWrites(page);
      assert.equal(again.loaded.phases_ms.hash, null);
      // Asking for the revision's commit first fails this.
      assert.equal(hub.requests.length, asked);
    }, query));

  test(name("a download that breaks off goes on where it did"), { timeout: 240_000 }, () =>
    fresh(async (page) => {
      await breaks(page, /cut short: .* load again to go on/);
      const { models } = await kept(page);
      assert.ok(models[0].kept_bytes < models[0].bytes);
      hub.reset();
      await loadsAndWrites(page);
      const ranges = files(hub.requests).filter(({ server }) => server === "storage").map(({ range }) => range);
      assert.match(ranges[0], /^bytes=[1-9]\d*-$/);
      // Only what was missing: the small files and the first shard's beginning came before.
      assert.deepEqual(files(hub.requests).filter(({ path }) => path.endsWith("config.json")), []);
    }, query));

  test(name("a wrong byte is found and not kept"), { timeout: 240_000 }, () =>
    fresh(async (page) => {
      hub.corrupt = true;
      await fails(page, /not what was expected: hash [0-9a-f]{64} instead of [0-9a-f]{64}; nothing of it was kept/);
      hub.reset();
      await loadsAndWrites(page);
      // Going on behind the wrong bytes fails this.
      assert.equal(files(hub.requests).find(({ server }) => server === "storage").range, undefined);
    }, query));

  test(name("deleting a model frees its files, but for those that another one needs"), { timeout: 240_000 }, () =>
    fresh(async (page) => {
      assert.equal((await loadHub(page)).reply, "loaded");
      const other = { from: "hub", repo: REPO, revision: COMMIT };
      assert.equal((await load(page, other, access())).reply, "loaded");
      const before = await kept(page);
      assert.equal(before.models.length, 2);
      const once = await ask(page, { request: "forget", model: before.models[0].id });
      assert.equal(once.models.length, 1);
      // Deleting what the other one shares fails this.
      assert.equal(once.models[0].kept_bytes, once.models[0].bytes);
      const none = await ask(page, { request: "forget", model: once.models[0].id });
      assert.deepEqual(none.models, []);
      assert.deepEqual(await everything(page), []);
      assert.match((await ask(page, { request: "forget", model: "x" })).message, /no model `x` is kept/);
    }, query));

  test(name("two pages load the same model at once"), { timeout: 240_000 }, () =>
    fresh(async (page, context) => {
      const other = await openWorker(context, server, query);
      const both = await Promise.all([loadHub(page), loadHub(other)]);
      assert.deepEqual(both.map(({ reply }) => reply), ["loaded", "loaded"], JSON.stringify(both));
      // Without a lock each brings the weights for itself, or one fails.
      assert.equal(files(hub.requests).filter(({ server }) => server === "storage").length, 2);
    }, query));
}

/** Names of all that the page keeps, in the private file system and in caches. */
const everything = (page) =>
  page.evaluate(async () => {
    const names = [];
    const root = await navigator.storage.getDirectory();
    for await (const [name, handle] of root.entries()) {
      if (handle.kind === "directory") for await (const file of handle.keys()) names.push(`${name}/${file}`);
    }
    for (const name of await caches.keys()) {
      for (const { url } of await (await caches.open(name)).keys()) names.push(url);
    }
    return names;
  });

test("a file shorter than its list says is refused, and a server without ranges begins anew", { timeout: 240_000 }, () =>
  fresh(async (page) => {
    hub.endAfter = 60_000;
    await fails(page, /cut short: 60000 of \d+ bytes came/);
    hub.reset();
    hub.ignoresRanges = true;
    // Appending the whole file to what was there fails this.
    await loadsAndWrites(page);
  }));

test("a partial download is deleted with its model", { timeout: 240_000 }, () =>
  fresh(async (page) => {
    await breaks(page, /cut short/);
    const { models } = await kept(page);
    await ask(page, { request: "forget", model: models[0].id });
    assert.deepEqual(await everything(page), []);
  }));

test("the access token goes to the endpoint and to nobody else", { timeout: 240_000 }, () =>
  fresh(async (page) => {
    hub.token = "hf_secret";
    await fails(page, /401.*access token/);
    await fails(page, /401.*another access token/, { token: "hf_wrong" });
    await loadsAndWrites(page, { token: "hf_secret" });
    const told = new Set(hub.requests.filter(({ authorization }) => authorization).map(({ server }) => server));
    assert.deepEqual([...told], ["hub"]);
    assert.ok(hub.requests.some(({ server }) => server === "storage"));
    const texts = await page.evaluate(async () => {
      const all = [JSON.stringify(localStorage)];
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("understory");
      for await (const [name, handle] of folder.entries()) {
        if (name.endsWith(".json")) all.push(await (await handle.getFile()).text());
      }
      return all.join();
    });
    assert.ok(texts.includes(REPO) && !texts.includes("hf_secret"));
  }));

test("what the hub refuses is explained", { timeout: 240_000 }, () =>
  fresh(async (page) => {
    for (const [status, pattern] of [
      [401, /no such repository, it is private/],
      [403, /accept the model's terms/],
      [404, /has no forest\/sapling at revision `main` \(404\)/],
      [429, /too many requests/],
      [500, /answered 500 .* try again later/],
    ]) {
      hub.status = status;
      await fails(page, pattern);
    }
    hub.reset();
    hub.cors = {};
    await fails(page, /gave no answer .*\(CORS\)/);
    hub.reset();
    await fails(page, /the endpoint `http:\/\/example\.org` is not safe/, { endpoint: "http://example.org" });
    const bad = await load(page, { from: "hub", repo: "sapling", revision: null }, access());
    assert.match(bad.message, /`sapling` names no repository: expected owner\/name/);
    assert.deepEqual((await kept(page)).models, []);
  }));

test("a model that cannot be run is refused before its weights come", { timeout: 240_000 }, async () => {
  const other = await startHub(join(FIXTURES, "gpt2"), REPO);
  const config = JSON.parse(other.files.get("config.json"));
  other.files.set("config.json", Buffer.from(JSON.stringify({ ...config, model_type: "mamba", architectures: ["Mamba"] })));
  await fresh(async (page) => {
    const failed = await load(page, MODEL, { hub: { endpoint: other.endpoint } });
    assert.match(failed.message, /cannot be used: unknown architecture `mamba`/);
    assert.deepEqual(files(other.requests).filter(({ path }) => path.endsWith(".safetensors")), []);
    assert.deepEqual(await everything(page), []);
    other.files.delete("config.json");
    other.files.delete("model.safetensors");
    other.files.set("pytorch_model.bin", Buffer.from("x"));
    const empty = await load(page, MODEL, { hub: { endpoint: other.endpoint } });
    assert.match(empty.message, /no config\.json, neither model\.safetensors .*it has pytorch_model\.bin/);
  });
  other.stop();
});

test("where there is no room, it is said how much is needed and what can go", { timeout: 240_000 }, () =>
  fresh(async (page, context) => {
    const devtools = await context.newCDPSession(page);
    const quota = (quotaSize) => devtools.send("Storage.overrideQuotaForOrigin", { origin: new URL(server.url).origin, quotaSize });
    await quota(180_000);
    await fails(page, /no room: [\d.]+ KiB more are needed; .* are in use\. .*kept: forest\/sapling \([\d.]+ KiB\)/);
    await quota(undefined);
    hub.requests.length = 0;
    await loadsAndWrites(page);
    // Starting over with what was kept fails this.
    assert.match(files(hub.requests).find(({ server }) => server === "storage").range, /^bytes=[1-9]/);
  }));

test("the bundled model loads again when the page's server is gone", { timeout: 240_000 }, () =>
  fresh(async (page, context) => {
    const tales = { from: "bundled", name: "tales-draft" };
    assert.equal((await load(page, tales)).reply, "loaded");
    await context.route("**/models/**", (route) => route.abort());
    const again = await load(page, tales);
    assert.equal(again.reply, "loaded", JSON.stringify(again));
    assert.match((await load(page, { from: "bundled", name: "tales" })).message, /cannot fetch models\/index\.json/);
  }));

/** Hands a folder of this machine to the page's worker, as a person's choice in a file dialogue. */
async function hand(page, folder, name) {
  await page.setContent('<input type="file" webkitdirectory>');
  await page.locator("input").setInputFiles(folder);
  await page.evaluate((folder) => {
    const files = [...document.querySelector("input").files];
    window.worker.postMessage({ folder, files: files.map((file) => [file.webkitRelativePath.replace(/^[^/]*\//, ""), file]) });
  }, name);
}

test("a folder of each family writes what transformers wrote", { timeout: 600_000 }, () =>
  fresh(async (page) => {
    const families = (await readdir(FIXTURES, { withFileTypes: true })).filter((entry) => entry.isDirectory());
    assert.ok(families.length >= 7);
    for (const { name } of families) {
      await hand(page, join(FIXTURES, name), name);
      const loaded = await load(page, { from: "folder", name });
      assert.equal(loaded.reply, "loaded", JSON.stringify(loaded));
      const { token_ids, greedy_ids } = await golden(name);
      const generated = await greedy(page, token_ids, 24);
      assert.deepEqual(generated.token_ids, greedy_ids.slice(0, 24), name);
    }
    // Folders stay where they are.
    assert.deepEqual((await kept(page)).models, []);
  }));

test("a folder without a model says all that it lacks", { timeout: 240_000 }, () =>
  fresh(async (page) => {
    await hand(page, join(FIXTURES, "..", "web", "static"), "static");
    const failed = await load(page, { from: "folder", name: "static" });
    assert.match(failed.message, /`static` cannot be used: it has no config\.json, no tokenizer\.json, neither model/);
    const unknown = await load(page, { from: "folder", name: "elsewhere" });
    assert.match(unknown.message, /`elsewhere` is not open; choose it again/);
  }));
