// One measured greedy generation by llama.cpp, as one JSON line on stdout. One process a run, so that a
// script can interleave runs of several engines; within it, as many uncounted generations first as
// --warmup says (the first of them is reported apart as `first_ttft_ms`).
//
//   node llamacpp.mjs --model M.gguf --backend cpu|vulkan [--prompt TEXT | --prompt-ids 1,2,3] [--n-prompt N]
//                     [--n-out N] [--threads N] [--warmup N]
//
// PEERS_DIR: where setup.sh put node_modules. The Vulkan backend skips adapters of type CPU (lavapipe) unless
// GGML_VK_VISIBLE_DEVICES names one, and then runs on the CPU without a word: this script asks for the
// device's name and refuses to go on without one.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values: args } = parseArgs({
  options: {
    model: { type: 'string' },
    backend: { type: 'string', default: 'cpu' },
    prompt: { type: 'string', default: 'Once upon a time there was a king who had three sons' },
    'prompt-ids': { type: 'string' },
    'n-prompt': { type: 'string' },
    'n-out': { type: 'string', default: '64' },
    threads: { type: 'string', default: '2' },
    warmup: { type: 'string', default: '1' },
  },
});

function fail(message) {
  console.error(`llamacpp.mjs: ${message}`);
  process.exit(1);
}

if (!args.model) fail('--model M.gguf is missing');
if (!['cpu', 'vulkan'].includes(args.backend)) fail(`--backend ${args.backend}: expected cpu or vulkan`);
if (!process.env.PEERS_DIR) fail('PEERS_DIR is not set (the folder that setup.sh prints)');

const installed = join(process.env.PEERS_DIR, 'node_modules', 'node-llama-cpp');
const { getLlama } = await import(pathToFileURL(join(installed, 'dist', 'index.js')));

const started = performance.now();
const vulkan = args.backend === 'vulkan';
const llama = await getLlama({
  gpu: vulkan ? 'vulkan' : false,
  build: 'never',
  progressLogs: false,
  logLevel: 'error',
  vramPadding: 0,
  maxThreads: Number(args.threads),
});
const devices = vulkan ? await llama.getGpuDeviceNames() : [];
if (vulkan && (llama.gpu !== 'vulkan' || devices.length === 0)) {
  fail('the Vulkan backend found no device; set GGML_VK_VISIBLE_DEVICES=0 and VK_ICD_FILENAMES');
}
const model = await llama.loadModel({ modelPath: args.model, gpuLayers: vulkan ? 'max' : 0 });

// Special tokens in the text are tokens, and the first one that the model wants is there, as with `understory generate --raw`.
const first = model.tokens.shouldPrependBosToken ? [model.tokens.bos] : [];
let prompt = args['prompt-ids'] ? args['prompt-ids'].split(',').map(Number) : [...first, ...model.tokenize(args.prompt, true)];
if (args['n-prompt']) {
  const text = prompt;
  prompt = Array.from({ length: Number(args['n-prompt']) }, (_, i) => text[i % text.length]);
}
const nOut = Number(args['n-out']);
const context = await model.createContext({
  contextSize: prompt.length + nOut,
  threads: { ideal: Number(args.threads), min: Number(args.threads) },
});
const loadMs = performance.now() - started;

/** Greedy tokens with the moment each was there, in ms from the request; end tokens do not end it. */
async function generate() {
  const sequence = context.getSequence();
  const ids = [];
  const emitMs = [];
  const t0 = performance.now();
  for await (const id of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    emitMs.push(performance.now() - t0);
    ids.push(id);
    if (ids.length === nOut) break;
  }
  sequence.dispose();
  return { ids, emitMs };
}

const ms = (value) => Number(value.toFixed(3));
let firstTtftMs = null;
for (let i = 0; i < Number(args.warmup); i++) {
  const { emitMs } = await generate();
  firstTtftMs ??= emitMs[0];
}
const { ids, emitMs } = await generate();
console.log(
  JSON.stringify({
    engine: 'llama.cpp',
    backend: args.backend,
    device: devices.join(', ') || `CPU, ${args.threads} threads`,
    ttft_ms: ms(emitMs[0]),
    tpot_ms: ids.length > 1 ? ms((emitMs.at(-1) - emitMs[0]) / (ids.length - 1)) : null,
    load_ms: ms(loadMs),
    first_ttft_ms: firstTtftMs === null ? null : ms(firstTtftMs),
    n_prompt: prompt.length,
    n_out: ids.length,
    prompt_token_ids: prompt,
    token_ids: ids,
    emit_ms: emitMs.map(ms),
  }),
);
process.exit(0);
