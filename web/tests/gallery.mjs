// Pictures of every view for the README: light, dark and as wide as a phone.
//
//   node web/tests/gallery.mjs [DIR]      after `cargo xtask web`; default: web/gallery

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { launch, serve } from "./browser.mjs";

const DIR = process.argv[2] ?? fileURLToPath(new URL("../gallery", import.meta.url));
const LOOKS = {
  light: { colorScheme: "light", width: 1000 },
  dark: { colorScheme: "dark", width: 1000 },
  phone: { colorScheme: "light", width: 390 },
};
const HIGHEST = 1100;
const LAVAPIPE = fileURLToPath(new URL("../../bench/runs/2026-11-22-lavapipe-2core-quick/report.json", import.meta.url));
const LONG_MS = 240_000;

mkdirSync(DIR, { recursive: true });
const server = await serve();
const browser = await launch();
const page = await browser.newPage();
await page.goto(server.url);

const button = (name) => page.getByRole("button", { name, exact: true });
const enabled = (name) => button(name).and(page.locator(":enabled")).waitFor({ timeout: LONG_MS });
const show = (view) => page.getByRole("navigation").getByRole("link", { name: view, exact: true }).click();

async function picture(name) {
  for (const [look, { colorScheme, width }] of Object.entries(LOOKS)) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 800 });
    await page.evaluate(() => document.fonts.ready);
    const height = Math.min(HIGHEST, await page.evaluate(() => document.documentElement.scrollHeight));
    await page.setViewportSize({ width, height });
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: `${DIR}/${name}-${look}.png` });
  }
  await page.setViewportSize({ width: LOOKS.light.width, height: 800 });
}

await enabled("Generate");
await page.getByLabel("Prompt", { exact: true }).fill("There was once a king who had three sons");
await page.getByText("Sampling and length").click();
await page.getByLabel("new tokens", { exact: true }).fill("64");
await page.getByLabel("temperature", { exact: true }).fill("0.8");
await page.getByLabel("seed", { exact: true }).fill("7");
await page.getByLabel("Method", { exact: true }).selectOption("tree");
await page.getByText("Sampling and length").click();
await button("Generate").click();
await enabled("Stop");
await enabled("Generate");
await page.getByText("Over time").click();
await picture("generate");

await show("Tree");
await page.getByLabel("Round", { exact: true }).fill("0");
await picture("tree");

await show("Side by side");
await button("Run both").click();
await page.locator(".verdict").waitFor({ timeout: LONG_MS });
await enabled("Run both");
await picture("side-by-side");

await show("Models");
await page.locator(".kept li").first().waitFor();
await picture("models");

await show("Device");
await page.locator(".plot").first().waitFor();
await picture("device");

await show("Bench");
await page.getByLabel("Runs of each case", { exact: true }).fill("6");
await page.getByLabel("Name of this device", { exact: true }).fill("SwiftShader in Chromium");
await button("Run").click();
await button("Save report.json").waitFor({ timeout: LONG_MS });
await picture("bench");

await button("Compare").click();
await page.getByLabel("Reports", { exact: true }).setInputFiles(LAVAPIPE);
await page.frameLocator("iframe.document").getByRole("heading", { name: "Reports compared" }).waitFor();
await picture("compare");

await show("Predict");
await button("Measure this device").click();
await page.locator(".predicted h2", { hasText: "This device, as measured" }).waitFor({ timeout: LONG_MS });
await picture("predict");

await show("Starts");
await button("Measure all").click();
await page.locator("tbody").getByText("warm", { exact: true }).first().waitFor({ timeout: LONG_MS });
await enabled("Measure all");
await picture("starts");

await browser.close();
server.stop();
