//! The list of a repository's files: bounded in bytes and in time.

use std::time::Instant;

use understory_model::repository::{LISTING_BYTES, Limits, Listing, Patience};

use super::HubName;
use super::failure::DownloadFailure;
use super::http::{Address, Client, Trouble, escaped};

/// Asks `endpoint` what `name` holds.
pub fn list(client: &Client, endpoint: &str, name: &HubName, limits: Limits) -> Result<Listing, DownloadFailure> {
    let HubName { repo, revision, .. } = name;
    let address = format!("{endpoint}/api/models/{repo}/revision/{}?blobs=true", escaped(revision));
    let address = Address::parse(&address).map_err(DownloadFailure::NotAHub)?;
    let request = Request { client, address, limits, start: Instant::now() };
    let mut patience = Patience::new(limits, 0);
    loop {
        match request.attempt(&mut patience) {
            Ok(text) => {
                let listing = Listing::parse(&text).map_err(DownloadFailure::NotAHub)?;
                listing.check_commit(name).map_err(DownloadFailure::NotAHub)?;
                return Ok(listing);
            }
            Err(failure) if failure.is_passing() && !request.is_late() => match patience.pause() {
                Some(pause) => client.pause(pause).map_err(|trouble| DownloadFailure::of(trouble, None))?,
                None => return Err(failure),
            },
            Err(failure) => return Err(failure),
        }
    }
}

struct Request<'a> {
    client: &'a Client,
    address: Address,
    limits: Limits,
    start: Instant,
}

impl Request<'_> {
    fn attempt(&self, patience: &mut Patience) -> Result<String, DownloadFailure> {
        let failed = |trouble| DownloadFailure::of(trouble, None);
        let mut answer = self.client.get(&self.address, 0, patience.limit()).map_err(failed)?;
        if answer.status() != 200 {
            return Err(DownloadFailure::Status { status: answer.status(), file: None });
        }
        let mut text: Vec<u8> = Vec::new();
        loop {
            let piece = answer.piece(patience.limit()).map_err(|trouble| failed(trouble.explained(patience)))?;
            let Some(piece) = piece else { break };
            text.extend_from_slice(&piece);
            if text.len() > LISTING_BYTES {
                let most = LISTING_BYTES >> 20;
                return Err(DownloadFailure::NotAHub(format!("its list of files is longer than {most} MiB")));
            }
            patience.arrived(piece.len(), text.len() as u64).map_err(|slow| failed(Trouble::Interrupted(slow)))?;
            if self.is_late() {
                let seconds = self.limits.window.as_secs_f64();
                return Err(failed(Trouble::Interrupted(format!("the list is not here after {seconds:.0} s"))));
            }
        }
        String::from_utf8(text).map_err(|_| DownloadFailure::NotAHub("its list of files is not UTF-8".into()))
    }

    fn is_late(&self) -> bool {
        self.start.elapsed() > self.limits.window
    }
}
