//! One connection to the namespace: a session, the one pair of `$cbs` links that the service allows, a sender link for each
//! entity, and the tokens that were put for them.

use super::{Options, error::BusError, socket, token::Token};
use azure_core::credentials::TokenRequestOptions;
use fe2o3_amqp::{
    Connection as Amqp, Sender, Session,
    connection::ConnectionHandle,
    sasl_profile::SaslProfile,
    session::SessionHandle,
    types::{
        definitions::SenderSettleMode,
        primitives::{Timestamp, Value},
    },
};
use fe2o3_amqp_cbs::{client::CbsClient, token::CbsToken};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::{Mutex, oneshot, watch};
use uuid::Uuid;

/// Who may send, receive and ask for counts.
pub(super) const SCOPE: &str = "https://servicebus.azure.net/.default";
const FRAME_BYTES_MAX: u32 = 64 * 1024;
/// The peer is told to be heard from in this time; what it asks of us, the engine does by itself.
const IDLE_MS: u32 = 120_000;
/// How large a message may be where the link does not say.
const MESSAGE_BYTES_MAX: u64 = 256 * 1024;
/// A batch is never larger, whatever a single message may be on the premium tier.
const BATCH_BYTES_MAX: u64 = 1024 * 1024;
/// In which the link of a premium namespace says how large a batch may be.
const BATCH_BYTES_PROPERTY: &str = "com.microsoft:max-message-batch-size";
/// A farewell is a courtesy.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) struct Connection {
    pub ended: Ended,
    /// Dropped, the connection is closed.
    _leave: oneshot::Sender<()>,
    pub session: SessionHandle<()>,
    cbs: CbsClient,
    tokens: HashMap<String, Token>,
    links: HashMap<String, Arc<Link>>,
}

/// A sender link. Whoever holds the lock writes; outcomes are waited for without it, so that many sends are in flight.
pub(super) struct Link {
    pub sender: Mutex<Sender>,
    pub message_bytes_max: usize,
    pub batch_bytes_max: usize,
}

impl Connection {
    pub async fn open(options: &Options) -> Result<Self, BusError> {
        let address = &options.address;
        let stream = socket::dial(address).await?;
        let mut amqp = Amqp::builder()
            // A link is known by both containers and its name: two processes must not take each other's.
            .container_id(format!("opsloop-{}", Uuid::new_v4()))
            .hostname(Some(address.namespace.as_str()))
            .max_frame_size(FRAME_BYTES_MAX)
            .idle_time_out(IDLE_MS)
            .sasl_profile(SaslProfile::Anonymous)
            // The stream is what it is: TLS, where there is any, is below it already.
            .scheme("amqp")
            .open_with_stream(stream)
            .await
            .map_err(|e| BusError::of_open(address.endpoint.authority(), e))?;
        let mut session = Session::begin(&mut amqp).await.map_err(BusError::of_begin)?;
        let cbs = CbsClient::attach(&mut session).await.map_err(|e| BusError::of_attach("$cbs", e))?;
        let (leave, ended) = watched(amqp);
        Ok(Self { ended, _leave: leave, session, cbs, tokens: HashMap::new(), links: HashMap::new() })
    }

    pub fn is_usable(&self) -> bool {
        self.ended.0.has_changed().is_ok() && !self.session.is_ended()
    }

    /// Puts a token for an entity unless the last one is good for a while. A renewed token serves the links that are there.
    pub async fn authorize(&mut self, entity: &str, options: &Options) -> Result<(), BusError> {
        let now = options.clock.now();
        if self.tokens.get(entity).is_some_and(|token| token.is_good(now)) {
            return Ok(());
        }
        let token = options.credential.get_token(&[SCOPE], None::<TokenRequestOptions<'_>>).await;
        let token = token.map_err(|e| BusError::Credential { why: e.to_string() })?;
        let expires_ms = token.expires_on.unix_timestamp().saturating_mul(1_000);
        let put = CbsToken::new(token.token.secret().to_owned(), "jwt", Timestamp::from_milliseconds(expires_ms));
        let answer = self.cbs.put_token(options.address.of_entity(entity), put);
        self.ended.unless(async { answer.await.map_err(|e| BusError::of_management(entity, e)) }).await?;
        self.tokens.insert(entity.to_owned(), Token::new(now, opsloop_kernel::Timestamp::from_millis(expires_ms)));
        Ok(())
    }

    /// The link to an entity, attached when it is first used.
    pub async fn link(&mut self, entity: &str, options: &Options) -> Result<Arc<Link>, BusError> {
        self.authorize(entity, options).await?;
        if let Some(link) = self.links.get(entity) {
            return Ok(link.clone());
        }
        let sender = Sender::builder()
            .name(format!("{entity}-{}", Uuid::new_v4()))
            .target(options.address.of_entity(entity))
            // Settled by the receiver alone: nothing is taken for accepted that the service has not spoken of.
            .sender_settle_mode(SenderSettleMode::Unsettled)
            .attach(&mut self.session)
            .await
            .map_err(|e| BusError::of_sender(entity, e))?;
        let link = Arc::new(Link::new(sender));
        self.links.insert(entity.to_owned(), link.clone());
        Ok(link)
    }

    /// Forgets a link that broke, and the token with it, which may be why. Whoever comes late finds the next one.
    pub fn discard(&mut self, entity: &str, broken: &Arc<Link>) {
        if self.links.get(entity).is_some_and(|link| Arc::ptr_eq(link, broken)) {
            self.links.remove(entity);
            self.tokens.remove(entity);
        }
    }
}

/// That the connection ended. The engine does not fail what is in flight when the peer vanishes, so whoever waits for an
/// answer has to wait for this too.
#[derive(Clone)]
pub(super) struct Ended(watch::Receiver<()>);

impl Ended {
    pub async fn unless<T>(&self, work: impl Future<Output = Result<T, BusError>>) -> Result<T, BusError> {
        let mut ended = self.0.clone();
        tokio::select! {
            biased;
            done = work => done,
            _ = ended.changed() => Err(BusError::connection("the peer has closed it")),
        }
    }
}

/// Notices when the connection ends, and ends it when nobody holds it any more.
fn watched(mut amqp: ConnectionHandle<()>) -> (oneshot::Sender<()>, Ended) {
    let ((leave, mut left), (alive, ended)) = (oneshot::channel(), watch::channel(()));
    tokio::spawn(async move {
        tokio::select! {
            // However it ended, it ended.
            _ = amqp.on_close() => {}
            _ = &mut left => drop(tokio::time::timeout(FAREWELL, amqp.close()).await),
        }
        drop(alive);
    });
    (leave, Ended(ended))
}

impl Link {
    fn new(sender: Sender) -> Self {
        let message = sender.max_message_size().filter(|max| *max > 0).unwrap_or(MESSAGE_BYTES_MAX);
        let told = sender.properties(|properties| {
            properties.as_ref().and_then(|p| p.get(BATCH_BYTES_PROPERTY)).and_then(|value| match value {
                Value::Ulong(max) => Some(*max),
                Value::Uint(max) => Some(u64::from(*max)),
                Value::Long(max) => u64::try_from(*max).ok(),
                _ => None,
            })
        });
        let batch = told.filter(|max| *max > 0).unwrap_or(BATCH_BYTES_MAX).min(message);
        let bytes = |max: u64| usize::try_from(max).unwrap_or(usize::MAX);
        Self { sender: Mutex::new(sender), message_bytes_max: bytes(message), batch_bytes_max: bytes(batch) }
    }
}
