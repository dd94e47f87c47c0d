//! From a model, a device and a request to TTFT, TPOT and what they are made of.

use serde::Serialize;
use understory_model::config::ModelConfig;
use understory_protocol::{Case, Error, Precision, Result};

use super::device::KvRead;
use super::operators::{Pass, weights_bytes};
use super::roofline::PassCost;
use super::{DeviceProfile, Numerics};

/// Checks a case.
///
/// # Errors
/// [`Error::BadParameter`] names what does not fit `config`.
pub fn validate(case: &Case, config: &ModelConfig) -> Result<()> {
    let positive = [
        ("input", case.input),
        ("output", case.output),
        ("batch", case.batch),
        ("chunk", case.chunk.unwrap_or(1)),
        ("tensor-parallel", case.tensor_parallel),
        ("lora", case.lora.map_or(1, |lora| lora.rank)),
    ];
    for (name, value) in positive {
        if value == 0 || value > 1 << 30 {
            return Err(Error::BadParameter { name, value: value.to_string(), expected: "1 to 2^30" });
        }
    }
    let positions = case.input + case.output;
    if positions > config.max_position_embeddings {
        return Err(Error::BadParameter {
            name: "input + output",
            value: positions.to_string(),
            expected: "no more than the model's context (max_position_embeddings)",
        });
    }
    let (parts, kv) = (case.tensor_parallel, config.n_kv_heads);
    let divides = config.n_heads.is_multiple_of(parts) && config.intermediate_size.is_multiple_of(parts);
    if !divides || !(kv.is_multiple_of(parts) || parts.is_multiple_of(kv)) {
        return Err(Error::BadParameter {
            name: "tensor-parallel",
            value: parts.to_string(),
            expected: "a divisor of the model's attention heads and of its intermediate size",
        });
    }
    Ok(())
}

/// The sizes of a case on `profile`.
pub fn numerics(case: &Case, profile: &DeviceProfile) -> Numerics {
    let wide = profile.f32_activations || case.dtype == Precision::F32;
    let activation_bytes = if wide { 4.0 } else { 2.0 };
    Numerics {
        weights: case.dtype,
        activation_bytes,
        kv_bytes: profile.kv_bytes.unwrap_or(activation_bytes),
        tensor_parallel: case.tensor_parallel,
        lora: case.lora,
        split_keys: profile.split_keys(),
        score_flops: profile.score_flops.unwrap_or(0.0),
        key_tiles: profile.key_tiles,
    }
}

/// Bytes on one device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Memory {
    pub weights_bytes: f64,
    /// of all sequences at their final length
    pub kv_bytes: f64,
    /// those two and the activations of the largest operator
    pub peak_bytes: f64,
    /// `None`: the profile does not know its memory
    pub fits: Option<bool>,
}

/// What is to be expected. Times in milliseconds; the definitions are in `understory_protocol::definitions::prediction`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// `None` where the device's arithmetic is not known
    pub ttft_ms: Option<f64>,
    /// `None` for one token of output
    pub tpot_ms: Option<f64>,
    pub e2e_ms: Option<f64>,
    pub prefill_tokens_per_s: Option<f64>,
    pub decode_tokens_per_s: Option<f64>,
    pub total_tokens_per_s: Option<f64>,
    pub tokens_per_ms: Option<f64>,
    pub ms_per_token: Option<f64>,
    pub energy_per_token_mj: Option<f64>,
    pub energy_mj: Option<f64>,
    pub memory: Memory,
    /// keys that the decode step below sees
    pub decode_context: usize,
    pub prefill: PassCost,
    pub decode: PassCost,
    /// what the figures leave out or assume
    pub notes: Vec<String>,
}

/// Predicts `case`.
///
/// # Errors
/// [`Error::BadParameter`], as [`validate`].
pub fn predict(config: &ModelConfig, profile: &DeviceProfile, case: &Case) -> Result<Prediction> {
    validate(case, config)?;
    let numerics = super::numerics(case, profile);
    let sync_ms = profile.sync_us.unwrap_or(0.0) / 1e3;
    let known = profile.flops(case.dtype).is_some();
    let prefill = prefill(config, profile, case);
    let step = |keys| PassCost::of(config, profile, &numerics, &Pass::step(keys, case.batch));

    let (batch, input, output) = (case.batch as f64, case.input as f64, case.output as f64);
    let ttft_ms = known.then_some(prefill.time_ms + sync_ms);
    let tpot_ms = (case.output > 1).then(|| match profile.kv_read {
        KvRead::Final => step(case.input + case.output).time_ms,
        // The token after the first is chosen by a step that sees the prompt and that first one.
        KvRead::Position => mean(case.input + 1, case.output - 1, |keys| step(keys).time_ms),
    });
    let e2e_ms = ttft_ms.map(|ttft| ttft + tpot_ms.unwrap_or(0.0) * (output - 1.0));
    let decode_context = match profile.kv_read {
        KvRead::Final => case.input + case.output,
        KvRead::Position => case.input + case.output.div_ceil(2),
    };
    let decode = step(decode_context);
    let per_ms = tpot_ms.map(|tpot| batch / tpot);
    let watts = profile.power_w.map(|power| power * case.tensor_parallel as f64);
    let weights = weights_bytes(config, &numerics);
    let kv = kv_bytes(config, &numerics, case);
    let activations = prefill.largest_activations_bytes.max(decode.largest_activations_bytes);
    let peak_bytes = weights + kv + activations;
    Ok(Prediction {
        ttft_ms,
        tpot_ms,
        e2e_ms,
        prefill_tokens_per_s: ttft_ms.map(|ttft| batch * input / ttft * 1e3),
        decode_tokens_per_s: per_ms.map(|tokens| tokens * 1e3),
        total_tokens_per_s: e2e_ms.map(|e2e| batch * (input + output) / e2e * 1e3),
        tokens_per_ms: per_ms,
        ms_per_token: tpot_ms.map(|tpot| tpot / batch),
        energy_per_token_mj: watts.zip(tpot_ms).map(|(watts, tpot)| watts * tpot / batch),
        energy_mj: watts.zip(e2e_ms).map(|(watts, e2e)| watts * e2e),
        memory: Memory {
            weights_bytes: weights,
            kv_bytes: kv,
            peak_bytes,
            fits: profile.memory_gb.map(|gb| peak_bytes <= gb * 1e9),
        },
        decode_context,
        prefill,
        decode,
        notes: notes(profile, case),
    })
}

/// The prompt, chunk by chunk; the last one chooses the first token.
pub fn prefill(config: &ModelConfig, profile: &DeviceProfile, case: &Case) -> PassCost {
    let numerics = super::numerics(case, profile);
    let chunk = case.chunk.or(profile.chunk).unwrap_or(case.input);
    let mut cost = PassCost::default();
    for base in (0..case.input).step_by(chunk) {
        let rows = chunk.min(case.input - base);
        let head_rows = usize::from(base + rows == case.input);
        cost.then(&PassCost::of(config, profile, &numerics, &Pass { rows, base, batch: case.batch, head_rows }));
    }
    cost
}

/// The mean of `of` over `n` whole numbers from `first` on; of many, over evenly spaced ones, since `of` is smooth.
fn mean(first: usize, n: usize, of: impl Fn(usize) -> f64) -> f64 {
    const MOST: usize = 512;
    if n <= MOST {
        return (first..first + n).map(of).sum::<f64>() / n as f64;
    }
    // Middles of equal parts.
    let at = |i: usize| first + ((2 * i + 1) * n) / (2 * MOST);
    (0..MOST).map(|i| of(at(i))).sum::<f64>() / MOST as f64
}

/// On one device, at the final length; layers with a window keep all keys too.
fn kv_bytes(config: &ModelConfig, numerics: &Numerics, case: &Case) -> f64 {
    let heads = config.n_kv_heads.div_ceil(numerics.tensor_parallel);
    let row = 2 * heads * config.head_dim * config.n_layers();
    (case.input + case.output) as f64 * case.batch as f64 * row as f64 * numerics.kv_bytes
}

fn notes(profile: &DeviceProfile, case: &Case) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |text: String| notes.push(text);
    match profile.flops(case.dtype) {
        None => note(
            "the profile states no arithmetic rate: the prefill is not predicted, decoding by its bytes alone".into(),
        ),
        Some((_, of)) if profile.f32_activations => {
            note(format!("weights in {}, computed in {} as this engine does", case.dtype.name(), of.name()));
        }
        Some((_, of)) if of != case.dtype && case.dtype != Precision::Int4 => {
            note(format!("the profile states no rate for {}: that of {} is used", case.dtype.name(), of.name()))
        }
        Some(_) => {}
    }
    let e = &profile.efficiency;
    if e.compute == 1.0 && e.memory == 1.0 && profile.kv_read != KvRead::Final {
        note("every peak is taken to be reached: real times are longer".into());
    }
    if profile.dispatch_us.is_none() {
        note("what a dispatch costs is not known and not counted".into());
    }
    if profile.kv_read == KvRead::Final {
        note("each step reads the KV cache at its final length, as GenZ has it".into());
    }
    if case.tensor_parallel > 1 {
        note(match profile.link_gb_s {
            Some(link) => format!("sums go round a ring at {link} GB/s one way, without latency"),
            None => "the profile states no link: exchange between devices is not counted".into(),
        });
    }
    match case.lora {
        Some(lora) if lora.merged => note("merged adapters are part of the weights: nothing changes".into()),
        Some(lora) => note(format!("adapters of rank {} beside every product of a layer", lora.rank)),
        None => {}
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::super::device::{Share, device};
    use super::super::models::model;
    use super::super::roofline::Bound;
    use super::*;
    use understory_protocol::Lora;

    fn case(input: usize, output: usize, batch: usize) -> Case {
        Case { dtype: Precision::Bf16, input, output, batch, chunk: None, tensor_parallel: 1, lora: None }
    }

    fn config(name: &str) -> ModelConfig {
        model(name).unwrap().unwrap().config().unwrap()
    }

    fn genz() -> DeviceProfile {
        device("genz-a100-40gb").unwrap().unwrap()
    }

    /// The published steps of GenZ (their own software's), and what plain arithmetic of its inputs gives. It would catch
    /// GB for GiB of bandwidth, the embedding streamed as well, and the broken published figure, which divides the step
    /// by the output's length once more (0.035 ms).
    #[test]
    fn the_check_values_come_out() {
        let tpot = |name: &str, case| predict(&config(name), &genz(), &case).unwrap().tpot_ms.unwrap();
        let cases = [
            ("llama-3.1-8b", case(1024, 256, 1), 8.895, 0.02, 8.83),
            ("llama-2-13b", case(1024, 256, 1), 15.87, 0.02, 15.57),
            ("llama-3.1-8b", case(512, 256, 4), 9.21, 0.03, 8.97),
        ];
        for (name, case, published, within, arithmetic) in cases {
            let tpot = tpot(name, case);
            assert!((tpot / published - 1.0).abs() < within, "{name}: {tpot} against {published}");
            assert!((tpot - arithmetic).abs() < 0.02, "{name}: {tpot} against {arithmetic}");
            let broken = tpot / case.output as f64;
            assert!((broken / published - 1.0).abs() > 0.9);
        }
    }

    /// TPOT over positions: with a cost linear in the keys, the mean step is the one in the middle, here between the
    /// 1025 keys of the first and the 1279 of the last.
    #[test]
    fn tpot_is_the_mean_of_the_steps() {
        let profile = DeviceProfile { kv_read: KvRead::Position, ..genz() };
        let of = |case: &Case| predict(&config("llama-3.1-8b"), &profile, case).unwrap();
        let request = of(&case(1024, 256, 1));
        let at = |keys: usize| {
            let numerics = numerics(&case(1, 1, 1), &profile);
            PassCost::of(&config("llama-3.1-8b"), &profile, &numerics, &Pass::step(keys, 1)).time_ms
        };
        let tpot = request.tpot_ms.unwrap();
        assert!((tpot - (at(1025) + at(1279)) / 2.0).abs() < 1e-9, "{tpot}");
        assert!((tpot - at(1152)).abs() < 1e-9 && at(1152) < at(1280));
        // Step by step: the request is its prefill and 255 steps, each of which sees one key more. 256 steps fail this.
        let e2e = request.ttft_ms.unwrap() + (1025..=1279).map(&at).sum::<f64>();
        assert!((request.e2e_ms.unwrap() / e2e - 1.0).abs() < 1e-9, "{e2e}");
        assert!((request.total_tokens_per_s.unwrap() / (1280.0 / e2e * 1e3) - 1.0).abs() < 1e-9);
        let one = of(&case(1024, 1, 1));
        assert_eq!((one.tpot_ms, one.e2e_ms), (None, one.ttft_ms));
        // Many positions are sampled: the mean stays.
        let long = mean(10, 100_000, |keys| keys as f64);
        assert!((long - 50_009.5).abs() < 100.0, "{long}");
    }

    /// By hand: a prompt of 1024 tokens is bound by compute; what 100 W take in a millisecond is 100 mJ.
    #[test]
    fn a_prefill_is_bound_by_compute_and_takes_power() {
        let profile = DeviceProfile { power_w: Some(100.0), sync_us: Some(500.0), ..genz() };
        let request = predict(&config("llama-3.1-8b"), &profile, &case(1024, 2, 1)).unwrap();
        // 2 x 6,979,321,856 weights of the layers' matrices x 1024 rows, attention 4 x 4096 x 32 x 1024 x 1025 / 2.
        let layers = 2.0 * 6_979_321_856.0 * 1024.0;
        let attention = 4.0 * 4096.0 * 32.0 * (1024.0 * 1025.0 / 2.0);
        let head = 2.0 * 4096.0 * 128_256.0;
        assert_eq!(request.prefill.flops, layers + attention + head);
        let up = request.prefill.operators.iter().find(|o| o.name == "gate, up").unwrap();
        assert_eq!(up.bound, Bound::Compute);
        let by_compute = (layers + attention) / 312e12 * 1e3;
        let ttft = request.ttft_ms.unwrap();
        assert!(ttft > by_compute + 0.5 && ttft < by_compute + 2.5, "{ttft} against {by_compute}");
        let energy = request.energy_per_token_mj.unwrap();
        assert!((energy - 100.0 * request.tpot_ms.unwrap()).abs() < 1e-9);
        assert_eq!(request.decode.operators.iter().find(|o| o.name == "gate, up").unwrap().bound, Bound::Memory);
    }

    /// 16.06 GB of weights and 1280 x 131,072 bytes of cache; they fit into 40 GB and not into 16.
    #[test]
    fn memory_is_weights_and_cache() {
        let of = |gb| {
            let profile = DeviceProfile { memory_gb: gb, ..genz() };
            predict(&config("llama-3.1-8b"), &profile, &case(1024, 256, 1)).unwrap().memory
        };
        let memory = of(Some(40.0));
        assert_eq!(memory.weights_bytes, 2.0 * 8_030_261_248.0);
        assert_eq!(memory.kv_bytes, 1280.0 * 131_072.0);
        assert!(memory.peak_bytes > memory.weights_bytes + memory.kv_bytes);
        assert_eq!((memory.fits, of(Some(16.0)).fits, of(None).fits), (Some(true), Some(false), None));
    }

    /// Smaller chunks stream the weights again; efficiencies divide; an unknown rate is not a fast one.
    #[test]
    fn what_ifs_change_what_they_should() {
        let config = config("llama-3.2-1b");
        let ttft = |profile: &DeviceProfile, case: &Case| predict(&config, profile, case).unwrap().ttft_ms;
        let whole = ttft(&genz(), &case(512, 2, 1)).unwrap();
        let chunked = ttft(&genz(), &Case { chunk: Some(16), ..case(512, 2, 1) }).unwrap();
        // 32 times 2 x 973 M bytes of layers at 1718 GB/s.
        assert!(chunked > 32.0 * 1.13 && chunked > 4.0 * whole, "{chunked} {whole}");
        let mut half = genz();
        half.efficiency.compute = 0.5;
        half.efficiency.memory = 0.5;
        assert!((ttft(&half, &case(512, 2, 1)).unwrap() / whole - 2.0).abs() < 1e-9);
        half.efficiency.overlap = 0.0;
        let (one_by_one, together) = (ttft(&half, &case(512, 2, 1)).unwrap(), 2.0 * whole);
        assert!(one_by_one > together && one_by_one < 2.0 * together, "{one_by_one} {together}");
        half.efficiency.overlap = 1.0;
        half.efficiency.attention = Some(Share { compute: 0.01, memory: 0.01 });
        assert!(ttft(&half, &case(512, 2, 1)).unwrap() > 2.1 * whole);
        let phone = predict(&config, &device("snapdragon-8-elite").unwrap().unwrap(), &case(512, 64, 1)).unwrap();
        assert_eq!((phone.ttft_ms, phone.e2e_ms, phone.prefill_tokens_per_s), (None, None, None));
        assert!(phone.tpot_ms.is_some() && phone.notes[0].contains("no arithmetic rate"));
        let shared = Case { tensor_parallel: 4, ..case(512, 64, 1) };
        let a100 = device("a100-40gb").unwrap().unwrap();
        let (one, four) =
            (predict(&config, &a100, &case(512, 64, 1)).unwrap(), predict(&config, &a100, &shared).unwrap());
        assert!(four.tpot_ms.unwrap() > one.tpot_ms.unwrap() / 4.0, "the exchange costs");
        assert!(four.tpot_ms.unwrap() < one.tpot_ms.unwrap());
        assert!(four.decode.operators.iter().any(|o| o.name == "all-reduce" && o.bound == Bound::Link));
    }

    #[test]
    fn cases_that_cannot_be_are_refused() {
        let says = |case: Case| predict(&config("llama-2-7b"), &genz(), &case).unwrap_err().to_string();
        assert!(says(case(0, 1, 1)).contains("input = 0"));
        assert!(says(case(4000, 200, 1)).contains("input + output = 4200"));
        assert!(says(Case { chunk: Some(0), ..case(8, 8, 1) }).contains("chunk"));
        assert!(says(Case { tensor_parallel: 3, ..case(8, 8, 1) }).contains("tensor-parallel = 3"));
        assert!(says(Case { lora: Some(Lora { rank: 0, merged: false }), ..case(8, 8, 1) }).contains("lora"));
    }
}
