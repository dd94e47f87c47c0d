// The engine in its worker: the text of every method, and that it is the native engine's.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, serve } from "./browser.mjs";

let server, browser, page;

before(async () => {
  server = await serve();
  browser = await launch();
  page = await browser.newPage();
  page.on("console", (message) => console.log(`[${message.type()}] ${message.text().slice(0, 600)}`));
  await page.goto(`${server.url}blank.html`);
  await page.evaluate(async () => {
    const worker = new Worker("./worker.js", { type: "module" });
    const waiting = new Map();
    let last = 0;
    window.replies = [];
    const ready = new Promise((resolve) => waiting.set(0, resolve));
    worker.onmessage = ({ data }) => {
      const { id, body } = JSON.parse(data);
      if (body.reply === "progress" || body.reply === "event") return;
      waiting.get(id)?.(body);
    };
    window.ask = (body) => {
      const id = ++last;
      const reply = new Promise((resolve) => waiting.set(id, resolve));
      worker.postMessage(JSON.stringify({ id, body }));
      return reply;
    };
    await ready;
  });
});

after(async () => {
  await browser?.close();
  server?.stop();
});

const ask = (body) => page.evaluate((body) => window.ask(body), body);

test("tales loads and every method gives one text", { timeout: 300_000 }, async () => {
  const loaded = await ask({ request: "load", target: { from: "bundled", name: "tales" }, draft: { from: "bundled", name: "tales-draft" }, dtype: "f16", profile: null, adapter: null });
  console.log(JSON.stringify(loaded).slice(0, 3000));
  assert.equal(loaded.reply, "loaded");
  const costs = await ask({ request: "calibrate", cached: null });
  console.log(JSON.stringify(costs));
  const texts = [];
  for (const method of [
    { name: "ar" },
    { name: "linear", k: 6 },
    { name: "tree", depth: 4, branch: 2, tau: 0.05, budget: 63 },
    { name: "dynatree" },
    { name: "assisted", schedule: { kind: "heuristic", start: 5 } },
    { name: "lookup", ngram: 3, tokens: 10 },
    { name: "auto" },
  ]) {
    const generated = await ask({
      request: "generate",
      prompt: { text: "Once upon a time" },
      max_new_tokens: 24,
      ignore_eos: true,
      stop: [],
      sampling: { temperature: 0, top_k: 0, top_p: 1, min_p: 0, repetition_penalty: 1, seed: 0 },
      method,
    });
    assert.equal(generated.reply, "generated", JSON.stringify(generated));
    console.log(method.name, generated.metrics.tpot_ms, generated.metrics.ttft_ms, generated.text);
    texts.push(generated.text);
  }
  assert.equal(new Set(texts).size, 1);
});
