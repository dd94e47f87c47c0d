//! A model folder as a GGUF file, with the conventions of llama.cpp's `convert_hf_to_gguf.py`: its names, Llama's q and k
//! with interleaved pairs, Gemma's norms with their 1, GPT-2's matrices turned, GPT-NeoX's heads sorted, vectors in f32.

use std::path::Path;

use serde_json::Value as Json;
use understory_model::config::{Family, ModelConfig};
use understory_model::files::FolderFiles;
use understory_model::halves::narrow;
use understory_model::weights::LayerSlot::{self, *};
use understory_model::weights::{ModelWeights, Slot};

use super::writer::{Meta, Tensor, Writer};

const F32: u32 = 0;
const F16: u32 = 1;

fn json(folder: &Path, file: &str) -> Json {
    let text = std::fs::read_to_string(folder.join(file)).expect("the file is readable");
    serde_json::from_str(&text).expect("JSON")
}

fn architecture(family: Family) -> &'static str {
    match family {
        Family::Gpt2 => "gpt2",
        Family::GptNeox => "gptneox",
        Family::Llama => "llama",
        Family::Qwen2 => "qwen2",
        Family::Qwen3 => "qwen3",
        Family::Gemma3 => "gemma3",
    }
}

/// The model in `folder`; its matrices in f16 or f32.
pub fn converted(folder: &Path, half: bool) -> Writer {
    let files = FolderFiles::open(folder).expect("a model folder");
    let config = ModelConfig::from_files(&files).expect("its configuration");
    let weights = ModelWeights::open(&files, &config).expect("its weights");
    let mut writer = Writer::default();
    let stated = json(folder, "config.json");
    describe(&mut writer, &config, &stated);
    tokenizer(&mut writer, &config, &json(folder, "tokenizer.json"));
    tensors(&mut writer, &config, &weights, half);
    if stated["rope_scaling"]["rope_type"] == "llama3" {
        // What the plain frequencies are divided by.
        let (rope, theta) = (&config.ropes[0], stated["rope_theta"].as_f64().expect("a base"));
        let plain = |pair: usize| theta.powf(-2.0 * pair as f64 / rope.rotary_dim as f64) as f32;
        let factors: Vec<f32> = rope.inv_freq.iter().enumerate().map(|(pair, freq)| plain(pair) / freq).collect();
        vector(&mut writer, "rope_freqs.weight", &factors);
    }
    writer
}

fn describe(writer: &mut Writer, config: &ModelConfig, stated: &Json) {
    let architecture = architecture(config.family);
    writer.set("general.architecture", Meta::Text(architecture.into()));
    writer.set("general.name", Meta::Text("a fixture".into()));
    let mut set = |key: &str, value: Meta| writer.set(&format!("{architecture}.{key}"), value);
    let mut count = |key: &str, value: usize| set(key, Meta::U32(value as u32));
    count("block_count", config.n_layers());
    count("context_length", config.max_position_embeddings);
    count("embedding_length", config.hidden_size);
    count("feed_forward_length", config.intermediate_size);
    count("attention.head_count", config.n_heads);
    if !matches!(config.family, Family::Gpt2 | Family::GptNeox) {
        count("attention.head_count_kv", config.n_kv_heads);
    }
    if matches!(config.family, Family::Qwen3 | Family::Gemma3 | Family::Llama) {
        count("attention.key_length", config.head_dim);
        count("attention.value_length", config.head_dim);
    }
    if let (Some(rope), false) = (config.ropes.first(), config.family == Family::Gemma3) {
        count("rope.dimension_count", rope.rotary_dim);
    }
    if let Some(window) = config.layers.iter().find_map(|layer| layer.window) {
        count("attention.sliding_window", window);
    }
    let kind = if config.norm.kind == understory_model::config::NormKind::Rms { "rms_epsilon" } else { "epsilon" };
    set(&format!("attention.layer_norm_{kind}"), Meta::F32(config.norm.eps));
    let theta = [&stated["rope_theta"], &stated["rotary_emb_base"], &stated["rope_parameters"]["rope_theta"]];
    if let Some(theta) = theta.into_iter().find_map(Json::as_f64) {
        set("rope.freq_base", Meta::F32(theta as f32));
    }
    if config.family == Family::GptNeox {
        let parallel = config.residual == understory_model::config::Residual::Parallel;
        set("use_parallel_residual", Meta::Bool(parallel));
    }
}

fn tokenizer(writer: &mut Writer, config: &ModelConfig, tokenizer: &Json) {
    let model = &tokenizer["model"];
    let vocab = model["vocab"].as_object().expect("a vocabulary");
    let mut texts: Vec<String> = (0..config.vocab_size).map(|id| format!("[PAD{id}]")).collect();
    let mut kinds = vec![5; config.vocab_size];
    for (text, id) in vocab {
        let id = id.as_u64().expect("an id") as usize;
        (texts[id], kinds[id]) = (text.clone(), 1);
    }
    for added in tokenizer["added_tokens"].as_array().expect("added tokens") {
        let id = added["id"].as_u64().expect("an id") as usize;
        let special = added["special"] == true;
        (texts[id], kinds[id]) = (added["content"].as_str().expect("a text").into(), if special { 3 } else { 4 });
    }
    let merges = model["merges"].as_array().expect("merges").iter().map(|merge| match merge {
        Json::String(line) => line.clone(),
        pair => format!("{} {}", pair[0].as_str().expect("a piece"), pair[1].as_str().expect("a piece")),
    });
    writer.set("tokenizer.ggml.model", Meta::Text("gpt2".into()));
    writer.set("tokenizer.ggml.pre", Meta::Text("gpt-2".into()));
    writer.set("tokenizer.ggml.tokens", Meta::Texts(texts));
    writer.set("tokenizer.ggml.token_type", Meta::I32s(kinds));
    writer.set("tokenizer.ggml.merges", Meta::Texts(merges.collect()));
    if let Some(begin) = config.bos_token_id {
        writer.set("tokenizer.ggml.bos_token_id", Meta::U32(begin));
    }
    if let Some(&end) = config.eos_token_ids.first() {
        writer.set("tokenizer.ggml.eos_token_id", Meta::U32(end));
    }
}

fn vector(writer: &mut Writer, name: &str, values: &[f32]) {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    writer.tensors.push(Tensor { name: name.into(), shape: vec![values.len() as u64], number: F32, bytes });
}

fn matrix(writer: &mut Writer, name: &str, values: &[f32], width: usize, half: bool) {
    let bytes = if half {
        let mut halves = vec![0; values.len()];
        narrow(values, &mut halves);
        halves.iter().flat_map(|half| half.to_le_bytes()).collect()
    } else {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    };
    let shape = vec![(values.len() / width) as u64, width as u64];
    writer.tensors.push(Tensor { name: name.into(), shape, number: if half { F16 } else { F32 }, bytes });
}

/// `reshape(n_head, 2, head_dim / 2).swapaxes(1, 2)` of rows.
fn interleave(rows: &[f32], width: usize, head_dim: usize) -> Vec<f32> {
    let half = head_dim / 2;
    let head = |head: &[f32]| -> Vec<f32> {
        let row = |row: usize| &head[row * width..(row + 1) * width];
        (0..half).flat_map(|pair| [row(pair), row(half + pair)].concat()).collect()
    };
    rows.chunks(head_dim * width).flat_map(head).collect()
}

fn tensors(writer: &mut Writer, config: &ModelConfig, weights: &ModelWeights, half: bool) {
    for slot in weights.slots() {
        let [rows, columns] = weights.shape(slot).expect("a slot of the model");
        let mut values = Vec::new();
        weights.read_rows(slot, 0..rows, &mut values).expect("values");
        let is_norm = matches!(
            slot,
            Slot::FinalNorm | Slot::Layer(_, AttnNorm | PostAttnNorm | MlpNorm | PostMlpNorm | QNorm | KNorm)
        );
        if is_norm && config.norm.unit_offset {
            values.iter_mut().for_each(|value| *value += 1.0);
        }
        let (q, kv) = (config.q_dim(), config.kv_dim());
        let fused = matches!(config.family, Family::Gpt2 | Family::GptNeox);
        match slot {
            Slot::Layer(layer, slot @ (Qkv | QkvBias)) if !fused => {
                let (width, ending) = if slot == Qkv { (columns, "weight") } else { (1, "bias") };
                let (q_rows, rest) = values.split_at(q * width);
                let (k_rows, v_rows) = rest.split_at(kv * width);
                for (name, rows) in [("attn_q", q_rows), ("attn_k", k_rows), ("attn_v", v_rows)] {
                    let permuted = config.family == Family::Llama && name != "attn_v";
                    let rows = if permuted { interleave(rows, width, config.head_dim) } else { rows.to_vec() };
                    let name = format!("blk.{layer}.{name}.{ending}");
                    if slot == Qkv { matrix(writer, &name, &rows, width, half) } else { vector(writer, &name, &rows) }
                }
            }
            Slot::Layer(layer, MlpUp) if config.mlp_gated => {
                let (gate, up) = values.split_at(values.len() / 2);
                matrix(writer, &format!("blk.{layer}.ffn_gate.weight"), gate, columns, half);
                matrix(writer, &format!("blk.{layer}.ffn_up.weight"), up, columns, half);
            }
            Slot::PositionEmbedding => matrix(writer, "position_embd.weight", &values, columns, false),
            Slot::Embedding => matrix(writer, "token_embd.weight", &values, columns, half),
            Slot::LmHead => matrix(writer, "output.weight", &values, columns, half),
            Slot::FinalNorm => vector(writer, "output_norm.weight", &values),
            Slot::FinalNormBias => vector(writer, "output_norm.bias", &values),
            Slot::Layer(layer, slot) => {
                let name = format!("blk.{layer}.{}", name(slot));
                if rows == 1 { vector(writer, &name, &values) } else { matrix(writer, &name, &values, columns, half) }
            }
            Slot::LmHeadBias => unreachable!("no family has one"),
        }
    }
}

fn name(slot: LayerSlot) -> &'static str {
    match slot {
        AttnNorm => "attn_norm.weight",
        AttnNormBias => "attn_norm.bias",
        Qkv => "attn_qkv.weight",
        QkvBias => "attn_qkv.bias",
        QNorm => "attn_q_norm.weight",
        KNorm => "attn_k_norm.weight",
        AttnOut => "attn_output.weight",
        AttnOutBias => "attn_output.bias",
        PostAttnNorm => "post_attention_norm.weight",
        MlpNorm => "ffn_norm.weight",
        MlpNormBias => "ffn_norm.bias",
        MlpUp => "ffn_up.weight",
        MlpUpBias => "ffn_up.bias",
        MlpDown => "ffn_down.weight",
        MlpDownBias => "ffn_down.bias",
        PostMlpNorm => "post_ffw_norm.weight",
    }
}
