//! `understory serve --lan` on loopback, and a device that trusts its certificate.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};

use crate::plain::Answer;
use crate::support::{Outcome, run, understory};

/// Longer than any answer takes; a server that does not answer fails the test.
const PATIENCE: Duration = Duration::from_secs(120);

pub type Connection = StreamOwned<ClientConnection, TcpStream>;

/// A server whose collection lies in a folder; it ends with this value.
pub struct Lan {
    pub child: Child,
    /// of the listener on loopback
    pub local: String,
    /// of the one for other devices
    pub address: String,
    pub code: String,
    config: Arc<ClientConfig>,
}

impl Lan {
    pub fn start(folder: &Path) -> Self {
        let page = folder.join("page");
        fs::create_dir_all(&page).unwrap();
        fs::write(page.join("index.html"), "<!doctype html><title>a page</title>").unwrap();
        let (page, db) = (page.to_str().unwrap().to_owned(), db(folder));
        let mut command = understory(&["serve", "--port", "0", "--page", &page]);
        command.args(["--lan=127.0.0.1", "--lan-port", "0", "--qr", "--db", &db]);
        command.stderr(File::create(folder.join("stderr")).unwrap());
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let local = lines.next().expect("the page's address");
        let url = lines.next().expect("the address for other devices");
        let (address, code) = url.strip_prefix("https://").unwrap().split_once("/#bench?pair=").unwrap();
        let local = local.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let config = trusting(&folder.join("lan-certificate.cer"));
        Self { child, local, address: address.into(), code: code.into(), config }
    }

    /// With the handshake done.
    pub fn connect(&self) -> Connection {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut tls = StreamOwned::new(ClientConnection::new(Arc::clone(&self.config), name).unwrap(), stream);
        tls.flush().unwrap();
        tls
    }

    pub fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut stream = self.connect();
        write!(stream, "{method} {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").unwrap();
        Answer::read(&mut stream)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &format!("Host: {}\r\n", self.address))
    }

    /// An upload as far as its headers: `length` is that of the body, or says how it comes.
    pub fn begin(&self, code: &str, length: &str) -> Connection {
        let mut stream = self.connect();
        let host = &self.address;
        write!(
            stream,
            "POST /reports HTTP/1.1\r\nHost: {host}\r\nOrigin: https://{host}\r\nConnection: close\r\nAuthorization: \
             Bearer {code}\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
        )
        .unwrap();
        stream
    }

    /// As [`begin`](Self::begin), until the server has admitted the upload and waits for its body: it says so then, as it
    /// is asked to (RFC 9110, 10.1.1).
    pub fn admitted(&self, length: usize) -> Connection {
        let mut stream = self.begin(&self.code, &format!("Expect: 100-continue\r\nContent-Length: {length}"));
        stream.flush().unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            said.extend(byte);
        }
        assert!(said.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&said));
        stream
    }

    pub fn send_as(&self, code: &str, body: &[u8]) -> Answer {
        let mut stream = self.begin(code, &format!("Content-Length: {}", body.len()));
        // A server that has refused it may have gone.
        let _ = stream.write_all(body).and_then(|()| stream.flush());
        Answer::read(&mut stream)
    }

    pub fn send(&self, body: impl AsRef<[u8]>) -> Answer {
        self.send_as(&self.code, body.as_ref())
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn trusting(certificate: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(fs::read(certificate).unwrap())).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

fn db(folder: &Path) -> String {
    folder.join("reports.sqlite").display().to_string()
}

/// `understory reports` with `args` over the collection in `folder`.
pub fn reports(folder: &Path, args: &[&str]) -> Outcome {
    run(understory(&["reports"]).args(args).args(["--db", &db(folder)]))
}

/// The ids of what is in the collection.
pub fn stored(folder: &Path) -> Vec<String> {
    let list = reports(folder, &["list", "--json"]).json();
    list.as_array().unwrap().iter().map(|entry: &Value| entry["run_id"].as_str().unwrap().to_owned()).collect()
}
