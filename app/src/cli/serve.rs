//! Arguments of `understory serve`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

pub const EXAMPLES: &str = "\
The page offers two engines: the browser's (WebGPU) and this computer's (Vulkan, Metal, DirectX 12). This computer's \
serves one page at a time; a second one is told so. The address goes to stdout. Ctrl-C ends the server, with status 0. \
Beside the page, /metrics holds what this computer's engine measured, in Prometheus' format.

--lan also serves the page to phones and computers on this network, over HTTPS with a certificate made here (no other \
authority knows it, so the browser there warns once; its SHA-256 is printed to compare). The printed URL, also as a QR \
code, holds a code for this run of the program, with which that page sends its report into the collection. Nothing else \
is served there: no engine, no metrics, no reports.

Examples:
  understory serve --open
  understory serve --lan
  understory serve --lan=192.168.0.7 --lan-port 0 --db reports.sqlite
  understory serve --port 0
  understory serve --page web/dist
  understory serve --host 0.0.0.0 --allow-remote
  curl http://127.0.0.1:8190/metrics";

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
    /// Let other devices on the network open the page over HTTPS and send their reports; with an address of this computer,
    /// on that alone
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, help_heading = "Reports from the network")]
    pub lan: Option<Option<IpAddr>>,
    /// Port of --lan; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8191, help_heading = "Reports from the network")]
    pub lan_port: u16,
    /// Show the QR code also where stderr is no terminal
    #[arg(long, requires = "lan", help_heading = "Reports from the network")]
    pub qr: bool,
    /// The collection that reports go to [default: reports.sqlite in the user's data folder]
    #[arg(long, value_name = "FILE", requires = "lan", help_heading = "Reports from the network")]
    pub db: Option<PathBuf>,
}
