// The table and the ratios of a run of run.mjs: medians over rounds, smallest and largest beside them.

const median = (values) => {
  const sorted = values.filter(Number.isFinite).toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const shown = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
const range = (values) => (values.length ? `${shown(median(values))} (${shown(Math.min(...values))}-${shown(Math.max(...values))})` : "—");

const tpot = ({ at_ms }) => (at_ms.length > 1 ? (at_ms.at(-1) - at_ms[0]) / (at_ms.length - 1) : NaN);

/** What a round of one engine comes to, in milliseconds. */
function figures(result) {
  const [cold, ...warm] = result.runs;
  return {
    load: result.load_ms,
    cold: result.load_ms + cold.at_ms[0],
    ttft: median(warm.map((run) => run.at_ms[0])),
    tpot: median(warm.map(tpot)),
    syncs: median(warm.map((run) => run.host_syncs_per_token ?? NaN)),
  };
}

/** The longest beginning that two texts share, in characters. */
function agreement(a, b) {
  let n = 0;
  while (n < Math.min(a.length, b.length) && a[n] === b[n]) n += 1;
  return n;
}

export function summary(results) {
  const names = [...new Set(results.map((result) => result.engine))];
  const good = (name) => results.filter((result) => result.engine === name && !result.error);
  const columns = (name) => {
    const all = good(name).map(figures);
    return ["load", "cold", "ttft", "tpot", "syncs"].map((key) => all.map((figure) => figure[key]).filter(Number.isFinite));
  };
  const lines = [
    "| engine | load ms | load to first token, cold, ms | TTFT, warm, ms | TPOT ms | host syncs a token | failed |",
    "|---|---|---|---|---|---|---|",
    ...names.map((name) => {
      const failed = results.filter((result) => result.engine === name && result.error).length;
      return `| ${name} (${good(name)[0]?.version ?? "never loaded"}) | ${columns(name).map(range).join(" | ")} | ${failed} |`;
    }),
    "",
  ];
  const own = "understory ar";
  const pairs = names.filter((name) => name !== own && good(name).length && good(own).length);
  if (pairs.length) {
    lines.push(`Of the same round, over \`${own}\` (above 1: \`${own}\` is faster):`, "");
    lines.push("| engine | cold first token | warm TTFT | TPOT | characters of the first text that agree |", "|---|---|---|---|---|");
    for (const name of pairs) {
      const rounds = good(name).flatMap((result) => {
        const mine = good(own).find((other) => other.round === result.round);
        return mine ? [[figures(result), figures(mine), agreement(result.runs[0].text, mine.runs[0].text), mine.runs[0].text.length]] : [];
      });
      const ratio = (key) => range(rounds.map(([theirs, ours]) => theirs[key] / ours[key]));
      const same = rounds.map(([, , same]) => same);
      lines.push(`| ${name} | ${["cold", "ttft", "tpot"].map(ratio).join(" | ")} | ${Math.min(...same)} of ${rounds[0]?.[3]} |`);
    }
  }
  return `${lines.join("\n")}\n`;
}
