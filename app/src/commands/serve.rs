//! `understory serve`: the page, and the engine behind it.

mod invite;

use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::panic;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use understory_protocol::foreign::shown;

use crate::cli::ServeArgs;
use crate::exit::usage;
use crate::interrupt::Signals;
use crate::output::{self, Console};
use crate::serve::{EngineThread, Lan, ModelSources, Monitor, Names, Page, Server};

/// What a file that is read, or a report that is kept, may take at the end of the program.
const LAST_FILE: Duration = Duration::from_secs(3);

pub fn run(args: &ServeArgs, console: &Console) -> Result<()> {
    // What a stranger's model makes a library say is neither long nor a command to the terminal.
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        output::error(&format!("a request failed at {place}: {}", shown(panic.payload_as_str().unwrap_or_default())));
    }));
    let page = Arc::new(match &args.page {
        Some(folder) => Page::folder(folder)?,
        None => Page::embedded()?,
    });
    let addresses = addresses(args)?;
    let remote = !addresses.iter().all(|address| address.ip().is_loopback());
    if remote && !args.allow_remote {
        return Err(usage(format!(
            "--host {}: other computers could reach this address and use the GPU of this one; expected 127.0.0.1, ::1 \
             or localhost, or --allow-remote beside it",
            args.host
        )));
    }
    let listener = TcpListener::bind(&*addresses).map_err(|error| cannot_listen(args, &error))?;
    listener.set_nonblocking(true)?;
    let url = url(listener.local_addr()?);
    if remote {
        console.note(
            "warning: anyone who reaches this computer over the network can use its GPU and have it download models",
        );
    }
    let lan = args.lan.map(|address| Lan::open(address, args.lan_port, args.db.as_deref())).transpose()?;
    let monitor = Arc::new(Monitor::new()?);
    let engine = EngineThread::start(ModelSources { offline: args.offline, console: *console }, Arc::clone(&monitor))?;
    let server = Server::new(Arc::clone(&page), Names::new(&args.host, remote), engine, monitor);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        console.note("Serving the page here; Ctrl-C ends it.");
        output::text(&format!("{url}\n"))?;
        if let Some(lan) = &lan {
            invite::invite(lan, args.qr, console)?;
        }
        if args.open {
            open(&url, console);
        }
        tokio::select! {
            served = serve_lan(lan, page, *console) => served,
            () = server.clone().serve(listener) => Ok(()),
            ended = ended() => ended,
        }
    });
    // Connections end with it, and what runs for them with those. A file that does not let itself be read is not waited for.
    runtime.shutdown_timeout(LAST_FILE);
    server.end();
    served
}

/// Until the program ends, also where there is nothing to do.
async fn serve_lan(lan: Option<Lan>, page: Arc<Page>, console: Console) -> Result<()> {
    match lan {
        Some(lan) => lan.serve(page, console).await,
        None => pending().await,
    }
}

fn addresses(args: &ServeArgs) -> Result<Vec<SocketAddr>> {
    let host = args.host.trim_start_matches('[').trim_end_matches(']');
    let found = (host, args.port).to_socket_addrs().map(Vec::from_iter);
    match found {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(usage(format!("--host {}: there is no such address", args.host))),
        Err(error) => Err(usage(format!("--host {}: expected an address of this computer: {error}", args.host))),
    }
}

fn cannot_listen(args: &ServeArgs, error: &io::Error) -> anyhow::Error {
    let ServeArgs { host, port, .. } = args;
    match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "port {port} on {host} is in use, perhaps by another `understory serve`; end that program, or choose another \
             port with --port (0 takes a free one)"
        ),
        io::ErrorKind::PermissionDenied => {
            anyhow!("port {port} on {host} is not free to use; choose one above 1023 with --port (0 takes a free one)")
        }
        io::ErrorKind::AddrNotAvailable => anyhow!("--host {host} is not an address of this computer"),
        _ => anyhow!("cannot listen on {host}, port {port}: {error}"),
    }
}

/// What to type into a browser on this computer.
fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}/", SocketAddr::new(ip, address.port()))
}

/// Until the program is to end: Ctrl-C, or what a system's service manager sends.
async fn ended() -> Result<()> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    signals.next().await;
    Ok(())
}

/// Opens `url` in the default browser; failing that, the user can.
fn open(url: &str, console: &Console) {
    let (program, args): (_, &[&str]) = match std::env::consts::OS {
        "windows" => ("cmd", &["/C", "start", ""]),
        "macos" => ("open", &[]),
        _ => ("xdg-open", &[]),
    };
    let mut command = Command::new(program);
    command.args(args).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (console, url) = (*console, url.to_owned());
    let failed = move |why: String| console.note(&format!("note: {program} opened no browser ({why}); open {url}"));
    match command.spawn() {
        Err(error) => failed(error.to_string()),
        // A browser that was not running yet keeps it waiting.
        Ok(mut child) => drop(std::thread::spawn(move || match child.wait() {
            Ok(status) if !status.success() => failed(status.to_string()),
            _ => {}
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::url;

    /// A server on every address is opened under one that leads there.
    #[test]
    fn urls_can_be_opened() {
        let of = |address: &str| url(address.parse().unwrap());
        assert_eq!(of("127.0.0.1:8190"), "http://127.0.0.1:8190/");
        assert_eq!(of("0.0.0.0:1"), "http://127.0.0.1:1/");
        assert_eq!(of("[::]:1"), "http://[::1]:1/");
        assert_eq!(of("192.168.0.7:80"), "http://192.168.0.7:80/");
    }
}
