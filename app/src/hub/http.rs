//! Requests to a hub and to the stores that it redirects to. Every wait ends; redirects are followed here, so that the
//! token stays with the hub.

mod address;
mod connector;

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout_at};
use understory_model::repository::Patience;
use understory_protocol::foreign::shown;

pub use self::address::{Address, escaped};
use self::connector::Connector;

/// As browsers do about it.
const MOST_REDIRECTS: usize = 10;
/// How often a wait looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// Why there is no answer, or no more of one.
#[derive(Debug)]
pub enum Trouble {
    /// No connection: no network, no such host, nobody listening.
    Unreachable(String),
    /// The connection broke, or nothing comes any more.
    Interrupted(String),
    /// What came is not what a hub sends.
    NotAHub(String),
    /// Nobody wants it any more.
    Stopped,
}

impl Trouble {
    /// The same, with the reason that `patience` knows.
    pub fn explained(self, patience: &Patience) -> Self {
        match self {
            Self::Interrupted(reason) => Self::Interrupted(patience.explained(reason)),
            other => other,
        }
    }
}

/// Whether a wait is to end.
pub type Ends = Arc<dyn Fn() -> bool>;

/// A client of one hub.
pub struct Client {
    /// `None` only while it is dropped
    runtime: Option<Runtime>,
    connections: legacy::Client<Connector, Empty<Bytes>>,
    connector: Connector,
    hub: Address,
    authorization: Option<HeaderValue>,
    ends: Ends,
}

impl Client {
    /// # Errors
    /// [`Trouble::NotAHub`] for a token that cannot be sent; [`Trouble::Unreachable`] where the system gives no means
    /// of waiting.
    pub fn new(hub: Address, token: Option<&str>, connect: Duration, ends: Ends) -> Result<Self, Trouble> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        let authorization = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))).transpose();
        let mut authorization =
            authorization.map_err(|_| Trouble::NotAHub("the access token has characters that no token has".into()))?;
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        let connector = Connector::new(connect);
        Ok(Self {
            runtime: Some(runtime.map_err(|error| Trouble::Unreachable(error.to_string()))?),
            connections: legacy::Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build(connector.clone()),
            connector,
            hub,
            authorization,
            ends,
        })
    }

    /// Asks for `address` from byte `from` on, and follows redirects; `limit` bounds the wait for all of them.
    ///
    /// # Errors
    /// [`Trouble`]. An error status is an answer.
    pub fn get(&self, address: &Address, from: u64, limit: Duration) -> Result<Answer<'_>, Trouble> {
        let (mut address, mut is_hubs) = (address.clone(), true);
        let end = Instant::now() + limit;
        for _ in 0..=MOST_REDIRECTS {
            // Once elsewhere, always elsewhere: what the other origin sends back is its own request.
            is_hubs = is_hubs && address.has_origin_of(&self.hub);
            let request = self.request(&address, from, is_hubs)?;
            let left = end.saturating_duration_since(Instant::now());
            let response = self.wait(left, self.connections.request(request))?.map_err(trouble)?;
            let Some(location) = redirect(&response) else {
                return Ok(Answer { client: self, response });
            };
            let location = location.to_str().map_err(|_| Trouble::NotAHub("it redirects to no address".into()))?;
            address = address.follow(location).map_err(Trouble::NotAHub)?;
        }
        Err(Trouble::NotAHub(format!("it redirects more than {MOST_REDIRECTS} times")))
    }

    fn request(&self, address: &Address, from: u64, is_hubs: bool) -> Result<Request<Empty<Bytes>>, Trouble> {
        let mut request = Request::get(address.uri().clone())
            .header(header::USER_AGENT, concat!("understory/", env!("CARGO_PKG_VERSION")))
            // Sizes and ranges are those of the file.
            .header(header::ACCEPT_ENCODING, "identity");
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        if let Some(value) = self.authorization.as_ref().filter(|_| is_hubs) {
            request = request.header(header::AUTHORIZATION, value);
        }
        if let Some(value) = self.connector.proxy_authorization(address.uri()) {
            request = request.header(header::PROXY_AUTHORIZATION, value);
        }
        request.body(Empty::new()).map_err(|error| Trouble::NotAHub(error.to_string()))
    }

    /// What `work` comes to, if it does so in time and is still wanted.
    fn wait<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Result<T, Trouble> {
        let runtime = self.runtime.as_ref().expect("it is there until the client is dropped");
        runtime.block_on(async {
            let mut work = pin!(work);
            let end = Instant::now() + limit;
            loop {
                if (self.ends)() {
                    return Err(Trouble::Stopped);
                }
                match timeout_at(end.min(Instant::now() + LOOK), work.as_mut()).await {
                    Ok(done) => return Ok(done),
                    Err(_) if Instant::now() >= end => {
                        return Err(Trouble::Interrupted(format!("nothing came for {:.1} s", limit.as_secs_f64())));
                    }
                    Err(_) => {}
                }
            }
        })
    }

    /// Sleeps, unless it is to end.
    ///
    /// # Errors
    /// [`Trouble::Stopped`].
    pub fn pause(&self, pause: Duration) -> Result<(), Trouble> {
        match self.wait(pause, std::future::pending::<()>()) {
            Err(Trouble::Stopped) => Err(Trouble::Stopped),
            _ => Ok(()),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A look-up of a name that hangs is not waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The head of an answer, and its body as it comes.
pub struct Answer<'a> {
    client: &'a Client,
    response: Response<Incoming>,
}

impl Answer<'_> {
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header that is text.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`Trouble::Interrupted`], [`Trouble::Stopped`].
    pub fn piece(&mut self, limit: Duration) -> Result<Option<Bytes>, Trouble> {
        loop {
            let Some(frame) = self.client.wait(limit, self.response.body_mut().frame())? else { return Ok(None) };
            let frame = frame.map_err(|error| Trouble::Interrupted(causes(&error)))?;
            if let Ok(bytes) = frame.into_data()
                && !bytes.is_empty()
            {
                return Ok(Some(bytes));
            }
        }
    }
}

fn redirect(response: &Response<Incoming>) -> Option<&HeaderValue> {
    let redirects = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    redirects.contains(&response.status()).then(|| response.headers().get(header::LOCATION)).flatten()
}

fn trouble(error: legacy::Error) -> Trouble {
    let is_no_http =
        |cause: &(dyn Error + 'static)| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
    let what = error.source().map_or_else(|| error.to_string(), causes);
    if error.is_connect() {
        Trouble::Unreachable(what)
    } else if error.source().is_some_and(is_no_http) {
        Trouble::NotAHub(what)
    } else {
        Trouble::Interrupted(what)
    }
}

/// An error and what it comes from, for a message.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    shown(&text)
}
