// The kernels for GPUs in a browser. The adapter here takes those for CPUs, so nothing else shows that a browser takes these.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, serve } from "./browser.mjs";
import { GREEDY, LOAD, METHODS, SAMPLED, generate, startWorker } from "./engine.mjs";

let server, browser;

before(async () => {
  server = await serve();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.stop();
});

/** The kernels as browsers are given them, `[name, WGSL]` each. */
async function modules() {
  const folder = await mkdtemp(join(tmpdir(), "understory-kernels-"));
  try {
    execFileSync(process.env.UNDERSTORY_BIN, ["kernels", "--quiet", "--wgsl", folder]);
    const all = await readdir(folder);
    const files = all.filter((file) => !all.includes(file.replace(/\.wgsl$/, ".browser.wgsl")));
    assert.ok(files.length < all.length, "some have a text of their own for browsers");
    return await Promise.all(files.map(async (file) => [file, await readFile(join(folder, file), "utf8")]));
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** What the browser says against each of them. */
function faults(page, modules) {
  return page.evaluate(async (modules) => {
    const device = await (await navigator.gpu.requestAdapter()).requestDevice();
    const said = await Promise.all(
      modules.map(async ([name, code]) => {
        const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
        return messages.filter(({ type }) => type === "error").map(({ lineNum, message }) => `${name}:${lineNum} ${message}`);
      }),
    );
    return said.flat();
  }, modules);
}

/** Naga takes it: a barrier that not all threads may reach. */
const REFUSED = "var<private> a: u32; @compute @workgroup_size(64) fn main() { if (a == 1u) { return; } workgroupBarrier(); }";

test("the browser takes every variant of every kernel", { timeout: 300_000 }, async () => {
  const page = await browser.newPage();
  await page.goto(`${server.url}blank.html`);
  const all = await modules();
  assert.ok(all.length > 100, `${all.length} modules`);
  assert.deepEqual(await faults(page, all), []);
  assert.match((await faults(page, [["refused", REFUSED]])).join(), /refused:1 .*uniform/);
});

test("the kernels for GPUs give one text with every method", { timeout: 600_000 }, async () => {
  const engine = await startWorker(browser, server);
  const loaded = await engine.ask({ ...LOAD, profile: "gpu" });
  assert.equal(loaded.reply, "loaded", JSON.stringify(loaded));
  assert.equal(loaded.profile, "gpu");
  for (const sampling of [GREEDY, SAMPLED]) {
    const texts = [];
    for (const method of METHODS) {
      const generated = await engine.ask({ ...generate(method, sampling), max_new_tokens: 10 });
      assert.equal(generated.reply, "generated", JSON.stringify(generated));
      texts.push([JSON.stringify(method), generated.token_ids]);
    }
    for (const [method, ids] of texts) {
      assert.deepEqual(ids, texts[0][1], method);
    }
    assert.equal(texts[0][1].length, 10);
  }
});
