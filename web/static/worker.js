// The engine's worker: a module that starts the wasm module, which listens for requests itself.
import init from "./engine.js";

// The page hears of errors that nothing catches, not of rejections.
addEventListener("unhandledrejection", (event) => {
  throw event.reason;
});

await init();
