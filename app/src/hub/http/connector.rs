//! Connections: straight or through the proxy that the environment names (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, ...),
//! with TLS where the address asks for it. Certificates count that the system trusts, and those of Mozilla's list.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

type Failure = Box<dyn Error + Send + Sync>;

/// Makes connections.
#[derive(Clone)]
pub struct Connector {
    proxies: Arc<Matcher>,
    /// read when the first address asks for it
    tls: Arc<OnceLock<TlsConnector>>,
    limit: Duration,
}

impl Connector {
    /// `limit`: of a connection, from the look-up of the name to the end of the handshakes
    pub fn new(limit: Duration) -> Self {
        Self { proxies: Arc::new(Matcher::from_env()), tls: Arc::default(), limit }
    }

    /// What a proxy that is sent whole requests wants to see in them: that of plain HTTP. Others are told on connecting.
    pub fn proxy_authorization(&self, to: &Uri) -> Option<HeaderValue> {
        let proxy = self.proxies.intercept(to).filter(|_| !is_https(to))?;
        proxy.basic_auth().cloned()
    }

    async fn connect(self, to: Uri) -> Result<Stream, Failure> {
        let (tcp, is_forwarded) = self.tcp(&to).await?;
        tcp.set_nodelay(true)?;
        if !is_https(&to) {
            return Ok(Stream { io: TokioIo::new(Box::new(tcp)), is_forwarded });
        }
        let host = to.host().ok_or("an address without a host")?.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())?;
        let tls = self.tls.get_or_init(|| TlsConnector::from(Arc::new(configuration()))).connect(name, tcp).await?;
        Ok(Stream { io: TokioIo::new(Box::new(tls)), is_forwarded: false })
    }

    /// A connection that leads to `to`, and whether it ends at a proxy that is told in each request where that goes.
    async fn tcp(&self, to: &Uri) -> Result<(TcpStream, bool), Failure> {
        let mut direct = HttpConnector::new();
        direct.enforce_http(false);
        let Some(proxy) = self.proxies.intercept(to) else {
            return Ok((direct.call(to.clone()).await?.into_inner(), false));
        };
        let (at, to) = (proxy.uri().clone(), to.clone());
        let scheme = at.scheme_str().unwrap_or_default().to_owned();
        let tunnelled = match scheme.as_str() {
            "http" if !is_https(&to) => return Ok((direct.call(at).await?.into_inner(), true)),
            "http" => {
                let tunnel = Tunnel::new(at, direct);
                match proxy.basic_auth() {
                    Some(value) => tunnel.with_auth(value.clone()),
                    None => tunnel,
                }
                .call(to)
                .await?
            }
            "socks5" | "socks5h" => {
                let socks = SocksV5::new(at, direct).local_dns(scheme == "socks5");
                match proxy.raw_auth() {
                    Some((user, password)) => socks.with_auth(user.into(), password.into()),
                    None => socks,
                }
                .call(to)
                .await?
            }
            "socks4" | "socks4a" => SocksV4::new(at, direct).local_dns(scheme == "socks4").call(to).await?,
            _ => {
                return Err(
                    format!("the proxy's address begins with {scheme}://; expected http:// or socks5://").into()
                );
            }
        };
        Ok((tunnelled.into_inner(), false))
    }
}

fn is_https(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

fn configuration() -> ClientConfig {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // What the system has and this library does not understand is left out.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let limit = connector.limit;
            let late = |_| format!("no connection within {:.1} s", limit.as_secs_f64());
            timeout(limit, connector.connect(to)).await.map_err(late)?
        })
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection, whatever it is made of.
pub struct Stream {
    io: TokioIo<Box<dyn Io>>,
    is_forwarded: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.is_forwarded)
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
