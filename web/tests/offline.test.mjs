// The page without a network, and the change to a new version of it.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DIST, launch, serve } from "./browser.mjs";

/** Until the service worker has all files and the engine is ready. */
async function visited(page) {
  await page.getByRole("button", { name: "Generate", exact: true }).and(page.locator(":enabled")).waitFor({ timeout: 240_000 });
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
}

/** A page of a server over `folder`, in a browser of its own; `use(page, server, context)`. */
async function withPage(folder, use) {
  const server = await serve(folder);
  const browser = await launch();
  try {
    const context = await browser.newContext();
    await use(await context.newPage(), server, context);
  } finally {
    await browser.close();
    server.stop();
  }
}

test("after one visit the page loads and writes without a network and without its server", { timeout: 600_000 }, async () => {
  await withPage(undefined, async (page, server, context) => {
    await page.goto(server.url);
    await visited(page);
    server.stop();
    await context.setOffline(true);
    await page.reload();
    await visited(page);
    await page.getByText("Sampling and length").click();
    await page.getByLabel("new tokens", { exact: true }).fill("8");
    await page.getByLabel("Method", { exact: true }).selectOption("ar (plain decoding)");
    await page.getByRole("button", { name: "Generate", exact: true }).click();
    await page.locator("dt", { hasText: /^TPOT / }).waitFor({ timeout: 60_000 });
    assert.equal(await page.locator(".text > span:not(.prompt)").count(), 8);
  });
});

/** The service worker's head for changed files, as `cargo xtask web` writes it. */
async function publish(folder, changes) {
  const path = join(folder, "sw.js");
  const [, list, ...script] = (await readFile(path, "utf8")).split("\n");
  const files = JSON.parse(list.slice("const FILES = ".length, -1));
  for (const [file, change] of Object.entries(changes)) {
    const text = change(await readFile(join(folder, file), "utf8"));
    await writeFile(join(folder, file), text);
    files[file] = createHash("sha256").update(text).digest("hex");
  }
  const version = createHash("sha256").update(JSON.stringify(files)).digest("hex").slice(0, 16);
  await writeFile(path, [`const VERSION = "${version}";`, `const FILES = ${JSON.stringify(files)};`, ...script].join("\n"));
}

test("a new version waits, is announced, and comes as a whole", { timeout: 600_000 }, async () => {
  const root = `${await mkdtemp(join(tmpdir(), "understory-dist-"))}/`;
  const folder = join(root, "some/where/");
  try {
    await cp(DIST, folder, { recursive: true });
    // From a folder below: nothing may take the page for the root of its host.
    await withPage(root, async (page, server) => {
      await page.goto(`${server.url}some/where/`);
      await visited(page);
      await page.reload();
      await visited(page);
      await publish(folder, {
        "style.css": (text) => `${text}\n:root { --version: second; }\n`,
        "start.js": (text) => `window.version = "second";\n${text}`,
      });
      await page.evaluate(() => navigator.serviceWorker.getRegistration().then((it) => it.update()));
      const notice = page.getByText("A new version is ready", { exact: false });
      await notice.waitFor({ timeout: 60_000 });
      const shown = () => page.evaluate(() => ({
        style: getComputedStyle(document.documentElement).getPropertyValue("--version").trim(),
        script: window.version,
      }));
      // A worker that takes over at once, or one that asks the network first, has new files here.
      await page.reload();
      await notice.waitFor({ timeout: 60_000 });
      assert.deepEqual(await shown(), { style: "", script: undefined });
      const loaded = page.waitForEvent("load");
      await page.getByRole("button", { name: "Start it", exact: true }).click();
      await loaded;
      await visited(page);
      assert.deepEqual(await shown(), { style: "second", script: "second" });
      assert.equal(await notice.count(), 0);
      assert.equal(await page.evaluate(async () => (await caches.keys()).length), 1);
    });
  } finally {
    await rm(root, { recursive: true });
  }
});

test("a version whose files are not those of its list is not installed", { timeout: 600_000 }, async () => {
  const folder = `${await mkdtemp(join(tmpdir(), "understory-dist-"))}/`;
  try {
    await cp(DIST, folder, { recursive: true });
    await publish(folder, {});
    await writeFile(join(folder, "style.css"), "/* half an upload */");
    await withPage(folder, async (page, server) => {
      await page.goto(server.url);
      const ended = await page.evaluate(async () => {
        const { installing } = await navigator.serviceWorker.register("./sw.js");
        const over = () => ["redundant", "activated"].includes(installing.state);
        if (!over()) await new Promise((end) => installing.addEventListener("statechange", () => over() && end()));
        return installing.state;
      });
      // A worker that keeps whatever comes is activated here.
      assert.equal(ended, "redundant");
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});
