//! Models of the Hugging Face Hub, or of a mirror that answers as it does. A model that is kept whole is used without
//! asking anyone; otherwise the revision is resolved to a commit, and every file comes from that one commit.

use js_sys::encode_uri_component;
use understory_model::config::ModelConfig;
use understory_model::files::ModelFiles;
use understory_model::repository::{
    CONFIG, Hash, HubName, LISTING_BYTES, Listing, OPTIONAL, TOKENIZER, WEIGHTS, WEIGHTS_INDEX, shards,
};
use understory_protocol::{HubAccess, ModelSource};
use web_sys::Url;

use super::{Observer, gather, remote_header};
use crate::files::BlobFiles;
use crate::http::{self, Refused};
use crate::store::{Contents, Manifest, Store};

/// One model on its way.
struct Repository<'a> {
    name: HubName,
    endpoint: String,
    token: Option<String>,
    source: ModelSource,
    store: &'a Store,
}

/// Brings a model here.
///
/// # Errors
/// A message that says why the model cannot be had, and what to do.
pub async fn files(
    repo: &str,
    revision: Option<&str>,
    access: &HubAccess,
    store: &Store,
    observer: &mut Observer<'_>,
) -> Result<BlobFiles, String> {
    let full = revision.map_or(repo.to_owned(), |revision| format!("{repo}@{revision}"));
    let name = HubName::parse(&full).ok_or_else(|| {
        format!(
            "`{full}` names no repository: expected owner/name, owner/name/FILE.gguf or owner/name:Q4_K_M, and a \
                 branch, a tag or a commit"
        )
    })?;
    let revision = (name.revision != HubName::MAIN).then(|| name.revision.clone());
    // With the GGUF model that is chosen: each is a model of its own.
    let repo = HubName { revision: HubName::MAIN.into(), ..name.clone() }.to_string();
    let source = ModelSource::Hub { repo, revision };
    let token = access.token.as_ref().map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
    Repository { name, endpoint: endpoint(&access.endpoint)?, token, source, store }.files(observer).await
}

/// The endpoint without a slash at its end.
fn endpoint(given: &str) -> Result<String, String> {
    let trimmed = given.trim().trim_end_matches('/');
    let url = Url::new(trimmed).map_err(|_| format!("the endpoint `{given}` is no address"))?;
    let is_local = matches!(url.hostname().as_str(), "localhost" | "127.0.0.1" | "[::1]");
    match url.protocol().as_str() {
        "https:" => Ok(trimmed.into()),
        "http:" if is_local => Ok(trimmed.into()),
        _ => Err(format!("the endpoint `{given}` is not safe: expected https, or http on this machine")),
    }
}

impl Repository<'_> {
    async fn files(&self, observer: &mut Observer<'_>) -> Result<BlobFiles, String> {
        let kept = self.store.manifest(&self.source, Some(&self.endpoint)).await?;
        if let Some(manifest) = &kept
            && self.store.is_whole(manifest).await
        {
            return self.gather(manifest, observer).await;
        }
        let listing = self.listing().await?;
        let gguf = listing.model_files(self.name.gguf.as_ref()).map_err(|reason| self.unsuitable(&reason))?;
        let manifest = match (kept, gguf) {
            (Some(kept), _) if kept.is_complete && kept.commit.as_ref() == Some(&listing.sha) => kept,
            (_, Some(files)) => self.gguf_manifest(&listing, files, observer).await?,
            (_, None) => self.manifest(&listing).await?,
        };
        let files = self.gather(&manifest, observer).await?;
        // Another tab may have deleted the model meanwhile; its files are here again.
        self.store.keep(&manifest).await?;
        Ok(files)
    }

    fn unsuitable(&self, reason: &str) -> String {
        format!("{} cannot be used: {reason}", self.name)
    }

    /// The manifest with the files of a GGUF model, which is kept. Their headers come before: they say whether the model
    /// can be run.
    async fn gguf_manifest(
        &self,
        listing: &Listing,
        files: Vec<String>,
        observer: &mut Observer<'_>,
    ) -> Result<Manifest, String> {
        let mut manifest = self.empty(listing);
        manifest.is_complete = true;
        for file in &files {
            manifest.files.insert(file.clone(), self.contents(listing, file)?);
        }
        if let Some(first) = manifest.gguf() {
            let address = |file: &str| (self.url(&listing.sha, file), self.token.clone());
            let config = remote_header::config(&manifest, first, address).await;
            let config = config.map_err(|(file, refused)| self.explain(refused, Some(&file)))?;
            if let Some(config) = config {
                (observer.on_config)(&config.map_err(|error| self.unsuitable(&error.to_string()))?);
            }
        }
        self.store.keep(&manifest).await?;
        Ok(manifest)
    }

    fn empty(&self, listing: &Listing) -> Manifest {
        Manifest {
            source: self.source.clone(),
            endpoint: Some(self.endpoint.clone()),
            commit: Some(listing.sha.clone()),
            files: [].into(),
            is_complete: false,
        }
    }

    /// The manifest with all files, which is kept. The small files come first: they say whether the model can be run,
    /// and which weights it has.
    async fn manifest(&self, listing: &Listing) -> Result<Manifest, String> {
        let mut first = self.empty(listing);
        let has = |file: &&str| listing.entry(file).is_some();
        let weights = if has(&WEIGHTS) { WEIGHTS } else { WEIGHTS_INDEX };
        let mut small = OPTIONAL.to_vec();
        small.push(CONFIG);
        if weights == WEIGHTS_INDEX {
            small.push(WEIGHTS_INDEX);
        }
        for file in small.into_iter().filter(has) {
            first.files.insert(file.into(), self.contents(listing, file)?);
        }
        self.store.keep(&first).await?;
        match self.complete(&first, weights, listing).await {
            Ok(manifest) => {
                self.store.keep(&manifest).await?;
                Ok(manifest)
            }
            Err((message, is_hopeless)) => {
                if is_hopeless {
                    // It is gone already where another tab came to the same end.
                    let _ = self.store.forget(&first.id()).await;
                }
                Err(message)
            }
        }
    }

    /// # Errors
    /// A message, and whether trying again is of no use.
    async fn complete(&self, first: &Manifest, weights: &str, listing: &Listing) -> Result<Manifest, (String, bool)> {
        let mut ignore = Observer { on_config: &mut |_| {}, on_progress: &mut |_, _| {} };
        let files = self.gather(first, &mut ignore).await.map_err(|message| (message, false))?;
        let hopeless = |reason: String| (self.unsuitable(&reason), true);
        ModelConfig::from_files(&files).map_err(|error| hopeless(error.to_string()))?;
        let mut manifest = Manifest { is_complete: true, ..first.clone() };
        let mut more = vec![TOKENIZER.to_owned()];
        if weights == WEIGHTS {
            more.push(WEIGHTS.into());
        } else {
            let index = files.read(WEIGHTS_INDEX).map_err(|error| (error.to_string(), false))?;
            let index = index.ok_or_else(|| (format!("{WEIGHTS_INDEX} is gone"), false))?;
            more.extend(shards(&index).map_err(hopeless)?);
        }
        for file in more {
            let contents = self.contents(listing, &file).map_err(|message| (message, true))?;
            manifest.files.insert(file, contents);
        }
        Ok(manifest)
    }

    fn contents(&self, listing: &Listing, file: &str) -> Result<Contents, String> {
        let entry = listing
            .entry(file)
            .ok_or_else(|| self.unsuitable(&format!("{WEIGHTS_INDEX} names {file}, which it does not have")))?;
        // The store tells the kinds of hashes by their lengths.
        let digits = |hash: Hash<'_>| match hash {
            Hash::Sha256(digits) => Some(digits.to_owned()),
            Hash::Git(digits) => (digits.len() == 40).then(|| digits.to_owned()),
        };
        match (entry.size, entry.hash().and_then(digits)) {
            (Some(bytes), Some(hash)) => Ok(Contents { bytes, hash }),
            _ => Err(format!(
                "{} lists {file} of {} without its size and hash, so it could not be checked; use another endpoint",
                self.endpoint, self.name
            )),
        }
    }

    async fn listing(&self) -> Result<Listing, String> {
        let HubName { repo, revision, .. } = &self.name;
        let revision = String::from(encode_uri_component(revision));
        let url = format!("{}/api/models/{repo}/revision/{revision}?blobs=true", self.endpoint);
        let failed = |refused| self.explain(refused, None);
        let answer = http::get(&url, 0, self.token.as_deref()).await.map_err(failed)?;
        let text = http::text(&answer, LISTING_BYTES).await.map_err(failed)?;
        let listing = Listing::parse(&text).and_then(|listing| listing.check_commit(&self.name).map(|()| listing));
        listing.map_err(|reason| {
            format!("{} does not answer as a Hugging Face hub does ({reason}); check the endpoint", self.endpoint)
        })
    }

    async fn gather(&self, manifest: &Manifest, observer: &mut Observer<'_>) -> Result<BlobFiles, String> {
        let commit = manifest.commit.as_deref().unwrap_or(HubName::MAIN);
        let address = |file: &str| (self.url(commit, file), self.token.clone());
        gather(manifest, self.store, address, |refused, file| self.explain(refused, Some(file)), observer).await
    }

    fn url(&self, commit: &str, file: &str) -> String {
        let path: Vec<String> = file.split('/').map(|part| encode_uri_component(part).into()).collect();
        format!("{}/{}/resolve/{commit}/{}", self.endpoint, self.name.repo, path.join("/"))
    }

    /// What a refusal means, and what to do.
    fn explain(&self, refused: Refused, file: Option<&str>) -> String {
        let (endpoint, HubName { repo, revision, .. }) = (&self.endpoint, &self.name);
        let what = file.map_or(repo.clone(), |file| format!("{file} of {repo}"));
        let as_whom = if self.token.is_some() { "another access token" } else { "an access token" };
        match refused {
            Refused::Status(401) => format!(
                "{endpoint} does not give {what} to you (401): there is no such repository, it is private, or it asks \
                 you to accept its terms. Check the name, and give {as_whom} of an account that may read it"
            ),
            Refused::Status(403) => format!(
                "{endpoint} forbids {what} (403): accept the model's terms on its page, and give {as_whom} of that \
                 account"
            ),
            Refused::Status(404) => {
                format!("{endpoint} has no {what} at revision `{revision}` (404). Check owner, name and revision")
            }
            Refused::Status(429) => format!(
                "{endpoint} has had too many requests from here (429). Wait a few minutes and load again; an access \
                 token raises the limit"
            ),
            Refused::Status(status) => format!("{endpoint} answered {status} for {what}; try again later"),
            Refused::Silent(_) if http::is_offline() => format!(
                "there is no network, and {repo} is not kept here whole. Connect and load again; models that are kept \
                 load without"
            ),
            Refused::Silent(reason) => format!(
                "{endpoint} gave no answer for {what} that this page may read ({reason}). Check the network and the \
                 endpoint: a mirror must allow pages of other origins (CORS)"
            ),
        }
    }
}
