//! A server of the test's own, and what a browser would say to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{ClientRequestBuilder, Message, WebSocket};

use crate::support::understory;

/// Longer than any answer takes; a server that does not answer fails the test.
const PATIENCE: Duration = Duration::from_secs(120);

/// `understory serve` on a free port; it ends with this value.
pub struct Server {
    pub child: Child,
    /// `127.0.0.1:PORT`
    pub address: String,
}

impl Server {
    pub fn of(page: &Path) -> Self {
        Self::start(understory(&["serve", "--port", "0", "--page", page.to_str().unwrap()]))
    }

    pub fn start(mut command: Command) -> Self {
        // Nobody reads it.
        command.stderr(std::process::Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("http://").and_then(|url| url.strip_suffix('/'));
        let address = address.unwrap_or_else(|| panic!("`{line}` is no address")).to_owned();
        Self { child, address }
    }

    /// The answer to `GET path` with `headers`, each with its line's end.
    pub fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask("GET", path, &format!("Host: {}\r\n{headers}", self.address))
    }

    /// The answer to a request with `headers` and no others.
    pub fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut stream = self.connect();
        write!(stream, "{method} {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").unwrap();
        Answer::read(&mut stream)
    }

    /// The status of an attempt to open the engine's socket from a page of `origin`.
    pub fn open_from(&self, origin: &str) -> Result<Page, u16> {
        let uri = format!("ws://{}/engine", self.address).parse().unwrap();
        let request = ClientRequestBuilder::new(uri).with_header("Origin", origin);
        match tungstenite::client(request, self.connect()) {
            Ok((socket, _)) => Ok(Page { socket, last_id: 0 }),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
                Err(answer.status().as_u16())
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub fn open(&self) -> Page {
        self.open_from(&format!("http://{}", self.address)).expect("its own page is let in")
    }

    /// A page that the engine has greeted.
    pub fn ready(&self) -> Page {
        let mut page = self.open();
        let ready = page.next();
        assert_eq!((&ready["id"], &ready["body"]["reply"]), (&json!(0), &json!("ready")), "{ready}");
        page
    }

    /// A page with the bundled pair loaded.
    pub fn loaded(&self) -> Page {
        let mut page = self.ready();
        let loaded = page.ask(bundled());
        assert_eq!(loaded["reply"], "loaded", "{loaded}");
        assert_eq!((&loaded["target"], &loaded["draft"]), (&json!("tales"), &json!("tales-draft")));
        page
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// All that comes until the server closes the connection.
    pub fn read(stream: &mut impl Read) -> Self {
        let mut bytes = Vec::new();
        if let Err(error) = stream.read_to_end(&mut bytes) {
            assert!(!bytes.is_empty(), "no answer: {error}");
        }
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: body.into() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(of, _)| of == name).map_or("", |(_, value)| value)
    }
}

/// A page's end of the socket.
pub struct Page {
    socket: WebSocket<TcpStream>,
    last_id: u64,
}

impl Page {
    pub fn say(&mut self, message: Message) {
        self.socket.send(message).unwrap();
    }

    /// One text in `count` frames, each `piece`.
    pub fn say_in_pieces(&mut self, piece: &str, count: usize) {
        for n in 0..count {
            let opcode = OpCode::Data(if n == 0 { Data::Text } else { Data::Continue });
            self.say(Message::Frame(Frame::message(piece.to_owned(), opcode, n + 1 == count)));
        }
    }

    /// Bytes that need not be frames.
    pub fn say_raw(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).unwrap();
    }

    /// Sends a request; its id.
    pub fn begin(&mut self, body: Value) -> u64 {
        self.last_id += 1;
        self.say(Message::text(json!({ "id": self.last_id, "body": body }).to_string()));
        self.last_id
    }

    /// The next message.
    #[track_caller]
    pub fn next(&mut self) -> Value {
        loop {
            match self.socket.read().expect("an answer") {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The last reply to request `id`.
    #[track_caller]
    pub fn last(&mut self, id: u64) -> Value {
        loop {
            let Value::Object(mut message) = self.next() else { panic!("no object") };
            let body = message.remove("body").unwrap();
            if !["progress", "event"].contains(&body["reply"].as_str().unwrap()) {
                assert_eq!(message["id"], id, "{body}");
                return body;
            }
        }
    }

    #[track_caller]
    pub fn ask(&mut self, body: Value) -> Value {
        let id = self.begin(body);
        self.last(id)
    }

    /// The message of a `Failed` under `id`.
    #[track_caller]
    pub fn failure(&mut self, id: u64) -> String {
        let body = self.last(id);
        assert_eq!(body["reply"], "failed", "{body}");
        body["message"].as_str().unwrap().to_owned()
    }

    /// The code and the reason with which the server closes the connection: in good order, so that no reset comes before.
    #[track_caller]
    pub fn end(&mut self) -> (u16, String) {
        let end = match self.socket.read() {
            Ok(Message::Close(Some(frame))) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("{other:?}"),
        };
        assert!(matches!(self.socket.read(), Err(tungstenite::Error::ConnectionClosed)), "no end in good order");
        end
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.socket.read(), Ok(Message::Close(_)) | Err(_))
    }
}

pub fn bundled() -> Value {
    let source = |name| json!({ "from": "bundled", "name": name });
    load(source("tales"), source("tales-draft"))
}

pub fn load(target: Value, draft: Value) -> Value {
    json!({ "request": "load", "target": target, "draft": draft, "dtype": "f16", "profile": null, "adapter": null })
}

pub fn generate(method: Value, temperature: f64, seed: u64, max_new_tokens: usize) -> Value {
    let sampling = json!({
        "temperature": temperature, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "seed": seed
    });
    json!({
        "request": "generate", "prompt": { "text": "Once upon a time" }, "max_new_tokens": max_new_tokens,
        "ignore_eos": true, "stop": [], "sampling": sampling, "method": method
    })
}
