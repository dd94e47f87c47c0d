//! A number to type, with its definition beside it.

use leptos::prelude::*;

use super::ask::Ask;
use crate::state::settings::Field;

#[component]
pub fn NumberField(field: Field) -> impl IntoView {
    let id = field.definition.name.replace(' ', "-");
    view! {
        <div class="field">
            <span class="label">
                <label for=id.clone()>{field.definition.name}</label>
                <Ask about=field.definition />
            </span>
            <input
                id=id
                type="number"
                min="0"
                step=field.step
                inputmode="decimal"
                autocomplete="off"
                bind:value=field.value
            />
        </div>
    }
}
