// Writes a GGUF file of the Qwen3 fixture, after `docs/gguf.md` of ggml and the names of llama.cpp's converter.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const FIXTURE = fileURLToPath(new URL("../../fixtures/qwen3/", import.meta.url));
const ALIGNMENT = 32;
/** numbers of types of values, and of tensors */
const U32 = 4, I32 = 5, F32 = 6, STRING = 8, LIST = 9, U16 = 2;
const T_F32 = 0, T_F16 = 1;

const number = (bytes, write) => (value) => {
  const buffer = Buffer.alloc(bytes);
  buffer[write](value);
  return buffer;
};
const u16 = number(2, "writeUInt16LE"), u32 = number(4, "writeUInt32LE"), i32 = number(4, "writeInt32LE");
const f32 = number(4, "writeFloatLE"), u64 = (value) => number(8, "writeBigUInt64LE")(BigInt(value));
const string = (text) => Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)]);
const of = { [U16]: u16, [U32]: u32, [I32]: i32, [F32]: f32, [STRING]: string };
const value = (type, value) => Buffer.concat([u32(type), of[type](value)]);
const list = (type, values) => Buffer.concat([u32(LIST), u32(type), u64(values.length), ...values.map(of[type])]);

const padded = (bytes) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & (ALIGNMENT - 1))]);

/** A file of these values and tensors `{name, shape, type, bytes}`, the length of a row last in a shape. */
function file(metadata, tensors) {
  const parts = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(metadata.size)];
  for (const [key, bytes] of metadata) parts.push(string(key), bytes);
  let offset = 0;
  for (const { name, shape, type, bytes } of tensors) {
    parts.push(string(name), u32(shape.length), ...[...shape].reverse().map(u64), u32(type), u64(offset));
    offset += padded(bytes).length;
  }
  return Buffer.concat([padded(Buffer.concat(parts)), ...tensors.map(({ bytes }) => padded(bytes))]);
}

/** The values of halves, as those of vectors are written. */
function widened(halves) {
  const values = Buffer.alloc(halves.length * 2);
  for (let at = 0; at < halves.length; at += 2) {
    const bits = halves.readUInt16LE(at);
    const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    values.writeFloatLE(sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction), at * 2);
  }
  return values;
}

const LAYER = {
  "input_layernorm": "attn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  "post_attention_layernorm": "ffn_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};

const name = (name) =>
  name
    .replace("model.embed_tokens", "token_embd")
    .replace(/^model\.norm/, "output_norm")
    .replace(/^model\.layers\.(\d+)\.(.*)\.weight$/, (_, layer, of) => `blk.${layer}.${LAYER[of]}.weight`);

async function tensors() {
  const stored = await readFile(join(FIXTURE, "model.safetensors"));
  const start = 8 + Number(stored.readBigUInt64LE());
  const { __metadata__, ...entries } = JSON.parse(stored.subarray(8, start));
  return Object.entries(entries).map(([of, { shape, data_offsets: [from, to] }]) => {
    const bytes = stored.subarray(start + from, start + to);
    const isVector = shape.length === 1;
    return { name: name(of), shape, type: isVector ? T_F32 : T_F16, bytes: isVector ? widened(bytes) : bytes };
  });
}

async function metadata({ architecture, template }) {
  const json = async (file) => JSON.parse(await readFile(join(FIXTURE, file), "utf8"));
  const [config, { model, added_tokens }] = [await json("config.json"), await json("tokenizer.json")];
  const texts = Array.from({ length: config.vocab_size }, (_, id) => `[PAD${id}]`);
  const kinds = texts.map(() => 5);
  for (const [text, id] of Object.entries(model.vocab)) [texts[id], kinds[id]] = [text, 1];
  for (const { id, content, special } of added_tokens) [texts[id], kinds[id]] = [content, special ? 3 : 4];
  const numbers = {
    block_count: [U32, config.num_hidden_layers],
    context_length: [U32, config.max_position_embeddings],
    embedding_length: [U32, config.hidden_size],
    feed_forward_length: [U32, config.intermediate_size],
    "attention.head_count": [U32, config.num_attention_heads],
    "attention.head_count_kv": [U32, config.num_key_value_heads],
    "attention.key_length": [U32, config.head_dim],
    "attention.value_length": [U32, config.head_dim],
    "attention.layer_norm_rms_epsilon": [F32, config.rms_norm_eps],
    "rope.freq_base": [F32, config.rope_parameters.rope_theta],
  };
  const all = new Map([["general.architecture", value(STRING, architecture)]]);
  for (const [key, [type, number]] of Object.entries(numbers)) all.set(`${architecture}.${key}`, value(type, number));
  all.set("tokenizer.ggml.model", value(STRING, "gpt2"));
  all.set("tokenizer.ggml.pre", value(STRING, "gpt-2"));
  all.set("tokenizer.ggml.tokens", list(STRING, texts));
  all.set("tokenizer.ggml.token_type", list(I32, kinds));
  all.set("tokenizer.ggml.merges", list(STRING, model.merges.map((pair) => pair.join(" "))));
  all.set("tokenizer.ggml.eos_token_id", value(U32, config.eos_token_id));
  if (template) all.set("tokenizer.chat_template", value(STRING, template));
  return all;
}

/**
 * The fixture's model. `architecture`: what it claims to be; `template`: its chat template; `type`: the number that its
 * matrices claim to have, whatever their bytes are.
 */
export async function model({ architecture = "qwen3", template, type } = {}) {
  const all = (await tensors()).map((tensor) => (tensor.shape.length > 1 && type !== undefined ? { ...tensor, type } : tensor));
  return file(await metadata({ architecture, template }), all);
}

/** The same in two files, by name; the first has the metadata. */
export async function split(stem) {
  const [values, all] = [await metadata({ architecture: "qwen3" }), await tensors()];
  const half = all.length >> 1;
  const of = (no) => [["split.no", value(U16, no)], ["split.count", value(U16, 2)], ["split.tensors.count", value(I32, all.length)]];
  return new Map([
    [`${stem}-00001-of-00002.gguf`, file(new Map([...values, ...of(0)]), all.slice(0, half))],
    [`${stem}-00002-of-00002.gguf`, file(new Map(of(1)), all.slice(half))],
  ]);
}

/** What `transformers` computed for the fixture's first prompt. */
export const golden = async () => JSON.parse(await readFile(join(FIXTURE, "golden.json"), "utf8")).prompts[0];
