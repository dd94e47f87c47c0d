//! What `understory serve` says of itself, where it serves the page.

use serde::Deserialize;

use crate::platform::files;

/// Beside the page, where `understory serve` serves it; on other hosts there is no such thing.
const INFO: &str = "./engine/info";

/// No more of it is read than what other versions say too.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ServerInfo {
    pub version: String,
    #[serde(default)]
    adapters: Vec<Adapter>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Adapter {
    backend: String,
    preferred: bool,
}

impl ServerInfo {
    /// Of the adapter that is used.
    pub fn backend(&self) -> Option<&'static str> {
        let used = self.adapters.iter().find(|adapter| adapter.preferred)?;
        match used.backend.as_str() {
            "vulkan" => Some("Vulkan"),
            "metal" => Some("Metal"),
            "dx12" => Some("DX12"),
            _ => None,
        }
    }
}

/// `None` on any host but `understory serve`, whatever it answers.
pub async fn info() -> Option<ServerInfo> {
    serde_json::from_str(&files::text(INFO).await?).ok()
}
