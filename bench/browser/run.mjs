// Greedy decoding of the bundled model, or of one GGUF file, by Understory, transformers.js (the bundled model alone) and
// wllama in one headless Chromium: each engine
// in a fresh profile a round, as a first visitor's (in a private window a page's files are another process's memory),
// their order reversed every other round, so that a drifting machine favours none.
//
//   node bench/browser/run.mjs [--rounds N] [--warm N] [--n-out N] [--engines a,b] [--model FILE.gguf]
//                            [--out DIR]
//
// Raw runs go to DIR/raw.jsonl as they come, a table to DIR/summary.md. See bench/README.md.
import { execFileSync } from "node:child_process";
import { appendFileSync, createReadStream, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { basename, dirname, extname, join, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { launchProfile } from "../../web/tests/browser.mjs";
import { summary } from "./summary.mjs";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = join(HERE, "../..");
const ENGINES = {
  "understory ar": "understory.html?method=ar",
  "understory auto": "understory.html?method=auto",
  "transformers.js webgpu": "transformers.html?device=webgpu",
  "transformers.js wasm": "transformers.html?device=wasm",
  "wllama webgpu": "wllama.html?device=webgpu",
  "wllama wasm": "wllama.html?device=wasm",
};
// No two in a row share a first token: an engine that keeps the KV cache of what it saw gains nothing.
const PROMPTS = [
  "Once upon a time there was a king who had three sons",
  "There was once a poor woodcutter who lived near a great forest",
  "The old woman said to the cat that the mice had eaten",
];
const LIMIT_MS = 400_000;
const PAUSE_MS = 20_000;
/** A browser that has just started has things of its own to do. */
const SETTLE_MS = 3000;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    warm: { type: "string", default: "3" },
    "n-out": { type: "string", default: "48" },
    engines: { type: "string" },
    model: { type: "string" },
    out: { type: "string", default: join(ROOT, "target/browser-bench") },
  },
});
const count = (name) => {
  const n = Number(values[name]);
  if (!Number.isInteger(n) || n < 1) throw new Error(`--${name} ${values[name]}: expected a whole number from 1`);
  return n;
};
const [rounds, warm, nOut] = ["rounds", "warm", "n-out"].map(count);
const offered = Object.keys(ENGINES).filter((name) => !values.model || !name.startsWith("transformers"));
const names = values.engines?.split(",") ?? offered;
for (const name of names) {
  if (!offered.includes(name)) throw new Error(`--engines ${name}: expected of ${offered.join(", ")}`);
}
const model = values.model && resolve(values.model);
const query = model ? `&model=/model/${encodeURIComponent(basename(model))}` : "";

const peers = execFileSync(join(HERE, "setup.sh"), { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
const FOLDERS = { dist: join(ROOT, "web/dist"), peers, pages: join(HERE, "pages"), ...(model && { model: dirname(model) }) };
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" };

// Isolated, as engines with threads need it.
const HEADERS = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp", "cache-control": "no-store" };
const server = createServer((request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
  const [, folder, ...rest] = path.split("/");
  const file = join(FOLDERS[folder] ?? "/nowhere", ...rest);
  const found = statSync(file, { throwIfNoEntry: false });
  if (!found?.isFile()) return response.writeHead(404, HEADERS).end();
  const type = TYPES[extname(file)] ?? "application/octet-stream";
  response.writeHead(200, { ...HEADERS, "content-type": type, "content-length": found.size });
  createReadStream(file).pipe(response);
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const origin = `http://127.0.0.1:${server.address().port}`;

mkdirSync(values.out, { recursive: true });
const raw = join(values.out, "raw.jsonl");
writeFileSync(raw, "");
const machine = [
  `date: ${new Date().toISOString()}`,
  `machine: ${process.platform} ${release()}, ${cpus().length} cores, ${cpus()[0].model}`,
  `browser: Chromium ${await version()}, WebGPU on SwiftShader, cross-origin isolated`,
  `load before: ${loadavg().map((load) => load.toFixed(2)).join(" ")}`,
  `case: ${model ? `${basename(model)}, as the file has it` : "tales; Understory f16, transformers.js fp32, wllama f16"}, greedy, n_out ${nOut}; one cold request, ${PAUSE_MS / 1000} s of pause, ${warm} warm requests a round; ${rounds} rounds`,
];

/** What `use` makes of a browser with a fresh profile. */
async function withProfile(use) {
  const folder = mkdtempSync(join(tmpdir(), "understory-bench-"));
  const context = await launchProfile(folder);
  try {
    return await use(context);
  } finally {
    await context.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function version() {
  return withProfile((context) => context.browser().version());
}

function measure(name, round) {
  return withProfile((context) => measureIn(context, name, round));
}

async function measureIn(context, name, round) {
  const page = await context.newPage();
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  try {
    await page.goto(`${origin}/pages/${ENGINES[name]}${query}`);
    await page.waitForFunction("window.engine !== undefined");
    const run = ([prompts, n, pause]) => {
      const all = async () => {
        const begun = performance.now();
        const version = await window.engine.load();
        const load_ms = performance.now() - begun;
        const runs = [];
        for (const prompt of prompts) {
          // Warm means that everything that comes after a first request is over.
          if (runs.length === 1) await new Promise((resolve) => setTimeout(resolve, pause));
          runs.push({ prompt, ...(await window.engine.generate(prompt, n)) });
        }
        return { version, load_ms, runs };
      };
      return all();
    };
    const prompts = Array.from({ length: warm + 1 }, (_, nth) => PROMPTS[(round + nth) % PROMPTS.length]);
    let timer;
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`no result in ${LIMIT_MS} ms`)), LIMIT_MS)));
    const result = await Promise.race([page.evaluate(run, [prompts, nOut, PAUSE_MS]), late]);
    clearTimeout(timer);
    return { engine: name, round: round + 1, ...result };
  } catch (error) {
    return { engine: name, round: round + 1, error: String(error).slice(0, 400) };
  }
}

for (let round = 0; round < rounds; round += 1) {
  for (const name of round % 2 ? names.toReversed() : names) {
    const result = await measure(name, round);
    const said = result.error ?? `load ${result.load_ms.toFixed(0)} ms, ${result.runs.map((run) => run.at_ms[0]?.toFixed(0)).join("/")} ms to first tokens`;
    console.error(`round ${round + 1} of ${rounds}: ${name}: ${said}`);
    appendFileSync(raw, `${JSON.stringify(result)}\n`);
  }
}
server.close();
machine.push(`load after: ${loadavg().map((load) => load.toFixed(2)).join(" ")}`);
writeFileSync(join(values.out, "machine.txt"), `${machine.join("\n")}\n`);
const results = readFileSync(raw, "utf8").trim().split("\n").map((line) => JSON.parse(line));
const text = `${summary(results)}\n${machine.map((line) => `    ${line}`).join("\n")}\n`;
writeFileSync(join(values.out, "summary.md"), text);
console.log(text);
