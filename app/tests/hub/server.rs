//! A hub on this machine, as far as models need one: the list of a repository's files, small files directly, large
//! ones by a redirect to another address, byte ranges, tokens. And what hubs do on bad days.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sha1::Sha1;
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

/// What is sent: the head, the body, and then something else than the end of the connection.
pub struct Reply {
    pub head: String,
    pub body: Vec<u8>,
    pub then: Then,
}

/// After the body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Close,
    /// Nothing, for as long as the client stays.
    Silence,
    /// The body comes in pieces of so many bytes with a pause before each, and is repeated until the client goes.
    Drip(usize, Duration),
    /// The same, once.
    Slow(usize, Duration),
}

/// An answer in place of the honest one; `None`: that one.
pub type Trick = Box<dyn FnMut(&Request) -> Option<Reply> + Send>;

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
    pub trick: Option<Trick>,
    pub requests: Vec<Request>,
    /// bytes of bodies
    pub sent: usize,
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
    hex(&Sha256::digest(bytes))
}

/// git's hash of a file.
pub fn git_hash(bytes: &[u8]) -> String {
    use sha1::Digest as _;
    hex(&Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_large(file: &str) -> bool {
    file.ends_with(".safetensors")
}

/// The hash under which a file is kept.
pub fn tag(file: &str, bytes: &[u8]) -> String {
    if is_large(file) { sha256(bytes) } else { git_hash(bytes) }
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
    let mut held = state.lock().unwrap();
    held.requests.push(request.clone());
    let trick = held.trick.as_mut().and_then(|trick| trick(&request));
    let honest = |(head, body)| Reply { head, body, then: Then::Close };
    let Reply { head, body, then } = trick.unwrap_or_else(|| honest(answer(&request, address, &mut held)));
    drop(held);
    let _ = stream.write_all(head.as_bytes());
    let pieces: Vec<&[u8]> = match then {
        Then::Drip(n, _) | Then::Slow(n, _) => body.chunks(n).collect(),
        _ => vec![&body],
    };
    'sending: loop {
        for piece in &pieces {
            if let Then::Drip(_, pause) | Then::Slow(_, pause) = then {
                std::thread::sleep(pause);
            }
            // A client that has hung up is its own business.
            if stream.write_all(piece).and_then(|()| stream.flush()).is_err() {
                break 'sending;
            }
            state.lock().unwrap().sent += piece.len();
        }
        match then {
            Then::Drip(..) => {}
            Then::Silence => {
                // Until the client goes.
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
                break;
            }
            Then::Close | Then::Slow(..) => break,
        }
    }
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
        let cut = state.cut_after.filter(|_| state.cuts_left != Some(0));
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
    listing_of(&state.files).to_string()
}

/// What a hub says of these files.
pub fn listing_of(files: &BTreeMap<String, Vec<u8>>) -> serde_json::Value {
    let siblings = files.iter().map(|(name, bytes)| {
        let mut entry = serde_json::json!({ "rfilename": name, "size": bytes.len(), "blobId": git_hash(bytes) });
        if is_large(name) {
            entry["blobId"] = git_hash(b"a pointer").into();
            entry["lfs"] = serde_json::json!({ "sha256": sha256(bytes), "size": bytes.len(), "pointerSize": 134 });
        }
        entry
    });
    serde_json::json!({ "id": "owner/model", "sha": COMMIT, "siblings": siblings.collect::<Vec<_>>() })
}

pub fn plain(status: u16, body: &str) -> (String, Vec<u8>) {
    (head(status, body.len(), ""), body.as_bytes().to_vec())
}

pub fn head(status: u16, length: usize, headers: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n")
}

/// The part of `bytes` that was asked for; the connection ends at byte `cut` of the file. As on the real hub, a range
/// is ignored where the client would take the answer compressed.
fn ranged(request: &Request, bytes: &[u8], headers: &str, cut: Option<usize>) -> (String, Vec<u8>) {
    let range = request.range.as_deref().filter(|_| !request.gzip).and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        let sent = cut.map_or(bytes.len(), |cut| cut.min(bytes.len()));
        return (head(200, bytes.len(), headers), bytes[..sent].to_vec());
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
