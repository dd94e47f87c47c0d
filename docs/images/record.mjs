// The rounds of one generation as the page's Tree view shows them, a picture a round, light and dark.
//
//   node docs/images/record.mjs FRAMES && python3 docs/images/join.py FRAMES     after `cargo xtask web`

import { mkdirSync } from "node:fs";
import { launch, serve } from "../../web/tests/browser.mjs";

const DIR = process.argv[2];
if (!DIR) throw new Error("usage: node docs/images/record.mjs FRAMES");
const LONG_MS = 240_000;
const ROUNDS = 7;
const MARGIN = 10;

mkdirSync(DIR, { recursive: true });
const server = await serve();
const browser = await launch();
const page = await browser.newPage({ viewport: { width: 860, height: 1400 } });
await page.goto(server.url);

const button = (name) => page.getByRole("button", { name, exact: true });
const enabled = (name) => button(name).and(page.locator(":enabled")).waitFor({ timeout: LONG_MS });

await enabled("Generate");
await page.getByLabel("Prompt", { exact: true }).fill("There was once a king who had three sons");
await page.getByText("Sampling and length").click();
await page.getByLabel("new tokens", { exact: true }).fill("64");
await page.getByLabel("temperature", { exact: true }).fill("0.8");
await page.getByLabel("seed", { exact: true }).fill("7");
await page.getByLabel("Method", { exact: true }).selectOption("tree");
await page.getByText("Sampling and length").click();
await page.getByRole("navigation").getByRole("link", { name: "Tree", exact: true }).click();
await button("Generate").click();
await enabled("Stop");
await enabled("Generate");

// One height for every tree, so that the key below it stays where it is.
await page.addStyleTag({ content: ".trees { height: 412px }" });
for (const colorScheme of ["light", "dark"]) {
  await page.emulateMedia({ colorScheme });
  for (let round = 0; round < ROUNDS; round += 1) {
    await page.getByLabel("Round", { exact: true }).fill(String(round));
    await page.evaluate(() => {
      document.activeElement?.blur();
      scrollTo(0, 0);
    });
    const top = (await page.locator(".scrubber").boundingBox()).y - MARGIN;
    const key = await page.locator(".key.nodes").boundingBox();
    const clip = { x: 0, y: top, width: 860, height: key.y + key.height - top };
    await page.screenshot({ path: `${DIR}/${colorScheme}-${round}.png`, clip });
  }
}

await browser.close();
server.stop();
