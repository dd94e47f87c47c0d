// The engine's worker behind a promise a request, in a page of its own.

/** Opens `blank.html` in `context` and starts a worker there; `query` goes to its address. */
export async function openWorker(context, server, query = "") {
  const page = await context.newPage();
  await page.goto(`${server.url}blank.html`);
  await startWorker(page, query);
  return page;
}

/** Starts a worker in a page that is open, in place of the one before. */
export function startWorker(page, query = "") {
  return page.evaluate(async (query) => {
    window.worker?.terminate();
    const worker = (window.worker = new Worker(`./worker.js${query}`, { type: "module" }));
    const waiting = new Map();
    let last = 0;
    window.progress = [];
    const ready = new Promise((resolve) => waiting.set(0, resolve));
    worker.onmessage = ({ data }) => {
      const { id, body } = JSON.parse(data);
      if (body.reply === "progress") window.progress.push(body);
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
  }, query);
}

export const ask = (page, body) => page.evaluate((body) => window.ask(body), body);

export const load = (page, target, more = {}) =>
  ask(page, { request: "load", target, draft: null, dtype: "f32", profile: null, adapter: null, ...more });

/** Greedy tokens after `tokens`. */
export async function greedy(page, tokens, most) {
  const generated = await ask(page, {
    request: "generate",
    prompt: { tokens },
    max_new_tokens: most,
    ignore_eos: true,
    stop: [],
    sampling: { temperature: 0, top_k: 0, top_p: 1, min_p: 0, repetition_penalty: 1, seed: 0 },
    method: { name: "ar" },
  });
  return generated;
}
