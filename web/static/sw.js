// The service worker: the page's own files, so that it opens without a network. Models are not its business: the
// engine's worker keeps them. `cargo xtask web` writes VERSION and FILES above: for each file its SHA-256.
//
// What is served is one version: all files are fetched and checked before any is served, each from then on comes from
// that version's cache, and a newer version waits until the page asks for it. It asks nothing of other origins.

const SCOPE = new URL(self.registration.scope);
const PREFIX = `understory ${SCOPE.pathname} `;
const CACHE = PREFIX + VERSION;

self.addEventListener("install", (event) => {
  event.waitUntil(install());
});

self.addEventListener("activate", (event) => {
  event.waitUntil(forgetOthers());
});

self.addEventListener("message", (event) => {
  if (event.data === "activate") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const file = nameOf(event.request);
  if (file) event.respondWith(serve(file));
});

/** The file that is asked for, if it is one of this version's. */
function nameOf(request) {
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== SCOPE.origin || !url.pathname.startsWith(SCOPE.pathname)) return null;
  const file = url.pathname.slice(SCOPE.pathname.length) || "index.html";
  return Object.hasOwn(FILES, file) ? file : null;
}

async function install() {
  const cache = await caches.open(CACHE);
  await Promise.all(Object.keys(FILES).map(async (file) => cache.put(file, await fetched(file))));
}

async function serve(file) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(file);
  if (kept) return kept;
  // The browser gave the cache away.
  const response = await fetched(file);
  await cache.put(file, response.clone());
  return response;
}

/** A file of this version from the network; anything else there is an error. */
async function fetched(file) {
  const response = await fetch(file, { cache: "no-cache" });
  if (!response.ok) throw new Error(`${file}: the server answered ${response.status}`);
  const bytes = await response.clone().arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hash = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (hash !== FILES[file]) throw new Error(`${file}: not that of version ${VERSION}`);
  // A navigation must not be answered with what came by a redirection.
  return response.redirected ? new Response(bytes, { headers: { "content-type": response.headers.get("content-type") } }) : response;
}

async function forgetOthers() {
  const names = await caches.keys();
  const others = names.filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(others.map((name) => caches.delete(name)));
}
