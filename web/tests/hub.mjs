// A hub on the loopback that answers as huggingface.co does, for one repository made of a fixture's files. It stands at
// an origin of its own; large files are redirected to a third one, as the hub's are.

import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

const CORS = { "access-control-allow-origin": "*", "access-control-allow-headers": "authorization, range" };

const listen = (handle) =>
  new Promise((ready) => {
    const server = createServer(handle);
    server.listen(0, "127.0.0.1", () => ready(server));
  });

/** Serves the folder's files under `repo`. What the returned object's fields say can be changed at any time. */
export async function startHub(folder, repo) {
  const files = new Map();
  for (const name of await readdir(folder)) {
    if (name !== "golden.json") files.set(name, await readFile(join(folder, name)));
  }
  const isLarge = (name) => /\.(safetensors|gguf)$/.test(name);
  const hub = {
    repo,
    files,
    /** what was asked: method, server, path, range, authorization */
    requests: [],
    /** bytes after which nothing more comes of weights, until `cut` breaks the connection, and every later one */
    breakAfter: null,
    isCut: false,
    /** bytes after which weights end as if they were whole */
    endAfter: null,
    /** weights arrive with a wrong byte */
    corrupt: false,
    ignoresRanges: false,
    /** an error status for everything */
    status: null,
    /** the access token that it wants */
    token: null,
    cors: CORS,
  };
  const held = [];
  hub.cut = () => {
    hub.isCut = true;
    held.splice(0).forEach((response) => response.destroy());
  };
  hub.smallBytes = [...files].reduce((sum, [name, bytes]) => sum + (isLarge(name) ? 0 : bytes.length), 0);
  const listing = () => ({
    sha: COMMIT,
    siblings: [...files].map(([rfilename, bytes]) => ({
      rfilename,
      size: bytes.length,
      // Of a large file git has a pointer; its hash is of no use here.
      blobId: createHash("sha1").update(isLarge(rfilename) ? "pointer" : `blob ${bytes.length}\0`).update(isLarge(rfilename) ? "" : bytes).digest("hex"),
      ...(isLarge(rfilename) && { lfs: { sha256: createHash("sha256").update(bytes).digest("hex"), size: bytes.length } }),
    })),
  });
  const note = (server, request) => {
    const { range, authorization } = request.headers;
    hub.requests.push({ server, method: request.method, path: request.url, range, authorization });
  };
  const send = (request, response, name) => {
    let bytes = Buffer.from(files.get(name));
    if (hub.corrupt && isLarge(name)) bytes[bytes.length >> 1] ^= 1;
    let status = 200;
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    if (hub.endAfter !== null && isLarge(name)) bytes = bytes.subarray(0, hub.endAfter);
    if (from > 0 && !hub.ignoresRanges) {
      bytes = bytes.subarray(from);
      status = 206;
    }
    response.writeHead(status, { ...hub.cors, "content-length": bytes.length });
    if (hub.breakAfter === null || !isLarge(name)) return response.end(bytes);
    response.write(bytes.subarray(0, hub.breakAfter));
    held.push(response);
  };
  const storage = await listen((request, response) => {
    note("storage", request);
    if (hub.isCut) return response.destroy();
    if (request.method === "OPTIONS") return response.writeHead(204, hub.cors).end();
    send(request, response, decodeURIComponent(request.url.slice(1)));
  });
  const main = await listen((request, response) => {
    note("hub", request);
    const fail = (status) => response.writeHead(status, hub.cors).end();
    if (request.method === "OPTIONS") return fail(204);
    if (hub.status) return fail(hub.status);
    if (hub.token && request.headers.authorization !== `Bearer ${hub.token}`) return fail(401);
    if (["main", COMMIT].some((revision) => request.url === `/api/models/${repo}/revision/${revision}?blobs=true`)) {
      return response.writeHead(200, { ...hub.cors, "content-type": "application/json" }).end(JSON.stringify(listing()));
    }
    const name = decodeURIComponent(request.url.split(`/${repo}/resolve/${COMMIT}/`)[1] ?? "");
    if (!files.has(name)) return fail(404);
    if (!isLarge(name)) return send(request, response, name);
    response.writeHead(302, { ...hub.cors, location: `http://127.0.0.1:${storage.address().port}/${name}` }).end();
  });
  hub.endpoint = `http://127.0.0.1:${main.address().port}`;
  hub.stop = () => {
    for (const server of [main, storage]) {
      server.close();
      server.closeAllConnections();
    }
  };
  /** forgets what was asked so far, and every misbehaviour */
  hub.reset = () => {
    Object.assign(hub, { breakAfter: null, isCut: false, endAfter: null, corrupt: false, ignoresRanges: false, status: null, token: null, cors: CORS });
    hub.requests.length = 0;
  };
  return hub;
}
