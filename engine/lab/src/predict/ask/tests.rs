//! What the page can ask, and what it is told.

use understory_model::config::ModelConfig;

use super::*;
use crate::predict::models::model;
use crate::testing::CPU_TILING;

fn case(input: usize, output: usize, batch: usize) -> Case {
    Case { dtype: Precision::Bf16, input, output, batch, chunk: None, tensor_parallel: 1, lora: None }
}

fn request(model: &str, case: Case) -> PredictRequest {
    PredictRequest {
        model: PredictedModel::Named(model.into()),
        draft: None,
        acceptance: vec![0.8],
        device: PredictedDevice::Named("genz-a100-40gb".into()),
        case,
        measured: Vec::new(),
        verify_ms: Vec::new(),
    }
}

fn config(name: &str) -> ModelConfig {
    model(name).unwrap().unwrap().config().unwrap()
}

fn near(points: &[Point], x: f64) -> f64 {
    let after = points.iter().position(|point| point.0 >= x).unwrap();
    let (a, b) = (points[after.max(1) - 1], points[after.max(1)]);
    a.1 + (b.1 - a.1) * (x - a.0) / (b.0 - a.0)
}

/// The check values of the command line (`app/tests/predict.rs`), and nothing but what `predict` says. The curves must go
/// through them: it would catch one drawn over the output, or of another batch.
#[test]
fn an_answer_is_the_prediction_of_the_command_line() {
    let cases = [
        ("llama-3.1-8b", case(1024, 256, 1), 8.895, 0.02),
        ("llama-2-13b", case(1024, 256, 1), 15.87, 0.02),
        ("llama-3.1-8b", case(512, 256, 4), 9.21, 0.03),
    ];
    for (name, case, published, within) in cases {
        let answer = Predictor::default().ask(&request(name, case)).unwrap();
        let profile = device::device("genz-a100-40gb").unwrap().unwrap();
        assert_eq!(answer.prediction, predict(&config(name), &profile, &case).unwrap());
        let tpot = answer.prediction.tpot_ms.unwrap();
        assert!((tpot / published - 1.0).abs() < within, "{name}: {tpot} against {published}");
        let at_case = near(&answer.curves.step, answer.prediction.decode_context as f64);
        assert!((at_case / tpot - 1.0).abs() < 1e-3, "{name}: {at_case} against {tpot}");
        let (ttft, drawn) = (answer.prediction.ttft_ms.unwrap(), near(&answer.curves.ttft, case.input as f64));
        assert!((drawn / ttft - 1.0).abs() < 0.02, "{name}: {drawn} against {ttft}");
        let rate = answer.prediction.decode_tokens_per_s;
        let of_batch = answer.curves.batch.iter().find(|(point, _)| point.0 == case.batch as f64);
        assert_eq!(of_batch.map(|(point, _)| point.1), rate);
    }
}

#[test]
fn a_draft_brings_speculation() {
    let draft = Some(PredictedModel::Named("llama-3.2-1b".into()));
    let request = PredictRequest { draft, ..request("llama-3.1-8b", case(512, 128, 1)) };
    let found = Predictor::default().ask(&request).unwrap().speculation.unwrap();
    assert!((found.chains[3].expected_tokens - 3.3616).abs() < 1e-9);
    assert_eq!(found.trees.len(), 63);
    assert!(found.trees.iter().zip(1..).all(|(tree, nodes)| tree.nodes == nodes));
    let fastest = found.trees.iter().map(|tree| tree.tpot_ms).fold(f64::INFINITY, f64::min);
    assert_eq!(fastest, found.best_tree.tpot_ms);
}

#[test]
fn what_cannot_be_asked_is_said() {
    let says = |request: PredictRequest| Predictor::default().ask(&request).unwrap_err().to_string();
    let of = |case| request("llama-3.1-8b", case);
    let phone = PredictedDevice::Named("abacus".into());
    let drafted = PredictRequest {
        draft: Some(PredictedModel::Named("llama-3.2-1b".into())),
        acceptance: vec![1.5],
        ..of(case(8, 8, 1))
    };
    let cases = [
        (of(case(8, 8, 0)), "batch = 0 is out of range: expected 1"),
        (of(case(131_000, 100, 1)), "input + output = 131100"),
        (request("llama-9", case(8, 8, 1)), "model = llama-9"),
        (PredictRequest { device: phone, ..of(case(8, 8, 1)) }, "device = abacus"),
        (PredictRequest { model: PredictedModel::Target, ..of(case(8, 8, 1)) }, "no model is loaded"),
        (PredictRequest { device: PredictedDevice::Here, ..of(case(8, 8, 1)) }, "no model is loaded"),
        (of(Case { chunk: Some(1), ..case(100_000, 8, 1) }), "chunk = 1 is out of range"),
        (drafted, "acceptance = [1.5]"),
    ];
    for (request, words) in cases {
        let said = says(request);
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
}

/// The device at hand needs sizes; with them it is fitted once, and again when another request came.
#[test]
fn this_device_is_what_was_measured() {
    let config = understory_model::MeasuredShape::Tales.config().unwrap();
    let target = ModelShape { label: "tales".into(), source: "here".into(), config };
    let loaded =
        LoadedModels { target, draft: None, dtype: Precision::F16, tiling: CPU_TILING, device: "a device".into() };
    let mut predictor = Predictor::default();
    predictor.set_loaded(Some(loaded.clone()));
    let measured = |input: usize| {
        let ms = input as f64;
        MeasuredRequest { input, output: 24, ttft_ms: Some(1.0 + 0.1 * ms), tpot_ms: 2.0 + 0.001 * ms }
    };
    let mut of = PredictRequest {
        model: PredictedModel::Target,
        device: PredictedDevice::Here,
        measured: [8, 64].map(measured).into(),
        ..request("", Case { dtype: Precision::F16, ..case(100, 24, 1) })
    };
    let refused = predictor.ask(&of).unwrap_err().to_string();
    assert!(refused.contains("four prompt lengths"), "{refused}");
    of.measured.extend([200, 480].map(measured));
    let answer = predictor.ask(&of).unwrap();
    assert_eq!((answer.not_here, answer.measured.len()), (None, 4));
    let tpot = answer.prediction.tpot_ms.unwrap();
    assert!((tpot / 2.1 - 1.0).abs() < 0.1, "{tpot}");
    // What is kept is of these requests alone.
    of.measured.iter_mut().for_each(|one| one.tpot_ms *= 3.0);
    let slower = predictor.ask(&of).unwrap().prediction.tpot_ms.unwrap();
    assert!((slower / tpot / 3.0 - 1.0).abs() < 0.1, "{slower} {tpot}");
    predictor.set_loaded(None);
    assert!(predictor.ask(&of).is_err());
}
