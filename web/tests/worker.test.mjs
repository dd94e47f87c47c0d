// The engine in its worker: that every method gives one text, the native engine's, and that faults do not change it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { launch, serve } from "./browser.mjs";
import { GREEDY, LOAD, METHODS, SAMPLED, generate, startWorker } from "./engine.mjs";

let server, browser, engine;

before(async () => {
  server = await serve();
  browser = await launch();
  engine = await startWorker(browser, server);
});

after(async () => {
  await browser?.close();
  server?.stop();
});

/** The tokens of plain decoding by the native engine on the same kernels, those for CPU adapters. */
function native({ temperature, top_p, seed }) {
  const args = ["generate", "Once upon a time", "--raw", "--model", "tales", "--method", "ar", "--profile", "cpu", "--dtype", "f16"];
  args.push("--max-new-tokens", "24", "--ignore-eos", "--json", "--temperature", temperature, "--top-p", top_p, "--seed", seed);
  return JSON.parse(execFileSync(process.env.UNDERSTORY_BIN, args.map(String))).token_ids;
}

async function tokens(request) {
  const generated = await engine.ask(request);
  assert.equal(generated.reply, "generated", JSON.stringify(generated));
  return generated.token_ids;
}

test("the bundled pair loads on a device that has a name", { timeout: 300_000 }, async () => {
  const loaded = await engine.ask(LOAD);
  assert.equal(loaded.reply, "loaded", JSON.stringify(loaded));
  assert.match(loaded.device.name, /swiftshader/i);
  assert.equal(loaded.profile, "cpu");
  const costs = await engine.ask({ request: "calibrate", cached: null });
  assert.equal(costs.lossless, "verified", JSON.stringify(costs));
});

for (const [kind, sampling] of Object.entries({ greedy: GREEDY, sampled: SAMPLED })) {
  test(`${kind}, every method gives the native engine's tokens`, { timeout: 300_000 }, async () => {
    const expected = native(sampling);
    assert.equal(expected.length, 24);
    for (const method of METHODS) {
      assert.deepEqual(await tokens(generate(method, sampling)), expected, JSON.stringify(method));
    }
  });
}

test("a stop ends the text where it is, and the next one is whole", { timeout: 120_000 }, async () => {
  const request = { ...generate({ name: "ar" }), max_new_tokens: 200 };
  const stopped = (await engine.all(request, "emission", "stop")).at(-1);
  assert.equal(stopped.finish_reason, "cancelled");
  assert.ok(stopped.token_ids.length < 200);
  const whole = await tokens(generate({ name: "ar" }));
  assert.deepEqual(whole, native(GREEDY));
});

// Losing what was generated before the loss, or giving it out twice, fails this.
test("a text goes on after its device was destroyed, and is the same", { timeout: 300_000 }, async () => {
  for (const method of [{ name: "ar" }, { name: "auto" }]) {
    const replies = await engine.all({ ...generate(method, SAMPLED), max_new_tokens: 48 }, "emission", "destroy_device");
    const lost = replies.filter((reply) => reply.reply === "recovering");
    assert.equal(lost.length, 1, JSON.stringify(replies.at(-1)));
    assert.equal(replies.at(-1).reply, "generated", JSON.stringify(replies.at(-1)));
    const given = replies.filter((reply) => reply.event === "emission").flatMap((emission) => emission.token_ids);
    assert.deepEqual(given, replies.at(-1).token_ids);
    assert.deepEqual(given.slice(0, 24), native(SAMPLED));
  }
});

test("what is no request, and what cannot be done, is answered", async () => {
  const refused = await engine.ask({ ...generate({ name: "linear", k: 64 }) });
  assert.match(refused.message, /k = 64|64/);
  const unknown = await engine.ask({ ...LOAD, target: { from: "bundled", name: "nothing" } });
  assert.match(unknown.message, /nothing.*known: .*tales/);
  // The model that was there is still there.
  assert.deepEqual(await tokens(generate({ name: "ar" })), native(GREEDY));
});
