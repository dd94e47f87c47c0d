//! One file from a hub into a [`Part`], gone on with where it broke off. What the list says of the file's size and hash
//! counts; what the server says in headers is only compared with it.

use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, TRANSFER_ENCODING};
use understory_model::repository::{Hash, Limits, Patience, content_range};

use super::failure::DownloadFailure;
use super::http::{Address, Answer, Client, Trouble};
use super::part::Part;
use super::progress::Transfer;

/// A file to have.
pub struct Wanted<'a> {
    pub file: &'a str,
    pub address: Address,
    /// `None`: what the server says
    pub size: Option<u64>,
    pub hash: Option<Hash<'a>>,
    /// bytes that it may have
    pub most: u64,
}

/// What the attempts so far have shown of the server.
struct Server {
    has_ranges: bool,
    /// bytes of the file
    total: Option<u64>,
}

impl Wanted<'_> {
    /// Brings what is missing of `part`, and checks the whole. What cannot become the file is not left in it.
    pub fn fill(
        &self,
        part: &mut Part,
        client: &Client,
        limits: Limits,
        shown: &Transfer<'_>,
    ) -> Result<(), DownloadFailure> {
        let mut server = Server { has_ranges: true, total: self.size };
        let mut patience = Patience::new(limits, part.len());
        loop {
            match self.attempt(part, client, &mut server, &mut patience, shown) {
                Ok(()) => {}
                Err(failure) if failure.is_passing() || failure.is_unreachable() && patience.has_progress() => {
                    tracing::info!(?failure, "trying again");
                    let Some(pause) = patience.pause() else { return Err(failure) };
                    client.pause(pause).map_err(|trouble| self.failed(trouble))?;
                    continue;
                }
                Err(failure) => return Err(failure),
            }
            let Some(hash) = self.hash else { return Ok(()) };
            let Err(reason) = part.check(hash).map_err(|error| self.disk(error))? else { return Ok(()) };
            let was_resumed = part.is_resumed;
            part.restart().map_err(|error| self.disk(error))?;
            if !was_resumed {
                return Err(self.corrupt(reason));
            }
            // The beginning, which an earlier program left, may be to blame.
            tracing::info!(file = self.file, reason, "beginning again");
            patience = Patience::new(limits, 0);
        }
    }

    fn attempt(
        &self,
        part: &mut Part,
        client: &Client,
        server: &mut Server,
        patience: &mut Patience,
        shown: &Transfer<'_>,
    ) -> Result<(), DownloadFailure> {
        if server.total == Some(part.len()) {
            return Ok(());
        }
        if !server.has_ranges && part.len() > 0 {
            part.restart().map_err(|error| self.disk(error))?;
        }
        let answer = client.get(&self.address, part.len(), patience.limit()).map_err(|trouble| self.failed(trouble))?;
        self.check_head(&answer, part, server)?;
        self.take(answer, part, server.total, patience, shown)
    }

    /// Whether the body goes on where `part` ends; else `part` is emptied where the body is the whole file.
    fn check_head(&self, answer: &Answer<'_>, part: &mut Part, server: &mut Server) -> Result<(), DownloadFailure> {
        let from = part.len();
        let no_range = |server: &mut Server, what: &str| {
            server.has_ranges = false;
            Err(self.failed(Trouble::Interrupted(what.into())))
        };
        match answer.status() {
            206 if from > 0 => match answer.header(CONTENT_RANGE).and_then(content_range) {
                Some((first, total)) if first == from && total.is_none_or(|total| server.total == Some(total)) => {}
                _ => return no_range(server, "another part of it came than was asked for"),
            },
            416 if from > 0 => return no_range(server, "there is nothing to go on with"),
            200 => {
                part.restart().map_err(|error| self.disk(error))?;
                let length = answer.header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
                match (server.total, length) {
                    (Some(total), Some(length)) if total != length => {
                        return Err(self.corrupt(format!("{length} bytes instead of {total}")));
                    }
                    (None, None) if self.hash.is_none() && answer.header(TRANSFER_ENCODING).is_none() => {
                        let file = self.file;
                        return Err(DownloadFailure::NotAHub(format!("it gives neither size nor hash of {file}")));
                    }
                    (None, length) => server.total = length,
                    _ => {}
                }
            }
            206 => return Err(self.corrupt("a part of it came in place of the whole".into())),
            status => return Err(DownloadFailure::Status { status, file: Some(self.file.into()) }),
        }
        if answer.header(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(DownloadFailure::NotAHub(format!("it sends {} compressed", self.file)));
        }
        Ok(())
    }

    /// The body, to its end.
    fn take(
        &self,
        mut answer: Answer<'_>,
        part: &mut Part,
        total: Option<u64>,
        patience: &mut Patience,
        shown: &Transfer<'_>,
    ) -> Result<(), DownloadFailure> {
        let most = total.unwrap_or(self.most);
        if most > self.most {
            return Err(DownloadFailure::Unsuitable(format!(
                "its {} has {most} bytes; expected at most {}",
                self.file, self.most
            )));
        }
        shown.begin(part.len(), total.unwrap_or(0));
        loop {
            let piece = answer.piece(patience.limit());
            let piece = piece.map_err(|trouble| self.failed(trouble.explained(patience)))?;
            let Some(piece) = piece else { break };
            if piece.len() as u64 > most - part.len() {
                part.restart().map_err(|error| self.disk(error))?;
                return Err(self.corrupt(format!("more than {most} bytes")));
            }
            part.append(&piece).map_err(|error| self.disk(error))?;
            shown.advance(piece.len(), part.len());
            let slow = |slow| self.failed(Trouble::Interrupted(slow));
            patience.arrived(piece.len(), part.len()).map_err(slow)?;
        }
        if total.is_some_and(|total| part.len() < total) {
            return Err(self.failed(Trouble::Interrupted(format!("{} of {most} bytes came", part.len()))));
        }
        Ok(())
    }

    fn failed(&self, trouble: Trouble) -> DownloadFailure {
        DownloadFailure::of(trouble, Some(self.file))
    }

    fn disk(&self, error: std::io::Error) -> DownloadFailure {
        DownloadFailure::from_io(error, self.file.into())
    }

    fn corrupt(&self, reason: String) -> DownloadFailure {
        DownloadFailure::Corrupt { file: self.file.into(), reason }
    }
}
