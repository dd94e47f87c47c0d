// A Markdown table over raw runs (JSON lines, see llamacpp.mjs): for each engine and backend the median over
// runs with the smallest and largest, and how many of its first tokens agree with the first engine's; then, where
// Understory is among them, ratios of TPOT: one for each round, of which the median is given.
//
//   node summary.mjs RAW.jsonl
import { readFileSync } from 'node:fs';

const runs = readFileSync(process.argv[2], 'utf8').split('\n').filter(Boolean).map(JSON.parse);
const groups = new Map();
for (const run of runs) {
  const name = `${run.engine} ${run.backend}`;
  groups.set(name, [...(groups.get(name) ?? []), run]);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function cell(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (known.length === 0) return '';
  return `${median(known).toFixed(2)} (${Math.min(...known).toFixed(2)}-${Math.max(...known).toFixed(2)})`;
}

const gaps = (run) => run.emit_ms.slice(1).map((at, i) => at - run.emit_ms[i]);
const reference = runs[0].token_ids;

console.log('| engine | device | runs | first TTFT ms | TTFT ms | TPOT ms | median gap ms | tokens | agree |');
console.log('|---|---|---|---|---|---|---|---|---|');
for (const [name, group] of groups) {
  const column = (field) => cell(group.map((run) => run[field]));
  const agree = Math.min(
    ...group.map(({ token_ids: ids }) => {
      const differs = ids.findIndex((id, i) => id !== reference[i]);
      return differs < 0 ? ids.length : differs;
    }),
  );
  const device = group[0].device;
  const cells = [
    name,
    typeof device === 'string' ? device : (device?.name ?? device?.label ?? ''),
    group.length,
    column('first_ttft_ms'),
    column('ttft_ms'),
    column('tpot_ms'),
    cell(group.map((run) => median(gaps(run)))),
    group[0].n_out,
    `${agree} of ${group[0].n_out}`,
  ];
  console.log(`| ${cells.join(' | ')} |`);
}

const ours = groups.get('understory wgpu');
if (ours) {
  const ratio = (of, to) => cell(of.slice(0, to.length).map((run, round) => run.tpot_ms / to[round].tpot_ms));
  const rows = [
    ['burn wgpu f32', 'burn reference / Understory', (theirs) => ratio(theirs, ours), 'at least 5'],
    ['llama.cpp vulkan', 'llama.cpp Vulkan / Understory', (theirs) => ratio(theirs, ours), 'at least 10 on lavapipe'],
    ['llama.cpp cpu', 'Understory / llama.cpp CPU', (theirs) => ratio(ours, theirs), 'at most 5 on lavapipe'],
  ];
  console.log('\n| TPOT of | ratio: median over rounds (smallest-largest) | aim |');
  console.log('|---|---|---|');
  for (const [name, label, value, aim] of rows) {
    if (groups.has(name)) console.log(`| ${label} | ${value(groups.get(name))} | ${aim} |`);
  }
}
