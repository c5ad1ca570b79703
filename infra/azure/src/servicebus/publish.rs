//! Sending, until the service has said of each message whether it took it.
//!
//! Messages to one entity travel in batches, all of them in flight at once. The service says one thing of a batch; if it
//! refuses one, its messages are sent one by one, so that the right one bears the refusal. Whatever is not certain is sent
//! again.

use super::{
    bus::{Attached, Bus},
    connection::Link,
    error::{BusError, Scope, Verdict},
    message::{self, BATCH_FORMAT, Encoded},
    packing, told,
};
use fe2o3_amqp::{
    Sender,
    link::{
        SendError,
        delivery::{DeliveryFut, Sendable},
    },
    types::messaging::Outcome as AmqpOutcome,
};
use futures::future;
use opsloop_kernel::{Destination, Fault, Message, Outcome, message::TOPIC};
use std::{collections::BTreeMap, time::Duration};

/// Tries of one call; the caller has retries of its own.
const TRIES: u32 = 3;
/// Before the second try; four times as long before the third.
const PAUSE: Duration = Duration::from_millis(100);
/// Of the service.
const MESSAGE_ID_MAX: usize = 128;

type InFlight = DeliveryFut<Result<AmqpOutcome, SendError>>;

/// An outcome per message, in order; a fault when not even one try is certain of all of them.
pub(super) async fn publish(bus: &Bus, messages: &[Message]) -> Result<Vec<Outcome>, Fault> {
    let mut sendings: BTreeMap<&str, Sending<'_>> = BTreeMap::new();
    for (index, message) in messages.iter().enumerate() {
        let entity = match &message.to {
            Destination::Topic => TOPIC,
            Destination::Queue(name) => name,
        };
        sendings.entry(entity).or_insert_with(|| Sending::new(bus, entity)).add(index, message);
    }
    let sent = future::join_all(sendings.into_values().map(Sending::run)).await;
    let mut outcomes = vec![None; messages.len()];
    for item in sent.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
        outcomes[item.index] = item.outcome;
    }
    // What nobody spoke of was not accepted.
    outcomes.into_iter().collect::<Option<_>>().ok_or(Fault::Unavailable { dependency: Fault::BROKER })
}

/// What goes to one entity.
struct Sending<'b> {
    bus: &'b Bus,
    entity: &'b str,
    items: Vec<Item>,
}

struct Item {
    /// Among the messages of the call.
    index: usize,
    /// None when it was refused before it could be said.
    encoded: Option<Encoded>,
    outcome: Option<Outcome>,
    /// A batch with it was refused.
    alone: bool,
}

impl<'b> Sending<'b> {
    fn new(bus: &'b Bus, entity: &'b str) -> Self {
        Self { bus, entity, items: Vec::new() }
    }

    fn add(&mut self, index: usize, message: &Message) {
        let encoded = message::encoded(message);
        let why = match &encoded {
            _ if message.id.chars().count() > MESSAGE_ID_MAX => {
                Some(format!("its message id is longer than {MESSAGE_ID_MAX} characters"))
            }
            None => Some("it cannot be encoded as an AMQP message".to_owned()),
            Some(_) => None,
        };
        self.items.push(Item { index, encoded, outcome: why.map(|why| Outcome::Rejected { why }), alone: false });
    }

    async fn run(mut self) -> Result<Vec<Item>, Fault> {
        let mut pause = PAUSE;
        for attempt in 1..=TRIES {
            let Err(error) = self.attempt().await else { break };
            match error.verdict() {
                // Said of the entity, not of a message: none of them will ever get there.
                Verdict::Never => self.reject_the_rest(&error),
                Verdict::Soon if attempt < TRIES => {
                    tracing::debug!(entity = self.entity, attempt, error = %error, "what is not certain is sent again");
                    tokio::time::sleep(pause).await;
                    pause *= 4;
                }
                Verdict::Soon | Verdict::Later => return Err(told("messages could not be published", &error)),
            }
        }
        Ok(self.items)
    }

    /// Sends all that is undecided. When it fails, what has been decided stays so.
    async fn attempt(&mut self) -> Result<(), BusError> {
        if self.undecided().next().is_none() {
            return Ok(());
        }
        let attached = self.bus.link(self.entity).await?;
        self.reject_too_large(attached.link.message_bytes_max);
        loop {
            // Each round decides, fails, or sends alone what was not alone before.
            let packs = self.packs(&attached.link);
            if packs.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.send(&attached, packs).await {
                self.bus.mend(self.entity, &attached, &error).await;
                return Err(error);
            }
        }
    }

    async fn send(&mut self, attached: &Attached, packs: Vec<Vec<usize>>) -> Result<(), BusError> {
        let bus = self.bus;
        let exchange = async {
            let (in_flight, written) = self.write(&attached.link, packs).await;
            let mut failed = written.err();
            for (pack, outcome) in in_flight {
                if let Err(error) = outcome.await.map_err(|e| BusError::of_send(&e)).and_then(|o| self.judge(&pack, o))
                {
                    failed.get_or_insert(error);
                }
            }
            failed.map_or(Ok(()), Err)
        };
        bus.answering("send", Scope::Link, attached.ended.unless(exchange)).await
    }

    /// Holds the link while writing only, so that callers pipeline.
    async fn write(&self, link: &Link, packs: Vec<Vec<usize>>) -> (Vec<(Vec<usize>, InFlight)>, Result<(), BusError>) {
        let mut in_flight = Vec::with_capacity(packs.len());
        let mut sender = link.sender.lock().await;
        for pack in packs {
            let messages: Vec<&Encoded> = pack.iter().filter_map(|n| self.items[*n].encoded.as_ref()).collect();
            match transfer(&mut sender, &messages).await {
                Ok(outcome) => in_flight.push((pack, outcome)),
                Err(error) => return (in_flight, Err(BusError::of_send(&error))),
            }
        }
        (in_flight, Ok(()))
    }

    /// What the service said of a transfer.
    fn judge(&mut self, pack: &[usize], outcome: AmqpOutcome) -> Result<(), BusError> {
        let error = match outcome {
            AmqpOutcome::Accepted(_) => {
                pack.iter().for_each(|n| self.items[*n].outcome = Some(Outcome::Accepted));
                return Ok(());
            }
            AmqpOutcome::Rejected(rejected) => match rejected.error {
                Some(error) => BusError::told(self.entity, &error),
                None => BusError::Refused { condition: "rejected".to_owned(), why: "no reason was given".to_owned() },
            },
            other => BusError::Refused { condition: "not accepted".to_owned(), why: format!("{other:?}") },
        };
        if error.verdict() != Verdict::Never {
            return Err(error);
        }
        if let [only] = pack {
            self.items[*only].outcome = Some(Outcome::Rejected { why: error.to_string() });
        } else {
            pack.iter().for_each(|n| self.items[*n].alone = true);
        }
        Ok(())
    }

    fn undecided(&self) -> impl Iterator<Item = (usize, &Item)> {
        self.items.iter().enumerate().filter(|(_, item)| item.outcome.is_none())
    }

    fn packs(&self, link: &Link) -> Vec<Vec<usize>> {
        let sized = self.undecided().map(|(n, item)| (n, size(item), item.alone));
        packing::pack(sized, link.batch_bytes_max)
    }

    /// The link says what it takes; more would end it, and fail what others have in flight on it.
    fn reject_too_large(&mut self, max: usize) {
        for item in self.items.iter_mut().filter(|item| item.outcome.is_none()) {
            let bytes = size(item);
            if bytes > max {
                item.outcome = Some(Outcome::Rejected { why: format!("it has {bytes} bytes, at most {max}") });
            }
        }
    }

    fn reject_the_rest(&mut self, error: &BusError) {
        for item in self.items.iter_mut().filter(|item| item.outcome.is_none()) {
            item.outcome = Some(Outcome::Rejected { why: error.to_string() });
        }
    }
}

fn size(item: &Item) -> usize {
    item.encoded.as_ref().map_or(0, |encoded| encoded.bytes.len())
}

async fn transfer(sender: &mut Sender, messages: &[&Encoded]) -> Result<InFlight, SendError> {
    if let [only] = messages {
        return sender.send_batchable(only.message.clone()).await;
    }
    let batch = Sendable::builder().message(message::batch(messages)).message_format(BATCH_FORMAT).build();
    sender.send_batchable(batch).await
}
