// A static server for the built page and a Chromium that renders WebGPU with SwiftShader.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".webmanifest": "application/manifest+json",
  ".wasm": "application/wasm",
};

/** Serves `folder` on a free port of the loopback, with `headers` on every file; `stop()` ends it. */
export async function serve(folder = DIST, headers = {}) {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
    const file = join(folder, path.endsWith("/") ? `${path}index.html` : path);
    const found = await stat(file).catch(() => null);
    if (!file.startsWith(folder) || !found?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    response.writeHead(200, { ...headers, "content-type": type, "content-length": found.size });
    createReadStream(file).pipe(response);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, stop };
}

/** Chromium with WebGPU on the CPU; its name is taken from `CHROMIUM`, else from the usual places. */
const CHROMIUM = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-unsafe-swiftshader",
  ],
};

/** A browser whose contexts keep nothing on disk, as private windows. */
export function launch() {
  return chromium.launch(CHROMIUM);
}

/** A browser with the profile in `folder`, as a person's: what pages keep goes to the disk. `options` as Playwright's. */
export function launchProfile(folder, options = {}) {
  return chromium.launchPersistentContext(folder, { ...CHROMIUM, ...options });
}

/** Keeps what the worker says of each generation in `window.generations`, as the page gets it. */
export async function keepGenerations(page) {
  await page.addInitScript(() => {
    window.generations = [];
    window.Worker = class extends Worker {
      constructor(...args) {
        super(...args);
        this.addEventListener("message", ({ data }) => {
          const { body } = JSON.parse(data);
          if (body?.reply === "generated") window.generations.push(body);
        });
      }
    };
  });
}
