// One greedy generation by the `understory` binary as the same JSON line that llamacpp.mjs prints.
// The process is fresh, so its TTFT is that of a first request and goes to `first_ttft_ms`; `ttft_ms` stays null.
//
//   node understory.mjs --binary PATH --model M --prompt TEXT --n-out N [--dtype f16] [--device N] [--profile P]
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values: args } = parseArgs({
  options: {
    binary: { type: 'string' },
    model: { type: 'string', default: 'tales' },
    prompt: { type: 'string' },
    'n-out': { type: 'string', default: '64' },
    dtype: { type: 'string', default: 'f16' },
    device: { type: 'string' },
    profile: { type: 'string' },
  },
});

const command = ['generate', args.prompt, '--model', args.model, '--dtype', args.dtype, '--raw', '--json', '--method', 'ar'];
command.push('--temperature', '0', '--ignore-eos', '--max-new-tokens', args['n-out']);
if (args.device) command.push('--device', args.device);
if (args.profile) command.push('--profile', args.profile);
const child = spawnSync(args.binary, command, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 28 });
if (child.error || child.status !== 0) {
  console.error(`understory.mjs: ${args.binary} failed: ${child.error ?? `exit status ${child.status}`}`);
  process.exit(1);
}
const report = JSON.parse(child.stdout);
const { metrics } = report;
console.log(
  JSON.stringify({
    engine: 'understory',
    backend: 'wgpu',
    device: report.device,
    ttft_ms: null,
    tpot_ms: metrics.tpot_ms,
    load_ms: null,
    first_ttft_ms: metrics.ttft_ms,
    n_prompt: report.prompt_token_ids.length,
    n_out: report.token_ids.length,
    prompt_token_ids: report.prompt_token_ids,
    token_ids: report.token_ids,
    emit_ms: metrics.emit_ms,
    phases_ms: metrics.phases_ms,
  }),
);
