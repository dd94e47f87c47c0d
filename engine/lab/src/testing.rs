//! Reports for tests.

pub mod json_schema;

use understory_protocol::{
    AdapterLimits, Browser, Costs, DepthCount, Dtype, FinishReason, KernelSet, Lossless, Method, PassTiling, Power,
    hash,
};

use super::metrics::Metric;
use super::report::*;
use super::scenario;
use super::scenario::Scenario;

/// `quick` with one prompt, in which the n-th run of method m takes `tpot(m, n)` ms a token: emissions of one token
/// (`ar`) or three.
pub fn report(label: &str, runs: usize, tpot: impl Fn(usize, usize) -> f64) -> Report {
    let mut scenario = scenario::quick();
    scenario.prompts.truncate(1);
    scenario.runs = runs;
    let mut report = of_scenario(label, &scenario, tpot);
    report.conclude();
    report
}

fn of_scenario(label: &str, scenario: &Scenario, tpot: impl Fn(usize, usize) -> f64) -> Report {
    let planned = scenario.cases();
    let mut cases: Vec<CaseReport> = planned
        .into_iter()
        .map(|planned| CaseReport {
            case: planned.case,
            samples: Vec::new(),
            summary: Vec::new(),
            speculation: None,
            goodput: None,
            flags: Vec::new(),
        })
        .collect();
    for run in scenario.schedule().runs() {
        let (Some(round), methods) = (run.round, scenario.methods.len()) else { continue };
        let of = &mut cases[run.case];
        let is_plain = of.case.method == Method::Ar;
        let ms = tpot(run.case % methods, round);
        let mut emissions = Emissions::default();
        emissions.push(30.0, 1);
        for nth in 1..=21 {
            emissions.push(30.0 + 3.0 * ms * f64::from(nth), 3);
        }
        if is_plain {
            let times: Vec<f64> = (0..64).map(|i| 30.0 + ms * f64::from(i)).collect();
            emissions = Emissions { tokens: vec![1; times.len()], at_ms: times };
        }
        of.samples.push(Sample {
            round,
            order: run.order,
            submitted_at_ms: Some(1000.0 * run.order as f64),
            before_ms: Some(0.0),
            first_text_ms: Some(30.0),
            paint_ms: None,
            emissions,
            prompt_tokens: 4,
            reused_tokens: 0,
            finish_reason: FinishReason::Length,
            phases: vec![Phase { name: "prefill".into(), ms: 20.0 }],
            output_hash: hash::of_tokens(&[1, 2, 3]),
            repetition: Some(0.25),
            peak_gpu_bytes: Some(64 << 20),
            speculation: (!is_plain).then(|| Counts {
                target_passes: 21,
                rounds: 21,
                drafted: 84,
                accepted: 42,
                nodes_verified: 105,
                by_depth: vec![DepthCount { offered: 21, nodes: 84, accepted: 42 }],
            }),
            hidden: None,
            load: None,
        });
    }
    Report {
        schema: SchemaId::current(),
        run_id: format!("test-{label}"),
        started_at: "2026-11-22T12:00:00Z".into(),
        took_ms: Some(60_000.0),
        engine: EngineBuild {
            version: "0.1.0".into(),
            commit: Some("0123456789abcdef0123456789abcdef01234567".into()),
            dirty: Some(false),
            build: Build::Release,
            wgpu: Some("30.0.1".into()),
            burn: None,
            shaders_hash: "89abcdef01234567".into(),
        },
        runtime: Runtime {
            kind: RuntimeKind::Native,
            backend: "vulkan".into(),
            browser: None,
            isolated: None,
            timer_resolution_ms: Some(0.0001),
            worker: None,
            visible: None,
        },
        device: Device {
            label: label.into(),
            os: Some("Linux 6.1".into()),
            cpu: Some("a CPU".into()),
            cpu_cores: Some(2),
            ram_bytes: Some(8 << 30),
            adapter: Adapter {
                name: Some("an adapter".into()),
                device_type: Some("discrete".into()),
                driver: None,
                driver_info: None,
                vendor: Some(0x10de),
                device: None,
                software: false,
                subgroup_sizes: Some([32, 32]),
                features: vec!["subgroups".into()],
                limits: AdapterLimits {
                    max_buffer_size: 1 << 31,
                    max_storage_buffer_binding_size: 1 << 27,
                    max_storage_buffers_per_shader_stage: 8,
                    max_compute_workgroup_storage_size: 16_384,
                    max_compute_invocations_per_workgroup: 256,
                    max_compute_workgroups_per_dimension: 65_535,
                },
                kernels: KernelSet::Gpu,
            },
            power: None,
            thermal: None,
            load: Some(0.1),
            pressure: None,
        },
        model: Models { target: model("tales"), draft: Some(model("tales-draft")) },
        protocol: scenario.protocol(),
        speculation: None,
        loading: Vec::new(),
        cases,
        ratios: Vec::new(),
        flags: Vec::new(),
    }
}

fn model(id: &str) -> Model {
    Model {
        id: id.into(),
        hash: Some(hash::of_text(id)),
        tokenizer_hash: Some("fedcba9876543210".into()),
        dtype: Dtype::F16,
        weight_types: vec!["f16".into()],
        weights_bytes: Some(7_880_000),
        parameters: None,
    }
}

/// A small report in which nothing is unknown and no list is empty.
pub fn full() -> Report {
    let mut report = report("full", 10, |method, n| 10.0 - method as f64 + 0.1 * (n % 3) as f64);
    report.runtime.browser =
        Some(Browser { name: "Chromium".into(), version: Some("142".into()), mobile: Some(false) });
    report.protocol.limits = Some(Limits { ttft_ms: 50.0, tpot_ms: 9.0 });
    report.runtime.isolated = Some(true);
    report.runtime.worker = Some(true);
    report.runtime.visible = Some(false);
    report.engine.burn = Some("0.22.1".into());
    let adapter = &mut report.device.adapter;
    (adapter.driver, adapter.driver_info, adapter.device) = (Some("d".into()), Some("1.2".into()), Some(7));
    report.device.power =
        Some(Power { on_battery: Some(true), battery_percent: Some(80), mode: Some("powersave".into()) });
    report.device.thermal = Some("nominal".into());
    report.device.pressure = Some("fair".into());
    report.model.target.parameters = Some(3_940_000);
    let costs = Costs {
        verify_ms: vec![(1, 2.0), (8, 3.5)],
        draft_ms: vec![(1, 1.0)],
        plain_ms: 2.0,
        fixed_ms: 0.5,
        lossless: Lossless::Verified,
        took_ms: 300.0,
    };
    report.speculation = Some(SpeculationSetup { lossless: Lossless::Verified, costs: Some(costs) });
    report.loading = vec![Phase { name: "upload".into(), ms: 31.5 }];
    for of in &mut report.cases {
        of.case.prompt.n_tokens = Some(4);
        if of.case.method != Method::Ar {
            (of.case.acceptance, of.case.synthetic_acceptance) = (Acceptance::Synthetic, Some(0.5));
            of.case.hash = of.case.fingerprint();
        }
        for sample in &mut of.samples {
            (sample.paint_ms, sample.hidden, sample.load) = (Some(45.0), Some(false), Some(0.5));
        }
    }
    report.conclude();
    report
}

/// A report of which as little is known as can be.
pub fn bare() -> Report {
    let mut report = report("bare", 2, |_, _| 10.0);
    (report.took_ms, report.speculation) = (None, None);
    let engine = &mut report.engine;
    (engine.commit, engine.dirty, engine.wgpu) = (None, None, None);
    report.runtime.timer_resolution_ms = None;
    let device = &mut report.device;
    (device.os, device.cpu, device.cpu_cores, device.ram_bytes, device.load) = (None, None, None, None, None);
    let adapter = &mut device.adapter;
    (adapter.name, adapter.device_type, adapter.vendor, adapter.subgroup_sizes) = (None, None, None, None);
    report.model.draft = None;
    let target = &mut report.model.target;
    (target.hash, target.tokenizer_hash, target.weights_bytes) = (None, None, None);
    for sample in report.cases.iter_mut().flat_map(|of| &mut of.samples) {
        (sample.submitted_at_ms, sample.before_ms, sample.first_text_ms) = (None, None, None);
        (sample.repetition, sample.peak_gpu_bytes, sample.speculation) = (None, None, None);
    }
    report.conclude();
    report
}

/// A report against its JSON Schema.
///
/// # Errors
/// The place of the first value that is not as it should be, and what is wrong with it.
pub fn check_schema(report: &serde_json::Value) -> Result<(), String> {
    let schema: serde_json::Value = serde_json::from_str(crate::schema::TEXT).expect("the schema is JSON");
    json_schema::validate(&schema, &schema, report, "")
}

/// The value of a metric's summary.
pub fn median(report: &Report, case: usize, metric: Metric) -> f64 {
    report.cases[case].summary_of(metric).unwrap_or_else(|| panic!("no {}", metric.id())).median.value
}

/// Passes as the engine divides them on CPU adapters.
pub const CPU_TILING: PassTiling =
    PassTiling { kernels: KernelSet::Cpu, split_keys: 16, key_tile: Some([16, 8]), chunk: 64 };
