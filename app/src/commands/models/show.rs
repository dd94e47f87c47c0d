//! `understory models show`: one model by its headers and tokenizer; its weights are not read.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;
use understory_model::chat::ChatTemplate;
use understory_model::config::ModelConfig;
use understory_model::inventory::Inventory;
use understory_model::tokenizer::Tokenizer;
use understory_model::weights::ModelWeights;
use understory_protocol::figures;

use crate::cli::ShowArgs;
use crate::models::find;
use crate::output::{self, Console};

/// What is shown.
#[derive(Serialize)]
struct Shown {
    name: String,
    /// the name that a GGUF file gives its model
    title: Option<String>,
    /// `GGUF` or `safetensors`
    format: &'static str,
    files: Vec<String>,
    bytes: u64,
    architecture: &'static str,
    layers: usize,
    hidden_size: usize,
    intermediate_size: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    /// of the tensors that the model runs with, a shared one counted once
    parameters: u64,
    /// the head is the embedding
    tied: bool,
    types: BTreeMap<String, OfType>,
    context: usize,
    /// rows of the embedding
    vocabulary: usize,
    /// tokens that have a text
    tokens: usize,
    tokenizer: Vec<String>,
    end_tokens: Vec<EndToken>,
    chat_template: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensors: Option<Vec<Tensor>>,
}

/// Tensors of one type.
#[derive(Default, Serialize)]
struct OfType {
    tensors: usize,
    elements: u64,
    /// `null`: not known
    bytes: Option<u64>,
}

#[derive(Serialize)]
struct EndToken {
    id: u32,
    text: Option<String>,
}

#[derive(Serialize)]
struct Tensor {
    name: String,
    r#type: String,
    shape: Vec<u64>,
    bytes: Option<u64>,
    file: String,
}

pub fn run(args: &ShowArgs, console: &Console) -> Result<()> {
    let found = find(&args.model, args.offline, console)?;
    let shown = look(found.label.clone(), found.files.as_ref(), args.tensors);
    let shown = shown.with_context(|| format!("model {}", found.label))?;
    if args.json {
        return output::json(&shown);
    }
    output::text(&text(&shown))
}

fn look(name: String, files: &dyn understory_model::files::ModelFiles, with_tensors: bool) -> Result<Shown> {
    let config = ModelConfig::from_files(files)?;
    let inventory = Inventory::read(files)?;
    let weights = ModelWeights::open(files, &config)?;
    let tokenizer = Tokenizer::from_files(files, &config)?;
    let elements = |shape: &[u64]| shape.iter().fold(1u64, |product, &n| product.saturating_mul(n));
    let mut types: BTreeMap<String, OfType> = BTreeMap::new();
    for tensor in &inventory.tensors {
        let unseen = OfType { bytes: Some(0), ..OfType::default() };
        let of_type = types.entry(tensor.type_name.clone()).or_insert(unseen);
        of_type.tensors += 1;
        of_type.elements = of_type.elements.saturating_add(elements(&tensor.shape));
        of_type.bytes = of_type.bytes.zip(tensor.bytes).map(|(all, one)| all.saturating_add(one));
    }
    let shapes = weights.slots().into_iter().filter_map(|slot| weights.shape(slot));
    let tensors = inventory.tensors.into_iter().map(|tensor| Tensor {
        name: tensor.name,
        r#type: tensor.type_name,
        shape: tensor.shape,
        bytes: tensor.bytes,
        file: tensor.file,
    });
    Ok(Shown {
        name,
        title: inventory.title,
        format: inventory.format,
        files: inventory.files,
        bytes: inventory.bytes,
        architecture: config.family.model_type(),
        layers: config.n_layers(),
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        heads: config.n_heads,
        kv_heads: config.n_kv_heads,
        head_dim: config.head_dim,
        parameters: shapes.map(|[rows, columns]| rows as u64 * columns as u64).sum(),
        tied: weights.is_tied(),
        types,
        context: config.max_position_embeddings,
        vocabulary: config.vocab_size,
        tokens: tokenizer.vocab_size(),
        tokenizer: [vec![tokenizer.kind().to_owned()], inventory.tokenizer].concat(),
        end_tokens: config.eos_token_ids.iter().map(|&id| EndToken { id, text: tokenizer.token_text(id) }).collect(),
        chat_template: ChatTemplate::from_files(files)?.is_some(),
        tensors: with_tensors.then(|| tensors.collect()),
    })
}

fn text(shown: &Shown) -> String {
    let files = match shown.files.len() {
        1 => "1 file".to_owned(),
        n => format!("{n} files"),
    };
    let ends = shown.end_tokens.iter().map(|end| match &end.text {
        Some(text) => format!("{text} ({})", end.id),
        None => end.id.to_string(),
    });
    let ends: Vec<String> = ends.collect();
    let kv = if shown.kv_heads == shown.heads { String::new() } else { format!(", {} of keys", shown.kv_heads) };
    let rows = [
        ("name", shown.name.clone()),
        ("title", shown.title.clone().unwrap_or_default()),
        ("format", format!("{}, {files}, {}", shown.format, figures::bytes(shown.bytes))),
        ("architecture", shown.architecture.to_owned()),
        ("layers", shown.layers.to_string()),
        ("width", format!("{}, {} in the MLP", shown.hidden_size, shown.intermediate_size)),
        ("heads", format!("{} of {}{kv}", shown.heads, shown.head_dim)),
        ("parameters", format!("{}{}", shown.parameters, if shown.tied { ", head and embedding in one" } else { "" })),
        ("context", format!("{} tokens", shown.context)),
        ("vocabulary", format!("{} rows, {} tokens", shown.vocabulary, shown.tokens)),
        ("tokenizer", shown.tokenizer.join(", ")),
        ("end tokens", if ends.is_empty() { "none".to_owned() } else { ends.join(", ") }),
        ("chat template", if shown.chat_template { "yes" } else { "no" }.to_owned()),
    ];
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    let rows: Vec<Vec<String>> = rows.map(|(name, value)| vec![name.to_owned(), value]).collect();
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), figures::bytes);
    let mut types = vec![["TYPE", "TENSORS", "ELEMENTS", "SIZE"].map(str::to_owned).to_vec()];
    types.extend(shown.types.iter().map(|(name, of_type)| {
        vec![name.clone(), of_type.tensors.to_string(), of_type.elements.to_string(), size(of_type.bytes)]
    }));
    let mut text = format!("{}\n{}", output::columns("<<", &rows), output::columns("<>>>", &types));
    if let Some(tensors) = &shown.tensors {
        let mut rows = vec![["TENSOR", "TYPE", "SHAPE", "SIZE"].map(str::to_owned).to_vec()];
        rows.extend(tensors.iter().map(|tensor| {
            let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
            vec![tensor.name.clone(), tensor.r#type.clone(), shape.join(" x "), size(tensor.bytes)]
        }));
        text += &format!("\n{}", output::columns("<<<>", &rows));
    }
    text
}
