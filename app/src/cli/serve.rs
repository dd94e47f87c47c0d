//! Arguments of `understory serve`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

pub const EXAMPLES: &str = "\
The page offers two engines: the browser's (WebGPU) and this computer's (Vulkan, Metal, DirectX 12). This computer's \
engine serves one page at a time. The address is printed to stdout. Ctrl-C ends the server with status 0. /metrics \
serves the engine's measurements in Prometheus' text format.

--lan also serves the page to other devices on this network, over HTTPS. The certificate is self-signed, so the browser \
warns once; its SHA-256 is printed for comparison. The printed URL (also a QR code) contains a pairing code that is valid \
for this run of the program. With it, the page sends its report to the collection. --lan serves no engine, no metrics \
and no reports.

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
    /// Address to listen on. An address that other computers can reach needs --allow-remote
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on. 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 8190, value_parser = port, allow_negative_numbers = true)]
    pub port: u16,
    /// Open the page in the default browser
    #[arg(long)]
    pub open: bool,
    /// Serve the page in this folder instead of the bundled one
    #[arg(long, value_name = "DIR")]
    pub page: Option<PathBuf>,
    /// Allow anyone who can reach the address to use the page and this computer's GPU
    #[arg(long)]
    pub allow_remote: bool,
    /// Use only the hub's cache, never the network. HF_HUB_OFFLINE=1 does the same
    #[arg(long)]
    pub offline: bool,
    /// Serve the page to other devices on the network over HTTPS and accept their reports. With ADDRESS, listen on that
    /// address only
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, value_parser = address, help_heading = "Reports from the network")]
    pub lan: Option<Option<IpAddr>>,
    /// Port of --lan. 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 8191, value_parser = port, allow_negative_numbers = true, help_heading = "Reports from the network")]
    pub lan_port: u16,
    /// Print the QR code even if stderr is not a terminal
    #[arg(long, requires = "lan", help_heading = "Reports from the network")]
    pub qr: bool,
    /// File of the collection [default: reports.sqlite in the user's data folder]
    #[arg(long, value_name = "FILE", requires = "lan", help_heading = "Reports from the network")]
    pub db: Option<PathBuf>,
}

fn port(value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| "expected a port, a whole number from 0 to 65535".into())
}

fn address(value: &str) -> Result<IpAddr, String> {
    value.parse().map_err(|_| "expected an IP address of this computer, such as 192.168.0.7".into())
}
