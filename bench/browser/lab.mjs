// Scenarios of the latency lab through the page's Bench in a headless Chromium on SwiftShader, one browser with a fresh
// profile each.
//
//   node bench/browser/lab.mjs [--scenarios quick,pair] [--runs N] [--label NAME] [--out DIR]   after cargo xtask web
//
// What the page saves of each report goes to DIR/SCENARIO: report.json, report.html, samples.csv, report.md.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { launchProfile, serve } from "../../web/tests/browser.mjs";

const NAMES = ["quick", "dynatree", "single-request", "pair", "position"];
const FILES = ["report.json", "report.html", "samples.csv", "report.md"];
const LOADED_MS = 240_000;
/** A browser that has just started has things of its own to do. */
const SETTLE_MS = 8000;

const { values } = parseArgs({
  options: {
    scenarios: { type: "string", default: NAMES[0] },
    runs: { type: "string", default: "10" },
    label: { type: "string", default: "" },
    out: { type: "string", default: fileURLToPath(new URL("../../target/browser-lab", import.meta.url)) },
  },
});
const names = values.scenarios.split(",");
for (const name of names) {
  if (!NAMES.includes(name)) throw new Error(`--scenarios ${name}: expected of ${NAMES.join(", ")}`);
}
if (!/^[1-9]\d?$|^100$/.test(values.runs)) throw new Error(`--runs ${values.runs}: expected a whole number from 1 to 100`);

/** Isolated, as the page of `understory serve` is: the clock is fine then. */
const HEADERS = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
const server = await serve(undefined, HEADERS);
try {
  for (const name of names) await measure(name);
} finally {
  server.stop();
}

async function measure(name) {
  const profile = mkdtempSync(join(tmpdir(), "understory-lab-"));
  const context = await launchProfile(profile);
  try {
    const page = await context.newPage();
    await page.goto(`${server.url}#bench`);
    const button = (name) => page.getByRole("button", { name, exact: true });
    await button("Run").and(page.locator(":enabled")).waitFor({ timeout: LOADED_MS });
    await page.getByLabel("Scenario", { exact: true }).selectOption(name);
    await page.getByLabel("Runs of each case", { exact: true }).fill(values.runs);
    await page.getByLabel("Name of this device", { exact: true }).fill(values.label);
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    await button("Run").click();
    const told = setInterval(async () => {
      const said = await page.locator(".progress label").last().textContent().catch(() => null);
      if (said) console.error(`${name}: ${said.trim()}`);
    }, 20_000);
    const save = button("Save report.json");
    await save.or(page.getByRole("alert")).first().waitFor({ timeout: 0 });
    clearInterval(told);
    if (!(await save.isVisible())) throw new Error(`${name}: ${await page.getByRole("alert").first().textContent()}`);
    const folder = join(values.out, name);
    mkdirSync(folder, { recursive: true });
    for (const file of FILES) {
      const [download] = await Promise.all([page.waitForEvent("download"), button(`Save ${file}`).click()]);
      await download.saveAs(join(folder, file));
    }
    console.error(`${name}: ${folder}`);
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}
