//! Configurations: both styles of rope keys, published files, what is refused.

use proptest::prelude::*;
use serde_json::{Value, json};
use understory_model::config::{Activation, Family, ModelConfig, Residual};
use understory_protocol::Error;

use super::{MemoryFiles, fixture, model_folders};

fn parse(config: &Value) -> Result<ModelConfig, Error> {
    ModelConfig::from_json(&config.to_string(), None)
}

fn fixture_json(name: &str) -> Value {
    serde_json::from_str(&MemoryFiles::load(&fixture(name)).text("config.json")).unwrap()
}

/// A copy with some keys set.
fn with(config: &Value, changes: Value) -> Value {
    let mut config = config.clone();
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    config
}

/// The rope keys of transformers 5, out of the older ones.
fn newer_style(mut config: Value) -> Value {
    let keys = config.as_object_mut().unwrap();
    let theta = keys.remove("rope_theta");
    let scaling = keys.remove("rope_scaling").filter(|scaling| !scaling.is_null());
    if let Some(local) = keys.remove("rope_local_base_freq") {
        let full = with(&scaling.unwrap_or(json!({ "rope_type": "default" })), json!({ "rope_theta": theta }));
        let sliding = json!({ "rope_type": "default", "rope_theta": local });
        keys.insert("rope_parameters".into(), json!({ "full_attention": full, "sliding_attention": sliding }));
    } else if let Some(base) = keys.remove("rotary_emb_base") {
        let partial = keys.remove("rotary_pct");
        let rope = json!({ "rope_type": "default", "rope_theta": base, "partial_rotary_factor": partial });
        keys.insert("rope_parameters".into(), rope);
    } else if let Some(theta) = theta {
        let rope = with(&scaling.unwrap_or(json!({ "rope_type": "default" })), json!({ "rope_theta": theta }));
        keys.insert("rope_parameters".into(), rope);
    }
    config
}

/// The older keys, out of those of transformers 5.
fn older_style(mut config: Value) -> Value {
    let keys = config.as_object_mut().unwrap();
    let Some(mut rope) = keys.remove("rope_parameters") else { return config };
    if let Some(full) = rope.get_mut("full_attention") {
        keys.insert("rope_theta".into(), full.as_object_mut().unwrap().remove("rope_theta").unwrap());
        keys.insert("rope_scaling".into(), full.take());
        keys.insert("rope_local_base_freq".into(), rope["sliding_attention"]["rope_theta"].take());
    } else if keys["model_type"] == "gpt_neox" {
        keys.insert("rotary_emb_base".into(), rope["rope_theta"].take());
        keys.insert("rotary_pct".into(), rope["partial_rotary_factor"].take());
    } else {
        keys.insert("rope_theta".into(), rope.as_object_mut().unwrap().remove("rope_theta").unwrap());
        keys.insert("rope_scaling".into(), rope);
    }
    config
}

/// (A parser that ignored `rope_parameters` or `rope_scaling` would fall back to the defaults and fail here.)
#[test]
fn both_styles_of_rope_keys_mean_the_same() {
    for folder in model_folders(true) {
        let files = MemoryFiles::load(&folder);
        let config: Value = serde_json::from_str(&files.text("config.json")).unwrap();
        let newer = newer_style(config.clone());
        let older = older_style(newer.clone());
        let parsed = parse(&config).unwrap();
        assert_eq!(parse(&newer).unwrap(), parsed, "{folder:?}, newer style: {newer}");
        assert_eq!(parse(&older).unwrap(), parsed, "{folder:?}, older style: {older}");
        let from_files = ModelConfig::from_files(&files).unwrap();
        assert_eq!(
            ModelConfig { eos_token_ids: vec![0], ..from_files },
            ModelConfig { eos_token_ids: vec![0], ..parsed }
        );
    }
}

/// What `_compute_llama3_parameters` and `_compute_linear_scaling_rope_parameters` of transformers 5.23 return in
/// float32, for the fixture `llama3.2` and for heads of 16 with base 1e6 and factor 8.
const LLAMA3_GOLDEN: [f32; 16] = [
    1.0,
    0.44036663,
    0.19392276,
    0.071040705,
    0.007638111,
    0.0005175138,
    0.00022789578,
    0.00010035769,
    4.419417e-05,
    1.9461639e-05,
    8.570256e-06,
    3.7740544e-06,
    1.6619676e-06,
    7.3187493e-07,
    3.222933e-07,
    1.419272e-07,
];
const LINEAR_GOLDEN: [f32; 8] =
    [0.125, 0.022228492, 0.0039528473, 0.00070292666, 0.000125, 2.2228493e-05, 3.952847e-06, 7.029267e-07];

fn assert_close(given: &[f32], golden: &[f32]) {
    assert_eq!(given.len(), golden.len());
    for (given, golden) in given.iter().zip(golden) {
        // Two units in the last place: powers are not rounded alike everywhere.
        assert!((given - golden).abs() <= 2.4e-7 * golden, "{given} is not {golden}");
    }
}

#[test]
fn scaled_frequencies_are_those_of_transformers() {
    let llama = parse(&fixture_json("llama3.2")).unwrap();
    assert_eq!(llama.ropes.len(), 1);
    assert_eq!(llama.ropes[0].rotary_dim, 32);
    assert_close(&llama.ropes[0].inv_freq, &LLAMA3_GOLDEN);
    // The original length at the top level wins over the one in `rope_scaling`.
    let mut outer = fixture_json("llama3.2");
    let original = outer["rope_scaling"]["original_max_position_embeddings"].clone();
    outer["original_max_position_embeddings"] = original.clone();
    outer["rope_scaling"]["original_max_position_embeddings"] = json!(7);
    assert_close(&parse(&outer).unwrap().ropes[0].inv_freq, &LLAMA3_GOLDEN);
    outer["rope_scaling"].as_object_mut().unwrap().remove("original_max_position_embeddings");
    assert_close(&parse(&outer).unwrap().ropes[0].inv_freq, &LLAMA3_GOLDEN);
    outer.as_object_mut().unwrap().remove("original_max_position_embeddings");
    assert_ne!(parse(&outer).unwrap().ropes[0].inv_freq, llama.ropes[0].inv_freq);
    let linear = json!({ "rope_theta": 1e6, "head_dim": 16, "rope_scaling": { "type": "linear", "factor": 8.0 } });
    let llama = parse(&with(&fixture_json("llama"), linear)).unwrap();
    assert_close(&llama.ropes[0].inv_freq, &LINEAR_GOLDEN);
}

/// The keys that decide, as the repositories of these names publish them; `expect` by their model cards.
#[test]
fn published_configurations() {
    let pythia = parse(&json!({ "model_type": "gpt_neox", "hidden_size": 2560, "intermediate_size": 10240,
        "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 50304, "rotary_pct": 0.25,
        "rotary_emb_base": 10000, "use_parallel_residual": true, "max_position_embeddings": 2048, "bos_token_id": 0,
        "eos_token_id": 0, "tie_word_embeddings": false, "hidden_act": "gelu", "layer_norm_eps": 1e-05 }))
    .unwrap();
    assert_eq!((pythia.head_dim, pythia.n_kv_heads, pythia.ropes[0].rotary_dim), (80, 32, 20));
    assert_eq!((pythia.residual, pythia.activation, pythia.qkv_bias), (Residual::Parallel, Activation::Gelu, true));

    let distilgpt2 = parse(&json!({ "model_type": "gpt2", "activation_function": "gelu_new", "n_ctx": 1024,
        "n_embd": 768, "n_head": 12, "n_layer": 6, "n_positions": 1024, "vocab_size": 50257 }))
    .unwrap();
    assert_eq!((distilgpt2.intermediate_size, distilgpt2.eos_token_ids), (3072, vec![50256]));
    assert!(distilgpt2.learned_positions && distilgpt2.tie_word_embeddings && distilgpt2.ropes.is_empty());

    let qwen = parse(&json!({ "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864,
        "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936,
        "max_window_layers": 24, "sliding_window": 32768, "use_sliding_window": false, "rope_theta": 1000000.0,
        "tie_word_embeddings": true, "max_position_embeddings": 32768, "rms_norm_eps": 1e-06, "eos_token_id": 151645 }))
    .unwrap();
    assert_eq!((qwen.head_dim, qwen.qkv_bias, qwen.attn_out_bias), (64, true, false));
    assert!(qwen.layers.iter().all(|layer| layer.window.is_none()));

    // Gemma 3 4B: the text model inside, with most keys left to their defaults.
    let gemma = parse(&json!({ "model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"],
        "eos_token_id": [1, 106], "vision_config": { "hidden_size": 1152 }, "text_config": { "hidden_size": 2560,
        "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34, "sliding_window": 1024,
        "rope_scaling": { "factor": 8.0, "rope_type": "linear" } } }))
    .unwrap();
    assert_eq!((gemma.family, gemma.n_heads, gemma.n_kv_heads, gemma.head_dim), (Family::Gemma3, 8, 4, 256));
    assert_eq!((gemma.vocab_size, gemma.eos_token_ids.clone()), (262_208, vec![1, 106]));
    let windows: Vec<_> = gemma.layers.iter().map(|layer| layer.window).collect();
    assert_eq!(windows[..6], [Some(1024), Some(1024), Some(1024), Some(1024), Some(1024), None]);
    let [global, local] = [gemma.layers[5], gemma.layers[0]].map(|layer| &gemma.ropes[layer.rope.unwrap()].inv_freq);
    assert_eq!((global[0], local[0]), (0.125, 1.0));
    // Base 1e6 and 1e4, half of the exponent's range.
    assert_close(&[global[64], local[64]], &[1e-3 / 8.0, 1e-2]);
    assert_eq!(gemma.layers[0].attention_scale, 1.0 / 16.0);
    assert_eq!(gemma.embedding_scale, 2560f32.sqrt());
}

#[test]
fn sliding_layers_are_as_listed() {
    let qwen = fixture_json("qwen2");
    let on = json!({ "use_sliding_window": true, "sliding_window": 7, "max_window_layers": 1, "layer_types": null });
    let windows = |config: &Value| -> Vec<Option<usize>> {
        parse(config).unwrap().layers.iter().map(|layer| layer.window).collect()
    };
    assert_eq!(windows(&with(&qwen, on.clone())), [None, Some(7)]);
    assert_eq!(windows(&with(&with(&qwen, on.clone()), json!({ "max_window_layers": 0 }))), [Some(7), Some(7)]);
    let listed = with(&with(&qwen, on), json!({ "layer_types": ["sliding_attention", "full_attention"] }));
    assert_eq!(windows(&listed), [Some(7), None]);
    assert_eq!(windows(&with(&listed, json!({ "use_sliding_window": false }))), [None, None]);
    let gemma = fixture_json("gemma3");
    let third = json!({ "layer_types": null, "sliding_window_pattern": 3 });
    let w = Some(24);
    assert_eq!(windows(&with(&gemma, third)), [w, w, None, w, w, None]);
}

#[test]
fn attention_scale_of_gpt2_can_depend_on_the_layer() {
    let gpt2 = fixture_json("gpt2");
    let scales = |changes: Value| -> Vec<f32> {
        parse(&with(&gpt2, changes)).unwrap().layers.iter().map(|layer| layer.attention_scale).collect()
    };
    assert_eq!(scales(json!({})), [0.25, 0.25]);
    assert_eq!(scales(json!({ "scale_attn_by_inverse_layer_idx": true })), [0.25, 0.125]);
    assert_eq!(scales(json!({ "scale_attn_weights": false })), [1.0, 1.0]);
}

#[test]
fn generation_config_decides_the_end() {
    let config = fixture_json("llama").to_string();
    let eos = |generation| ModelConfig::from_json(&config, Some(generation)).unwrap().eos_token_ids;
    assert_eq!(eos(r#"{ "eos_token_id": [7, 8] }"#), [7, 8]);
    assert_eq!(eos(r#"{ "eos_token_id": 9 }"#), [9]);
    assert_eq!(eos("{}"), [0]);
}

#[test]
fn an_unknown_architecture_names_the_known_ones() {
    let message =
        parse(&json!({ "model_type": "mamba", "architectures": ["MambaForCausalLM"] })).unwrap_err().to_string();
    for name in ["mamba", "gpt2", "gpt_neox", "llama", "qwen2", "qwen3", "gemma3_text", "gemma3"] {
        assert!(message.contains(name), "{message}");
    }
}

/// Each change to a fixture's configuration, and the key that the error has to name.
#[test]
fn impossible_values_are_errors() {
    let cases = [
        ("llama", json!({ "num_attention_heads": 0 }), "num_attention_heads"),
        ("llama", json!({ "num_attention_heads": -4 }), "num_attention_heads"),
        ("llama", json!({ "num_attention_heads": 4.5 }), "num_attention_heads"),
        ("llama", json!({ "num_key_value_heads": 3 }), "num_key_value_heads"),
        ("llama", json!({ "num_attention_heads": 6, "head_dim": null }), "num_attention_heads"),
        ("llama", json!({ "head_dim": 15 }), "head_dim"),
        ("llama", json!({ "head_dim": 16_000_000 }), "num_attention_heads"),
        ("llama", json!({ "hidden_size": "64" }), "hidden_size"),
        ("llama", json!({ "vocab_size": 1e18 }), "vocab_size"),
        ("llama", json!({ "num_hidden_layers": 4_000_000_000u64 }), "num_hidden_layers"),
        ("llama", json!({ "rms_norm_eps": -1e-6 }), "rms_norm_eps"),
        ("llama", json!({ "hidden_act": "xielu" }), "hidden_act"),
        ("llama", json!({ "eos_token_id": -1 }), "eos_token_id"),
        ("llama", json!({ "rope_theta": 0 }), "rope_theta"),
        ("llama", json!({ "partial_rotary_factor": 0.5 }), "partial_rotary_factor"),
        ("llama", json!({ "quantization_config": { "quant_method": "gptq" } }), "quantization_config"),
        ("llama", json!({ "rope_scaling": { "rope_type": "yarn", "factor": 4.0 } }), "rope_type"),
        ("llama", json!({ "rope_scaling": { "type": "dynamic", "factor": 4.0 } }), "rope_type"),
        ("llama", json!({ "rope_parameters": { "rope_type": "longrope" } }), "rope_type"),
        ("llama", json!({ "rope_scaling": { "rope_type": "linear" } }), "factor"),
        ("llama", json!({ "rope_scaling": { "rope_type": "llama3", "factor": 8.0 } }), "low_freq_factor"),
        ("gpt2", json!({ "n_head": 7 }), "n_head"),
        ("gpt-neox", json!({ "rotary_pct": 1.5 }), "rotary_pct"),
        ("gpt-neox", json!({ "rotary_pct": 0.01 }), "rotary_pct"),
        ("gemma3", json!({ "attn_logit_softcapping": 50.0 }), "attn_logit_softcapping"),
        ("gemma3", json!({ "final_logit_softcapping": 30.0 }), "final_logit_softcapping"),
        ("gemma3", json!({ "use_bidirectional_attention": true }), "use_bidirectional_attention"),
        ("gemma3", json!({ "sliding_window_pattern": 0, "layer_types": null }), "sliding_window_pattern"),
        ("gemma3", json!({ "sliding_window": null }), "sliding_window"),
        ("gemma3", json!({ "layer_types": ["full_attention"] }), "layer_types"),
        ("gemma3", json!({ "model_type": "gemma3" }), "text_config"),
        (
            "qwen3",
            json!({ "use_sliding_window": true, "layer_types": ["linear_attention", "full_attention"] }),
            "layer_types",
        ),
    ];
    for (name, changes, key) in cases {
        match parse(&with(&fixture_json(name), changes.clone())) {
            Err(Error::BadConfig { key: named, .. }) => assert_eq!(named, key, "{name}: {changes}"),
            other => panic!("{name} with {changes}: {other:?}"),
        }
    }
    for text in ["", "[]", "{", "nul"] {
        assert!(matches!(ModelConfig::from_json(text, None), Err(Error::BadFile { .. })), "{text:?}");
    }
    assert!(matches!(ModelConfig::from_json("{}", None), Err(Error::BadConfig { key, .. }) if key == "model_type"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..5000i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!("llama3")),
        Just(json!("linear")),
        Just(json!(["sliding_attention", "full_attention"])),
    ];
    let keys = proptest::sample::select(vec!["rope_type", "factor", "rope_theta", "full_attention", "low_freq_factor"]);
    leaf.prop_recursive(2, 8, 4, move |inner| {
        proptest::collection::btree_map(keys.clone().prop_map(String::from), inner, 0..4).prop_map(|map| json!(map))
    })
}

proptest! {
    /// Whatever stands at whatever key, the answer is a configuration that holds together or an error.
    #[test]
    fn no_configuration_panics(fixture in 0usize..8, key: prop::sample::Index, value in any_json()) {
        let folder = &model_folders(false)[fixture];
        let mut config: Value = serde_json::from_str(&MemoryFiles::load(folder).text("config.json")).unwrap();
        let mut keys: Vec<String> = config.as_object().unwrap().keys().cloned().collect();
        keys.extend(["rope_parameters", "rope_scaling", "layer_types", "head_dim"].map(String::from));
        config[key.get(&keys)] = value;
        if let Ok(config) = parse(&config) {
            prop_assert_eq!(config.n_heads % config.n_kv_heads, 0);
            for layer in &config.layers {
                prop_assert_eq!(layer.rope.is_none(), config.learned_positions);
                prop_assert!(layer.rope.is_none_or(|rope| rope < config.ropes.len()));
            }
            for rope in &config.ropes {
                prop_assert!(rope.rotary_dim <= config.head_dim && rope.inv_freq.len() * 2 == rope.rotary_dim);
            }
        }
    }
}
