//! A prediction as the page shows it: its figures, charts with measured points over predicted curves, memory, operators,
//! and what all of it assumes.

mod charts;
mod tables;

use maud::{Markup, html};
use understory_protocol::definitions::Definition;
use understory_protocol::definitions::prediction::explain;
use understory_protocol::{
    Precision, PredictReply, PredictRequest, PredictedDevice, PredictedModel, Result, SelectOption,
};

use crate::predict::ask::{Answer, Predictor};
use crate::predict::models::{self, ModelShape};
use crate::predict::{DeviceProfile, device, rows};

use super::meaning;

/// Asks `predictor`, and writes down what it says.
///
/// # Errors
/// Those of [`Predictor::ask`].
pub fn reply(predictor: &mut Predictor, request: &PredictRequest) -> Result<PredictReply> {
    let answer = predictor.ask(request)?;
    let loaded = predictor.loaded();
    let label = |shape: Option<&ModelShape>| match shape {
        Some(shape) => (format!("{}, loaded", shape.label), true),
        None => ("none is loaded".into(), false),
    };
    let shapes = models::models()?;
    let named = |chosen: Option<&PredictedModel>| -> Vec<SelectOption> {
        let is = |name: &str| chosen == Some(&PredictedModel::Named(name.into()));
        shapes.iter().map(|model| option(&model.name, &model.name, is(&model.name), true)).collect()
    };
    let (target, has_target) = label(loaded.map(|loaded| &loaded.target));
    let (draft, has_draft) = label(loaded.and_then(|loaded| loaded.draft.as_ref()));
    let (model, drafted) = (&request.model, request.draft.as_ref());
    let is_here = request.device == PredictedDevice::Here;
    let this_device = option("here", "this device, as measured", is_here, answer.not_here.is_none());
    let device = |device: DeviceProfile| {
        let is = request.device == PredictedDevice::Named(device.name.clone());
        option(&device.name, &device.label, is, true)
    };
    let dtype = |dtype: Precision| option(dtype.name(), dtype.name(), dtype == request.case.dtype, true);
    Ok(PredictReply {
        models: [vec![option("target", &target, *model == PredictedModel::Target, has_target)], named(Some(model))]
            .concat(),
        drafts: [
            vec![
                option("none", "none: plain decoding", drafted.is_none(), true),
                option("draft", &draft, drafted == Some(&PredictedModel::Draft), has_draft),
            ],
            named(drafted),
        ]
        .concat(),
        devices: std::iter::once(this_device).chain(device::devices()?.into_iter().map(device)).collect(),
        dtypes: Precision::ALL.map(dtype).into(),
        not_here: answer.not_here.clone(),
        html: document(&answer).into_string(),
    })
}

fn option(value: &str, label: &str, selected: bool, enabled: bool) -> SelectOption {
    SelectOption { value: value.into(), label: label.into(), selected, enabled }
}

fn document(answer: &Answer) -> Markup {
    let prediction = &answer.prediction;
    let title = rows::title(&answer.model, &answer.profile, &answer.case).replace('\n', "; ");
    let drafted = answer.speculation.as_ref().zip(answer.draft.as_ref());
    let mut assumed = prediction.notes.clone();
    assumed.push(format!("the shape of {}: {}", answer.model.label, answer.model.source));
    assumed.extend(answer.profile.origins());
    html! {
        p class="predicted-title" { (title) }
        (tables::figures(answer))
        div class="charts" {
            (charts::step(answer))
            (charts::ttft(answer))
            @if let Some((speculation, _)) = drafted { (charts::speed_up(speculation)) }
            @else { (charts::throughput(answer)) }
            (charts::verify(answer))
        }
        @if let Some((speculation, draft)) = drafted {
            h2 { "Speculation with " (draft.label) }
            (tables::rounds(speculation, answer))
        }
        (tables::fitted(answer))
        h2 { "Memory" }
        (charts::memory(answer))
        h2 { "Operators of a decode step, " (prediction.decode_context) " keys" }
        (tables::operators(&prediction.decode))
        h2 { "Operators of the prefill" }
        (tables::operators(&prediction.prefill))
        (meaning(&defined(["time", "flops", "bytes", "intensity", "bound"])))
        h2 { "What is assumed" }
        (list(&assumed))
    }
}

fn list(sentences: &[String]) -> Markup {
    html! { ul { @for sentence in sentences { li { (sentence) } } } }
}

fn defined<const N: usize>(ids: [&str; N]) -> Vec<&'static Definition> {
    ids.into_iter().filter_map(explain).collect()
}

fn texts<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(String::from).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use understory_protocol::Case;
    use understory_protocol::figures::rounded;

    /// The figures on the page are those of `predict`, and what was asked for is selected. A break-even of a pair that
    /// never pays is not called unknown.
    #[test]
    fn a_reply_shows_what_was_predicted() {
        let case = Case {
            dtype: Precision::Bf16,
            input: 1024,
            output: 256,
            batch: 1,
            chunk: None,
            tensor_parallel: 1,
            lora: None,
        };
        let mut request = PredictRequest {
            model: PredictedModel::Named("llama-3.1-8b".into()),
            draft: None,
            acceptance: vec![0.0],
            device: PredictedDevice::Named("genz-a100-40gb".into()),
            case,
            measured: Vec::new(),
            verify_ms: Vec::new(),
        };
        let mut predictor = Predictor::default();
        let tpot = predictor.ask(&request).unwrap().prediction.tpot_ms.unwrap();
        let plain = reply(&mut predictor, &request).unwrap();
        assert!(plain.html.contains(&format!("<dd>{} ms</dd>", rounded(tpot))), "{}", plain.html);
        let selected = |options: &[SelectOption]| -> Vec<String> {
            options.iter().filter(|option| option.selected).map(|option| option.value.clone()).collect()
        };
        let disabled = |options: &[SelectOption]| -> Vec<String> {
            options.iter().filter(|option| !option.enabled).map(|option| option.value.clone()).collect()
        };
        assert_eq!(
            (selected(&plain.models), disabled(&plain.models)),
            (vec!["llama-3.1-8b".into()], vec!["target".into()])
        );
        assert_eq!((selected(&plain.drafts), selected(&plain.dtypes)), (vec!["none".into()], vec!["bf16".into()]));
        assert_eq!(disabled(&plain.devices), ["here"]);
        assert!(plain.not_here.is_some());
        request.draft = Some(PredictedModel::Named("llama-3.2-1b".into()));
        let drafted = reply(&mut predictor, &request).unwrap();
        assert!(drafted.html.contains("<dd>never</dd>") && drafted.html.contains("Speculation with llama-3.2-1b"));
    }
}
