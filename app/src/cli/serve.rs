//! Arguments of `understory serve`.

use std::path::PathBuf;

use clap::Args;

pub const EXAMPLES: &str = "\
The page offers two engines: the browser's (WebGPU) and this computer's (Vulkan, Metal, DirectX 12). This computer's
serves one page at a time; a second one is told so. The address goes to stdout. Ctrl-C ends the server, with status 0.

Examples:
  understory serve --open
  understory serve --port 0
  understory serve --page web/dist
  understory serve --host 0.0.0.0 --allow-remote";

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address to listen on; other computers reach it only with --allow-remote
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8190)]
    pub port: u16,
    /// Open the page in the default browser
    #[arg(long)]
    pub open: bool,
    /// Serve the page of this folder instead of the one inside the program
    #[arg(long, value_name = "DIR")]
    pub page: Option<PathBuf>,
    /// Let other computers use the page and this computer's GPU: anyone who reaches the address can
    #[arg(long)]
    pub allow_remote: bool,
    /// Use the hub's cache only, never the network (also HF_HUB_OFFLINE=1)
    #[arg(long)]
    pub offline: bool,
}
