//! What a card says of a model of the catalogue.

use understory_protocol::catalogue::{CONTEXT, CatalogueModel, Fit};

use super::format;

/// `llama, 135 M parameters, GGUF Q4_1`
fn what(model: &CatalogueModel) -> String {
    let millions = model.parameters as f64 / 1e6;
    let parameters = match millions >= 999.5 {
        true => format!("{} B", format::rounded(millions / 1e3)),
        false => format!("{} M", format::rounded(millions)),
    };
    format!("{}, {parameters} parameters, {}", model.family, files(model))
}

/// `GGUF Q4_1`
pub fn files(model: &CatalogueModel) -> String {
    format!("{} {}", model.format, model.dtype)
}

/// `Download 93.8 MiB, about 257 MiB of memory with 2048 tokens`
fn needs(model: &CatalogueModel) -> String {
    let about = if model.exact { "" } else { "about " };
    let (download, memory) = (format::bytes(model.download_bytes), format::bytes(model.memory_bytes));
    format!("Download {about}{download}, about {memory} of memory with {CONTEXT} tokens")
}

/// Each a paragraph of the card.
pub fn lines(model: &CatalogueModel, draft: Option<&CatalogueModel>) -> Vec<String> {
    let mut lines = vec![what(model), needs(model), format!("Licence: {}", model.licence)];
    lines.extend(draft.map(|draft| format!("Draft: {}", draft.title)));
    lines
}

/// `kept`: all files are in the browser.
pub fn fit(fit: Fit, kept: bool) -> String {
    let told = match fit {
        Fit::Probably => "Probably fits this device",
        Fit::TooLittleMemory => "Probably too large for this device's memory",
        Fit::TooLittleStorage => "Probably too large for what the browser keeps",
        Fit::Unknown => "Whether it fits is not known here",
    };
    format!("{told}{}", if kept { ". Kept in this browser" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(parameters: u64, exact: bool) -> CatalogueModel {
        CatalogueModel {
            id: "o/n/m.gguf".into(),
            title: "M".into(),
            family: "llama".into(),
            shape: "m".into(),
            parameters,
            format: "GGUF".into(),
            dtype: "Q4_1".into(),
            download_bytes: 98_362_432,
            exact,
            kv_bytes: 0,
            memory_bytes: 269_679_379,
            licence: "Apache-2.0".into(),
            gated: false,
            draft: None,
            sha256: None,
        }
    }

    /// An estimate that is stated as a size fails this.
    #[test]
    fn computed_sizes_say_so() {
        let memory = "about 257 MiB of memory with 2048 tokens";
        assert_eq!(needs(&model(1, true)), format!("Download 93.8 MiB, {memory}"));
        assert_eq!(needs(&model(1, false)), format!("Download about 93.8 MiB, {memory}"));
    }

    #[test]
    fn parameters_have_their_unit() {
        assert_eq!(what(&model(134_515_008, true)), "llama, 135 M parameters, GGUF Q4_1");
        assert_eq!(what(&model(999_885_952, true)), "llama, 1.00 B parameters, GGUF Q4_1");
        assert_eq!(what(&model(2_775_208_960, true)), "llama, 2.78 B parameters, GGUF Q4_1");
    }

    /// A promise fails this: memory is shared with whatever else runs.
    #[test]
    fn nothing_is_promised() {
        for of in [Fit::Probably, Fit::TooLittleMemory, Fit::TooLittleStorage] {
            assert!(fit(of, false).starts_with("Probably "), "{}", fit(of, false));
        }
    }
}
