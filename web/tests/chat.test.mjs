// Chat: the system message and the switches of a model's template reach the model as the template has them, and as
// `understory generate --messages` sends them.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { keepGenerations, launch, serve } from "./browser.mjs";

const BIN = process.env.UNDERSTORY_BIN;
const FIXTURE = fileURLToPath(new URL("../../fixtures/qwen3/", import.meta.url));
const TOKENS = 8;
const UNSET = "the template's default";

// `enable_thinking` tells apart: left out, true, false. `tone` is no switch: its value is written out.
const TEMPLATE = `{%- for message in messages %}[{{ message.role }}]
{{ message.content }}
{% endfor %}{% if tone %}{{ tone }}{% endif %}{% if add_generation_prompt %}[assistant]
{% if enable_thinking is defined %}{% if enable_thinking %}<think>
{% else %}<think></think>
{% endif %}{% endif %}{% if brief %}In short: {% endif %}{% endif %}`;
const NO_SYSTEM =
  "{% for message in messages %}{% if message.role == 'system' %}{{ raise_exception('System role not supported') }}" +
  "{% endif %}{{ message.content }}\n{% endfor %}";

/** What the template makes of `turns`; `end` is what its switches add. */
const rendered = (turns, end) => `${turns.map(([role, content]) => `[${role}]\n${content}\n`).join("")}[assistant]\n${end}`;
const messages = (turns) => turns.map(([role, content]) => ({ role, content }));

let server, browser, page, folder;
const faults = [];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "understory-"));
  await model("chatty", TEMPLATE);
  await model("no-system", NO_SYSTEM);
  await model("no-template");
  server = await serve();
  browser = await launch();
  page = await browser.newPage();
  page.on("pageerror", (error) => faults.push(String(error)));
  await keepGenerations(page);
  await page.goto(`${server.url}#models`);
});

after(async () => {
  await browser?.close();
  server?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** A folder with the fixture's model and this chat template. */
async function model(name, template) {
  const to = join(folder, name);
  await mkdir(to);
  for (const file of await readdir(FIXTURE)) await copyFile(join(FIXTURE, file), join(to, file));
  if (template) await writeFile(join(to, "chat_template.jinja"), template);
}

const show = (view) => page.getByRole("navigation").getByRole("link", { name: view, exact: true }).click();
const button = (name) => page.getByRole("button", { name, exact: true });
const field = (name) => page.getByLabel(name, { exact: true });
const chat = () => page.getByRole("checkbox", { name: "Chat", exact: true });
const options = () => page.locator(".chat-options");
const ready = () => button("Generate").and(page.locator(":enabled")).waitFor({ timeout: 240_000 });

/** Loads the model of that name, without a draft, and shows Generate. */
async function load(name) {
  await show("Models");
  await page.getByRole("group", { name: "Draft", exact: true }).getByLabel("From", { exact: true }).selectOption("none");
  const target = page.getByRole("group", { name: "Target", exact: true });
  await target.getByLabel("From", { exact: true }).selectOption("a folder or file of this computer");
  await target.getByLabel("Folder", { exact: true }).setInputFiles(join(folder, name));
  await target.getByText(`“${name}” is chosen.`).waitFor();
  await button("Load").and(page.locator(":enabled")).click({ timeout: 240_000 });
  await page.getByText(`Loaded: ${name}, without a draft model.`, { exact: true }).waitFor({ timeout: 240_000 });
  await show("Generate");
  await ready();
}

/** Sends `text` and gives what the engine replied; what the page says of the prompt's length is checked. */
async function send(text) {
  const before = await page.evaluate(() => window.generations.length);
  await page.locator("#prompt").fill(text);
  await button("Generate").click();
  await page.waitForFunction((before) => window.generations.length > before, before, { timeout: 120_000 });
  await ready();
  const generation = await page.evaluate(() => window.generations.at(-1));
  await page.getByText(`after ${generation.prompt_token_ids.length} of prompt`, { exact: false }).waitFor();
  return generation;
}

/** Switches Chat on and shows its options. */
async function converse() {
  await chat().check();
  await options().evaluate((details) => (details.open = true));
}

/** The ids of `text` as it is, as the page's own engine has them. */
async function ids(text) {
  await chat().uncheck();
  const { prompt_token_ids } = await send(text);
  await converse();
  return prompt_token_ids;
}

/** The ids that the native program gives a conversation. */
async function natives(conversation) {
  const file = join(folder, "conversation.json");
  await writeFile(file, JSON.stringify(conversation));
  const args = ["generate", "--model", join(folder, "chatty"), "--messages", file, "-n", "1", "--json", "-q"];
  const { stdout } = await promisify(execFile)(BIN, args);
  return JSON.parse(stdout).prompt_token_ids;
}

test("a model without a chat template has no chat and no options of one", { timeout: 300_000 }, async () => {
  await page.getByText("Loaded: tales, drafted for by tales-draft.").waitFor({ timeout: 240_000 });
  await load("no-template");
  assert.deepEqual([await chat().count(), await options().count()], [0, 0]);
});

test("a template's switches are offered, and what it writes out is not", { timeout: 240_000 }, async () => {
  await load("chatty");
  await page.getByText("Sampling and length").click();
  await field("new tokens").fill(String(TOKENS));
  await chat().check();
  await options().locator("summary").click();
  assert.deepEqual(await options().locator("select").evaluateAll((all) => all.map(({ id }) => id)), [
    "switch-brief",
    "switch-enable_thinking",
  ]);
  assert.deepEqual(await field("enable_thinking").locator("option").allTextContents(), [UNSET, "on", "off"]);
});

// A switch that is sent as false where it is left out, or a system message that is left out, fails this.
test("the model reads what the template makes of system message and switches", { timeout: 300_000 }, async () => {
  const user = ["user", "Who are you?"];
  const system = ["system", "You are a tree.\nSay little."];
  for (const [turns, choice, end, kwargs] of [
    [[user], UNSET, "", {}],
    [[system, user], UNSET, "", {}],
    [[system, user], "on", "<think>\n", { enable_thinking: true }],
    [[system, user], "off", "<think></think>\n", { enable_thinking: false }],
    [[user], "off", "<think></think>\n", { enable_thinking: false }],
  ]) {
    await field("System message").fill(turns.length > 1 ? system[1] : "");
    await field("enable_thinking").selectOption(choice);
    const { prompt_token_ids } = await send(user[1]);
    await button("New conversation").click();
    assert.deepEqual(prompt_token_ids, await ids(rendered(turns, end)), `${turns.length} ${choice}`);
    if (BIN) assert.deepEqual(prompt_token_ids, await natives({ messages: messages(turns), chat_template_kwargs: kwargs }));
  }
});

test("a system message that changes counts from the next turn on", { timeout: 240_000 }, async () => {
  await field("enable_thinking").selectOption(UNSET);
  await field("brief").selectOption("on");
  await field("System message").fill("You are a tree.");
  const { text } = await send("Who are you?");
  await field("System message").fill("You are a river.");
  const { prompt_token_ids } = await send("And now?");
  const turns = [["system", "You are a river."], ["user", "Who are you?"], ["assistant", text], ["user", "And now?"]];
  assert.deepEqual(prompt_token_ids, await ids(rendered(turns, "In short: ")));
  if (BIN) assert.deepEqual(prompt_token_ids, await natives({ messages: messages(turns), chat_template_kwargs: { brief: true } }));
});

test("a template that takes no system message says so, and what to do", { timeout: 240_000 }, async () => {
  await load("no-system");
  await converse();
  assert.equal(await options().locator("select").count(), 0);
  await page.locator("#prompt").fill("Who are you?");
  await button("Generate").click();
  const alert = page.getByRole("alert");
  await alert.getByText("System role not supported").waitFor();
  await alert.getByText("Clear the system message", { exact: false }).waitFor();
  // What was written is not lost.
  assert.equal(await page.locator("#prompt").inputValue(), "Who are you?");
  await field("System message").fill("");
  await send("Who are you?");
});

test("another model begins without switches that were set for the one before", { timeout: 240_000 }, async () => {
  await load("chatty");
  await chat().check();
  assert.deepEqual(await options().locator("select").evaluateAll((all) => all.map(({ value }) => value)), [UNSET, UNSET]);
});

test("nothing failed unseen", () => assert.deepEqual(faults, []));
