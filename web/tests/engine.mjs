// The engine's worker without the page: requests as the page sends them, and the replies to each.

/** Starts a worker in a blank page of `server`; `ask(body, until)` gives the replies to a request, the last one at the end. */
export async function startWorker(browser, server) {
  const page = await browser.newPage();
  page.on("console", (message) => console.log(`[${message.type()}] ${message.text().slice(0, 600)}`));
  await page.goto(`${server.url}blank.html`);
  await page.evaluate(async () => {
    const worker = new Worker("./worker.js", { type: "module" });
    const waiting = new Map();
    let last = 0;
    const ready = new Promise((resolve) => waiting.set(0, { resolve, replies: [] }));
    worker.onmessage = ({ data }) => {
      const { id, body } = JSON.parse(data);
      const asked = waiting.get(id);
      asked?.replies.push(body);
      const more = ["progress", "event", "recovering", "benching"].includes(body.reply);
      if (asked?.first && body.event === asked.first.event) {
        worker.postMessage(JSON.stringify({ id: ++last, body: asked.first.then(id) }));
        asked.first = undefined;
      }
      if (!more) asked?.resolve(asked.replies);
    };
    // At the first event of the kind `at`, another request goes out: "stop" or "destroy_device".
    window.ask = (body, at, then) => {
      const id = ++last;
      const first = at && { event: at, then: (id) => (then === "stop" ? { request: "stop", id } : { request: then }) };
      const replies = new Promise((resolve) => waiting.set(id, { resolve, replies: [], first }));
      worker.postMessage(JSON.stringify({ id, body }));
      return replies;
    };
    await ready;
  });
  const all = (body, at = null, then = null) => page.evaluate(([body, at, then]) => window.ask(body, at, then), [body, at, then]);
  return { page, all, ask: async (body) => (await all(body)).at(-1) };
}

const bundled = (name) => ({ from: "bundled", name });

/** The bundled pair, with the kernels and the storage that the adapter suggests. */
export const LOAD = { request: "load", target: bundled("tales"), draft: bundled("tales-draft"), dtype: "f16", profile: null, adapter: null };

export const GREEDY = { temperature: 0, top_k: 0, top_p: 1, min_p: 0, repetition_penalty: 1, seed: 0 };

export const SAMPLED = { ...GREEDY, temperature: 0.8, top_p: 0.95, seed: 7 };

/** A request of 24 tokens. */
export function generate(method, sampling = GREEDY) {
  const prompt = { text: "Once upon a time" };
  return { request: "generate", prompt, max_new_tokens: 24, ignore_eos: true, stop: [], sampling, method };
}

/** Every method, with parameters that a short text meets the limits of. */
export const METHODS = [
  { name: "ar" },
  { name: "linear", k: 6 },
  { name: "tree", depth: 4, branch: 2, tau: 0.05, budget: 63 },
  { name: "dynatree" },
  { name: "assisted", schedule: { kind: "heuristic", start: 5 } },
  { name: "assisted", schedule: { kind: "confidence", most: 20, threshold: 0.4 } },
  { name: "lookup", ngram: 3, tokens: 10 },
  { name: "auto" },
];
