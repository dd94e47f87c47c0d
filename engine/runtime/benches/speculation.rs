//! Every method of speculation beside plain decoding, in one process, interleaved: acceptance, nodes, tokens per pass
//! of the target, speed relative to plain decoding, and how much the text repeats itself.
//!
//!     cargo bench -p understory-runtime --bench speculation -- --prompts bench/prompts/tales.jsonl \
//!         --lengths 100,300 --every 4 --out bench/runs/NAME
//!
//! `--methods ar,lookup,auto` runs these only (`ar` among them, or there is no speed to tell), `--every N` takes every
//! N-th prompt, `--offset K` begins with the K-th, `--repeat R` runs each R times, every second prompt and time in
//! reverse order. One line of JSON a run goes to `speculation.jsonl`, the tables to `speculation.md`.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use understory_model::files::FolderFiles;
use understory_protocol::formulas::repetition;
use understory_protocol::{Costs, Dtype, GenerateRequest, Generation, LoadOptions, Method, Prompt, Sampling, Schedule};
use understory_runtime::Engine;
use understory_runtime::gpu::Gpu;

const METHODS: [(&str, Method); 9] = [
    ("ar", Method::Ar),
    ("linear k 3", Method::Linear { k: 3 }),
    ("linear k 6", Method::Linear { k: 6 }),
    ("tree", Method::Tree { depth: 6, branch: 2, tau: 0.05, budget: 63 }),
    ("dynatree", Method::DynaTree),
    ("assisted", Method::Assisted { schedule: Schedule::Heuristic { start: 5 } }),
    ("assisted, confidence", Method::Assisted { schedule: Schedule::Confidence { most: 20, threshold: 0.4 } }),
    ("lookup", Method::Lookup { ngram: 3, tokens: 10 }),
    ("auto", Method::Auto),
];

#[derive(Deserialize)]
struct BenchPrompt {
    id: String,
    n_words: usize,
    text: String,
}

/// One run, as it is written to the raw data.
#[derive(Serialize)]
struct Run {
    prompt: String,
    n_words: usize,
    tokens: usize,
    method: &'static str,
    repeat: usize,
    temperature: f32,
    /// the text is plain decoding's
    identical: bool,
    ttft_ms: Option<f64>,
    tpot_ms: Option<f64>,
    /// share of the text's 4-grams of tokens that had occurred before
    repetition: Option<f64>,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Clone, Default, Serialize)]
struct Counts {
    target_passes: usize,
    rounds: usize,
    drafted: usize,
    accepted: usize,
    nodes_verified: usize,
    acceptance_length: f64,
    host_syncs_per_token: f64,
    tokens_per_emission: f64,
    /// accepted by depth, from 1
    by_depth: Vec<usize>,
    decisions: usize,
}

struct Options {
    methods: Vec<(&'static str, Method)>,
    prompts: PathBuf,
    lengths: Vec<usize>,
    every: usize,
    offset: usize,
    repeat: usize,
    temperature: f32,
    out: PathBuf,
}

fn main() {
    let options = options();
    let text = std::fs::read_to_string(&options.prompts).expect("the prompts are readable");
    let prompts: Vec<BenchPrompt> = text.lines().map(|line| serde_json::from_str(line).expect("a prompt")).collect();
    let prompts: Vec<_> = prompts.into_iter().skip(options.offset).step_by(options.every).collect();
    let (mut engine, costs) = pollster::block_on(open());
    eprintln!("{} prompts, {:?} tokens; {costs:?}", prompts.len(), options.lengths);
    let mut runs = Vec::new();
    for (nth, prompt) in prompts.iter().enumerate() {
        for &tokens in &options.lengths {
            let mut plain = None;
            for repeat in 0..options.repeat {
                let mut order = options.methods.clone();
                if (nth + repeat) % 2 == 1 {
                    order.reverse();
                }
                for (name, method) in order {
                    let out = generate(&mut engine, prompt, tokens, method, options.temperature);
                    let ids = plain.get_or_insert_with(|| out.token_ids.clone());
                    runs.push(run(prompt, name, repeat, options.temperature, &out, *ids == out.token_ids));
                }
            }
            eprintln!("{} x {tokens}: done", prompt.id);
        }
    }
    std::fs::create_dir_all(&options.out).expect("the output folder can be made");
    let lines: String = runs.iter().map(|r| serde_json::to_string(r).expect("it serialises") + "\n").collect();
    write(&options.out, "speculation.jsonl", &lines);
    let report = report(&engine, &costs, &runs, &options);
    print!("{report}");
    write(&options.out, "speculation.md", &report);
}

fn write(folder: &Path, name: &str, text: &str) {
    let beside = folder.join(format!("{name}.part"));
    std::fs::write(&beside, text).expect("the output can be written");
    std::fs::rename(beside, folder.join(name)).expect("the output can be moved into place");
}

fn options() -> Options {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies in the workspace");
    let mut options = Options {
        methods: METHODS.to_vec(),
        prompts: root.join("bench/prompts/tales.jsonl"),
        lengths: vec![100, 300, 500],
        every: 1,
        offset: 0,
        repeat: 2,
        temperature: 0.0,
        out: root.join("bench/runs/speculation"),
    };
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_else(|| panic!("{name} needs a value"));
        let number = || value.parse().unwrap_or_else(|_| panic!("{name} {value}: expected a number"));
        match name.as_str() {
            "--methods" => {
                let named = |name: &str| {
                    let known = METHODS.into_iter().find(|m| m.0 == name);
                    known.unwrap_or_else(|| panic!("{name}: no method; there are {:?}", METHODS.map(|m| m.0)))
                };
                options.methods = value.split(',').map(named).collect();
            }
            "--prompts" => options.prompts = value.into(),
            "--lengths" => {
                options.lengths = value.split(',').map(|n| n.parse().expect("lengths are numbers")).collect()
            }
            "--every" => options.every = number(),
            "--offset" => options.offset = number(),
            "--repeat" => options.repeat = number(),
            "--temperature" => options.temperature = value.parse().expect("a temperature"),
            "--out" => options.out = value.into(),
            _ => panic!("unknown argument {name}"),
        }
    }
    options
}

async fn open() -> (Engine, Costs) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the crate lies in the workspace")
        .join("models");
    let files = |name: &str| FolderFiles::open(models.join(name)).expect("a bundled model");
    let options = LoadOptions { dtype: Dtype::F16, kv_dtype: None, profile: None };
    let gpu = Gpu::open(None).await.expect("an adapter");
    let mut engine = Engine::open(gpu, &files("tales"), &options, &mut |_| {}).await.expect("the target loads");
    engine.load_draft(&files("tales-draft"), &options, &mut |_| {}).await.expect("the draft loads");
    let costs = engine.calibrate(None).await.expect("calibrates").clone();
    (engine, costs)
}

fn generate(engine: &mut Engine, prompt: &BenchPrompt, tokens: usize, method: Method, temperature: f32) -> Generation {
    engine.clear_cache();
    let top_p = if temperature > 0.0 { 0.95 } else { 1.0 };
    let request = GenerateRequest {
        prompt: Prompt::Text(prompt.text.clone()),
        max_new_tokens: tokens,
        ignore_eos: true,
        stop: Vec::new(),
        sampling: Sampling { temperature, top_p, seed: 1, ..Sampling::default() },
        method,
        synthetic_acceptance: None,
        trace: false,
    };
    pollster::block_on(engine.generate(&request, &mut |_| ControlFlow::Continue(()))).expect("generates")
}

fn run(
    prompt: &BenchPrompt,
    method: &'static str,
    repeat: usize,
    temperature: f32,
    out: &Generation,
    identical: bool,
) -> Run {
    let counts = out.speculation.as_ref().map_or_else(Counts::default, |s| Counts {
        target_passes: s.target_passes,
        rounds: s.rounds,
        drafted: s.drafted,
        accepted: s.accepted,
        nodes_verified: s.nodes_verified,
        acceptance_length: s.acceptance_length,
        host_syncs_per_token: s.host_syncs_per_token,
        tokens_per_emission: s.tokens_per_emission,
        by_depth: s.by_depth.iter().map(|d| d.accepted).collect(),
        decisions: s.governor.len(),
    });
    Run {
        prompt: prompt.id.clone(),
        n_words: prompt.n_words,
        tokens: out.token_ids.len(),
        method,
        repeat,
        temperature,
        identical,
        ttft_ms: out.metrics.ttft_ms,
        tpot_ms: out.metrics.tpot_ms,
        repetition: repetition(&out.prompt_token_ids, &out.token_ids),
        counts,
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (n > 0).then(|| (values[(n - 1) / 2] + values[n / 2]) / 2.0)
}

/// Speed of `run` over that of plain decoding of the same prompt in the same repeat.
fn speed_up(runs: &[Run], run: &Run) -> Option<f64> {
    let same = |r: &&Run| (r.method, &r.prompt, r.tokens, r.repeat) == ("ar", &run.prompt, run.tokens, run.repeat);
    Some(runs.iter().find(same)?.tpot_ms? / run.tpot_ms?)
}

/// TTFT of `run` over that of plain decoding.
fn ttft_ratio(runs: &[Run], run: &Run) -> Option<f64> {
    let same = |r: &&Run| (r.method, &r.prompt, r.tokens, r.repeat) == ("ar", &run.prompt, run.tokens, run.repeat);
    Some(run.ttft_ms? / runs.iter().find(same)?.ttft_ms?)
}

/// Median, with the 95 % interval of the median by bootstrap.
fn with_interval(values: &[f64]) -> String {
    let Some(middle) = median(&mut values.to_vec()) else { return "-".into() };
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % values.len()
    };
    let mut medians: Vec<f64> =
        (0..1000).filter_map(|_| median(&mut (0..values.len()).map(|_| values[draw()]).collect::<Vec<_>>())).collect();
    medians.sort_by(f64::total_cmp);
    format!("{middle:.3} ({:.3} to {:.3})", medians[25], medians[974])
}

fn report(engine: &Engine, costs: &Costs, runs: &[Run], options: &Options) -> String {
    let mut out = String::new();
    let adapter = engine.gpu().report();
    let _ = writeln!(out, "# Methods of speculation: tales with tales-draft\n");
    let _ = writeln!(
        out,
        "Device: {} ({:?} kernels). f16 weights, temperature {}. Raw runs: speculation.jsonl.",
        adapter.name,
        engine.kernel_set(),
        options.temperature
    );
    let _ = writeln!(
        out,
        "Speed and TTFT are ratios to `ar` of the same prompt and repeat, run beside it in one process: median with the 95 % interval (bootstrap).\n"
    );
    let _ = writeln!(out, "Costs measured at load ({:.0} ms): a plain step {:.2} ms.\n", costs.took_ms, costs.plain_ms);
    let _ = writeln!(out, "| rows n | verify ms | c(n) | draft level ms |\n|---|---|---|---|");
    for (rows, ms) in &costs.verify_ms {
        let draft = costs.draft_ms.iter().find(|d| d.0 == *rows).map_or("-".into(), |d| format!("{:.2}", d.1));
        let _ = writeln!(out, "| {rows} | {ms:.2} | {:.2} | {draft} |", ms / costs.plain_ms);
    }
    let mut groups: BTreeMap<usize, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        groups.entry(run.tokens).or_default().push(run);
    }
    for (tokens, group) in &groups {
        let n = group.iter().map(|r| &r.prompt).collect::<HashSet<_>>().len();
        let _ = writeln!(out, "\n## {tokens} tokens, {n} prompts x {} runs\n", options.repeat);
        let _ = writeln!(
            out,
            "| method | identical | acceptance length | nodes a round | tokens a target pass | rows verified a token | speed / ar | TTFT / ar | syncs a token | repetition |\n|---|---|---|---|---|---|---|---|---|---|"
        );
        for &(name, _) in &options.methods {
            let of: Vec<&&Run> = group.iter().filter(|r| r.method == name).collect();
            let identical = of.iter().filter(|r| r.identical).count();
            let sum = |f: &dyn Fn(&Run) -> f64| of.iter().map(|r| f(r)).sum::<f64>();
            let rounds = sum(&|r| r.counts.rounds as f64).max(1.0);
            let passes = sum(&|r| r.counts.target_passes as f64);
            let speeds: Vec<f64> = of.iter().filter_map(|r| speed_up(runs, r)).collect();
            let ttfts: Vec<f64> = of.iter().filter_map(|r| ttft_ratio(runs, r)).collect();
            let repetition = sum(&|r| r.repetition.unwrap_or_default()) / of.len().max(1) as f64;
            let line = if name == "ar" {
                format!("| ar | {identical}/{} | 1 | 0 | 1 | 1 | 1 | 1 | 1 | {repetition:.2} |", of.len())
            } else {
                format!(
                    "| {name} | {identical}/{} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {} | {:.2} | {repetition:.2} |",
                    of.len(),
                    1.0 + sum(&|r| r.counts.accepted as f64) / rounds,
                    sum(&|r| r.counts.drafted as f64) / rounds,
                    sum(&|r| r.tokens as f64 - 1.0) / passes,
                    sum(&|r| r.counts.nodes_verified as f64) / sum(&|r| r.tokens as f64 - 1.0),
                    with_interval(&speeds),
                    with_interval(&ttfts),
                    sum(&|r| r.counts.host_syncs_per_token) / of.len().max(1) as f64,
                )
            };
            let _ = writeln!(out, "{line}");
        }
    }
    let _ =
        writeln!(out, "\n## `auto` by class of prompt\n\n| words | tokens | runs | speed / ar |\n|---|---|---|---|");
    let mut classes: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for run in runs.iter().filter(|r| r.method == "auto") {
        classes.entry((run.n_words, run.tokens)).or_default().extend(speed_up(runs, run));
    }
    for ((words, tokens), speeds) in &classes {
        let _ = writeln!(out, "| {words} | {tokens} | {} | {} |", speeds.len(), with_interval(speeds));
    }
    let all: Vec<f64> = classes.into_values().flatten().collect();
    let _ = writeln!(out, "| all | | {} | {} |", all.len(), with_interval(&all));
    out
}
