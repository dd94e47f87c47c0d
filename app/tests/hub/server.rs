//! A hub on this machine, as far as models need one: the list of a repository's files, small files directly, large
//! ones by a redirect to another address, byte ranges, tokens. And what hubs do on bad days.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use sha2::{Digest, Sha256};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
    gzip: bool,
}

/// What the hub holds and how it behaves; tests change it as they go.
#[derive(Default)]
pub struct State {
    /// of the one repository, `owner/model`
    pub files: BTreeMap<String, Vec<u8>>,
    /// large files are cut after this many bytes
    pub cut_after: Option<usize>,
    /// how often; `None` = always
    pub cuts_left: Option<usize>,
    /// large files are sent with a byte changed
    pub corrupt: bool,
    /// answer everything with this status unless the request has the token `secret`
    pub refuse: Option<u16>,
    pub requests: Vec<Request>,
}

pub struct HubServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl HubServer {
    pub fn start(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, address, &state));
            }
        });
        Self { address, state }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The ranges asked of large files since the last call.
    pub fn take_ranges(&self) -> Vec<String> {
        let requests = std::mem::take(&mut self.state().requests);
        requests.into_iter().filter(|r| r.path.starts_with("/store/")).filter_map(|r| r.range).collect()
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_large(file: &str) -> bool {
    file.ends_with(".safetensors")
}

/// A stand-in for git's hash of a small file.
fn tag(file: &str, bytes: &[u8]) -> String {
    if is_large(file) { sha256(bytes) } else { sha256(bytes)[..40].to_owned() }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut request = Request { path, range: None, token: None, gzip: false };
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value.to_owned()),
            "authorization" => request.token = Some(value.to_owned()),
            "accept-encoding" => request.gzip = value.contains("gzip"),
            _ => {}
        }
    }
    Some(request)
}

/// Answers one request and closes the connection.
fn serve(mut stream: TcpStream, address: SocketAddr, state: &Mutex<State>) {
    let Some(request) = read_request(&stream) else { return };
    let mut state = state.lock().unwrap();
    state.requests.push(request.clone());
    let (head, body) = answer(&request, address, &mut state);
    drop(state);
    // A client that has hung up is its own business.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).and_then(|()| stream.flush());
}

fn answer(request: &Request, address: SocketAddr, state: &mut State) -> (String, Vec<u8>) {
    if let Some(status) = state.refuse
        && request.token.as_deref() != Some("Bearer secret")
    {
        return plain(status, "refused");
    }
    let path = request.path.split('?').next().unwrap();
    if let Some(revision) = path.strip_prefix("/api/models/owner/model/revision/") {
        return if known(revision) { plain(200, &listing(state)) } else { plain(404, "no such revision") };
    }
    if let Some((revision, file)) = path.strip_prefix("/owner/model/resolve/").and_then(|rest| rest.split_once('/')) {
        let Some(bytes) = state.files.get(file).filter(|_| known(revision)) else { return plain(404, "no such file") };
        let tag = tag(file, bytes);
        if is_large(file) {
            let headers = format!("Location: http://{address}/store/{file}\r\nX-Linked-Etag: \"{tag}\"\r\n");
            return (head(302, 0, &format!("{headers}X-Repo-Commit: {COMMIT}\r\n")), Vec::new());
        }
        return ranged(request, bytes, &format!("ETag: \"{tag}\"\r\nX-Repo-Commit: {COMMIT}\r\n"), None);
    }
    if let Some(bytes) = path.strip_prefix("/store/").and_then(|file| state.files.get(file)) {
        let mut bytes = bytes.clone();
        if state.corrupt {
            *bytes.last_mut().unwrap() ^= 1;
        }
        let probe = request.range.as_deref() == Some("bytes=0-0");
        let cut = state.cut_after.filter(|_| !probe && state.cuts_left != Some(0));
        if cut.is_some() {
            state.cuts_left = state.cuts_left.map(|left| left - 1);
        }
        return ranged(request, &bytes, "", cut);
    }
    plain(404, "no such thing")
}

fn known(revision: &str) -> bool {
    [COMMIT, "main", "v1"].contains(&revision)
}

fn listing(state: &State) -> String {
    let siblings = state.files.iter().map(|(name, bytes)| {
        let mut entry = serde_json::json!({ "rfilename": name, "size": bytes.len(), "blobId": &sha256(bytes)[..40] });
        if is_large(name) {
            entry["lfs"] = serde_json::json!({ "sha256": sha256(bytes), "size": bytes.len(), "pointerSize": 134 });
        }
        entry
    });
    serde_json::json!({ "id": "owner/model", "sha": COMMIT, "siblings": siblings.collect::<Vec<_>>() }).to_string()
}

fn plain(status: u16, body: &str) -> (String, Vec<u8>) {
    (head(status, body.len(), ""), body.as_bytes().to_vec())
}

fn head(status: u16, length: usize, headers: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n")
}

/// The part of `bytes` that was asked for; the connection ends at byte `cut` of the file. As on the real hub, a range
/// is ignored where the client would take the answer compressed.
fn ranged(request: &Request, bytes: &[u8], headers: &str, cut: Option<usize>) -> (String, Vec<u8>) {
    let range = request.range.as_deref().filter(|_| !request.gzip).and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return (head(200, bytes.len(), headers), bytes.to_vec());
    };
    let total = bytes.len();
    let first: usize = first.parse().unwrap();
    let end = if last.is_empty() { total } else { total.min(last.parse::<usize>().unwrap() + 1) };
    if first >= end {
        return plain(416, "range not satisfiable");
    }
    let sent = cut.map_or(end, |cut| cut.clamp(first, end));
    let headers = format!("{headers}Accept-Ranges: bytes\r\nContent-Range: bytes {first}-{}/{total}\r\n", end - 1);
    (head(206, end - first, &headers), bytes[first..sent].to_vec())
}
