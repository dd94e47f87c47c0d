// The engine's worker: a module that starts the wasm module, which listens for requests itself.
import init from "./engine.js";

await init();
