//! Device: what it is, what passes cost on it, and whether speculation is lossless there.

use leptos::prelude::*;
use understory_protocol::{AdapterReport, Loaded, Lossless};

use crate::components::ask::Ask;
use crate::components::charts::costs::costs;
use crate::components::charts::phases::phases;
use crate::components::figures::{Figure, SoftwareNote, figures};
use crate::components::table::{Table, plain};
use crate::state::Page;
use crate::state::session::KnownCosts;
use crate::wording::definitions as d;
use crate::wording::format;

#[component]
pub fn Device() -> impl IntoView {
    let page = expect_context::<Page>();
    let session = page.session;
    view! {
        <section aria-labelledby="view">
            <h1 id="view">"Device"</h1>
            {move || match session.loaded.get() {
                Some(loaded) => adapter(&loaded).into_any(),
                None => view! { <p class="hint">"Known as soon as the models are loaded."</p> }.into_any(),
            }}
            {move || session.costs.get().map(|known| (lossless(known.costs.lossless), calibration(&known)))}
            <Show when=move || session.costs.with(Option::is_some)>
                <button
                    type="button"
                    class="quiet"
                    disabled=move || !session.is_ready()
                    on:click=move |_| session.measure()
                >
                    "Measure again"
                </button>
            </Show>
            {move || session.loaded.get().map(|loaded| view! { <h2>"Loading"</h2> {phases(&loaded.phases_ms)} })}
        </section>
    }
}

fn adapter(loaded: &Loaded) -> impl IntoView + use<> {
    let AdapterReport { name, backend, device_type, driver, driver_info, subgroup_sizes, features, limits, .. } =
        loaded.device.clone();
    let told = |text: String| if text.is_empty() { "the browser does not say".into() } else { text };
    let dtype = loaded.dtype.name();
    let sizes = match subgroup_sizes {
        [0, 0] => "unknown".into(),
        [least, most] => format!("{least} to {most}"),
    };
    let draft = loaded.draft.as_ref().map_or_else(|| "none".into(), Clone::clone);
    let what = [
        ("adapter", told(name)),
        ("backend", backend),
        ("type", device_type),
        ("driver", told(format!("{driver} {driver_info}").trim().into())),
        ("subgroup sizes", sizes),
        ("features", if features.is_empty() { "none that matter here".into() } else { features.join(", ") }),
        ("kernels", loaded.profile.name().into()),
        ("models", format!("{}, drafted for by {draft}; {dtype} weights, context {}", loaded.target, loaded.context)),
    ];
    let limits = [
        ("largest buffer", format::bytes(limits.max_buffer_size)),
        ("largest storage binding", format::bytes(limits.max_storage_buffer_binding_size)),
        ("storage buffers per stage", limits.max_storage_buffers_per_shader_stage.to_string()),
        ("workgroup memory", format::bytes(limits.max_compute_workgroup_storage_size.into())),
        ("invocations per workgroup", limits.max_compute_invocations_per_workgroup.to_string()),
        ("workgroups per dimension", limits.max_compute_workgroups_per_dimension.to_string()),
    ];
    let rows =
        |all: Vec<(&str, String)>| all.into_iter().map(|(name, value)| [name.to_owned(), value]).collect::<Vec<_>>();
    view! {
        <SoftwareNote />
        <h2>"Adapter " <Ask about=&d::PROFILE /></h2>
        {plain(Table::new(["what", "value"], rows(what.into())))}
        <h2>"Limits"</h2>
        {plain(Table::new(["limit", "value"], rows(limits.into())))}
    }
}

fn lossless(lossless: Lossless) -> impl IntoView {
    let (class, badge, meaning) = match lossless {
        Lossless::Verified => (
            "badge good",
            "verified",
            "Rows of a tree have the bits of plain decoding on this device. So every method writes, token for token, \
             what the target alone would have written.",
        ),
        Lossless::SharedPipeline => (
            "badge good",
            "shared pipeline",
            "Rows of a tree have bits of their own on this device, so plain decoding goes through the tree's pipelines \
             as well. With that, every method writes the same text.",
        ),
        Lossless::Off => (
            "badge bad",
            "off",
            "Bits depend on the number of rows on this device, so nothing is speculated: every method decodes plainly.",
        ),
    };
    view! {
        <h2>"Self-test " <Ask about=&d::LOSSLESS /></h2>
        <p><span class=class>{badge}</span> " " {meaning}</p>
    }
}

fn calibration(known: &KnownCosts) -> impl IntoView + use<> {
    let (of, took) = (&known.costs, format::duration(Some(known.costs.took_ms)));
    let when = if known.kept {
        format!("measured on an earlier visit in {took}")
    } else {
        format!("measured just now in {took}")
    };
    view! {
        <h2>"Calibration"</h2>
        <p class="hint">"What speculation's passes cost here, " {when} "."</p>
        {figures([
            Figure::new(&d::PLAIN_STEP, format::duration(Some(of.plain_ms))),
            Figure::new(&d::FIXED, format::duration(Some(of.fixed_ms))),
        ])}
        {costs(of)}
    }
}
