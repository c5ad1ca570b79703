//! Messages: receive, call, settle.
//!
//! Success completes, failure abandons at once; there is no backoff and no other settlement, because a custom handler has none
//! in the cloud either. Locks are renewed while a single message is worked on, not for batches.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::core::Core;
use super::envelope;
use super::function::{BusTrigger, Function};
use super::request::ClientTrace;
use super::source::{Delivered, Entity, LockToken, SourceError};

/// One long receive, as clients of the real bus do; stopping does not wait for it.
const RECEIVE_WAIT: Duration = Duration::from_secs(20);
const SOURCE_DOWN_WAIT: Duration = Duration::from_secs(1);
/// A lock is renewed when this much of it is over, and at least this often.
const RENEW_AFTER_MIN: SignedDuration = SignedDuration::from_millis(500);
const DELIVERIES_MAX: u64 = 10_000_000;

/// What a drain did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    pub succeeded: u64,
    pub failed: u64,
}

impl Core {
    /// How many calls of this function may run beside each other: batches come one at a time.
    fn concurrency(&self, trigger: &BusTrigger) -> usize {
        if trigger.many { 1 } else { self.config.max_concurrent_calls }
    }

    fn per_receive(&self, trigger: &BusTrigger, free: usize) -> usize {
        if trigger.many { self.config.max_batch } else { free }
    }

    /// One or, for a batch, several messages in one call; says whether it succeeded.
    async fn deliver(&self, function: &Function, trigger: &BusTrigger, messages: Vec<Delivered>) -> bool {
        let started = self.clock.now();
        let input = match messages.as_slice() {
            [one] if !trigger.many => Ok(envelope::single(trigger, one, &self.bus)),
            all => envelope::batch(trigger, all, &self.bus),
        };
        let trace = ClientTrace::default();
        let succeeded = match &input {
            Err(why) => {
                tracing::error!(function = function.name, why, "the batch cannot be shown to the function");
                false
            }
            Ok(input) => {
                let call = self.invoke(function, input, &trace);
                match messages.as_slice() {
                    [one] if !trigger.many => tokio::select! {
                        result = call => result.is_ok(),
                        never = self.renew(&trigger.entity, one, started) => match never {},
                    },
                    _ => call.await.is_ok(),
                }
            }
        };
        for message in &messages {
            self.settle(function, &trigger.entity, message, succeeded).await;
        }
        succeeded
    }

    /// A message of the admin API: nobody has it locked, so there is nothing to settle.
    pub(super) async fn call_with(&self, function: &Function, trigger: &BusTrigger, message: Delivered) -> bool {
        self.deliver(function, trigger, vec![message]).await
    }

    async fn settle(&self, function: &Function, entity: &Entity, message: &Delivered, succeeded: bool) {
        let Some(lock) = &message.lock else { return };
        let settled = match succeeded {
            true if !self.config.auto_complete => return, // nobody settles: the lock runs out
            true => self.source.complete(entity, lock).await,
            false => self.source.abandon(entity, lock).await,
        };
        if let Err(why) = settled {
            let id = message.message_id.as_deref();
            tracing::warn!(function = function.name, %entity, id, %why, succeeded, "a message could not be settled");
        }
    }

    async fn renew(&self, entity: &Entity, message: &Delivered, started: Timestamp) -> Infallible {
        let renewed = self.keep_lock(entity, message, started).await;
        if let Err(why) = renewed {
            tracing::warn!(%entity, id = message.message_id.as_deref(), %why, "a lock could not be renewed");
        }
        std::future::pending().await
    }

    /// Until `maxAutoLockRenewalDuration` is over.
    async fn keep_lock(&self, entity: &Entity, message: &Delivered, started: Timestamp) -> Result<(), SourceError> {
        let (Some(lock), Some(mut until)) = (message.lock.as_ref(), message.locked_until) else { return Ok(()) };
        let lock: &LockToken = lock;
        loop {
            let now = self.clock.now();
            let half = until.duration_since(now) / 2;
            let Ok(at) = now.checked_add(half.max(RENEW_AFTER_MIN)) else { return Ok(()) };
            let worked = at.duration_since(started).unsigned_abs();
            if worked > self.config.lock_renewal_max {
                return Ok(());
            }
            self.clock.sleep_until(at).await;
            until = self.source.renew(entity, lock).await?;
        }
    }

    /// Delivers everything that is available now, and what that makes available, until nothing is left and no call runs.
    pub(super) async fn drain(&self) -> Drained {
        use futures::StreamExt as _;
        let mut drained = Drained::default();
        let bus = self.bus_functions();
        let mut running = futures::stream::FuturesUnordered::new();
        let mut busy = vec![0_usize; bus.len()];
        loop {
            for (index, (function, trigger)) in bus.iter().copied().enumerate() {
                let free = self.concurrency(trigger).saturating_sub(busy[index]);
                for messages in self.take(trigger, free).await {
                    busy[index] += 1;
                    running.push(async move { (index, self.deliver(function, trigger, messages).await) });
                }
            }
            let Some((index, succeeded)) = running.next().await else {
                if self.invoker.in_flight() == 0 {
                    return drained;
                }
                self.invoker.idle().await; // an HTTP call may still publish something
                continue;
            };
            busy[index] -= 1;
            drained.succeeded += u64::from(succeeded);
            drained.failed += u64::from(!succeeded);
            if drained.succeeded + drained.failed >= DELIVERIES_MAX {
                tracing::error!("the bus does not run dry: a message breeds messages");
                return drained;
            }
        }
    }

    /// What is available now, in the portions in which it is shown.
    async fn take(&self, trigger: &BusTrigger, free: usize) -> Vec<Vec<Delivered>> {
        if free == 0 {
            return Vec::new();
        }
        match self.source.receive(&trigger.entity, self.per_receive(trigger, free), Duration::ZERO).await {
            Ok(messages) => portions(trigger, messages),
            Err(why) => {
                tracing::error!(entity = %trigger.entity, %why, "messages could not be received");
                Vec::new()
            }
        }
    }
}

pub(super) fn by_hand(text: String, now: Timestamp) -> Delivered {
    Delivered { body: text.into(), delivery_count: 1, enqueued_at: now, ..Delivered::default() }
}

fn portions(trigger: &BusTrigger, messages: Vec<Delivered>) -> Vec<Vec<Delivered>> {
    match (trigger.many, messages.is_empty()) {
        (_, true) => Vec::new(),
        (true, false) => vec![messages],
        (false, false) => messages.into_iter().map(|message| vec![message]).collect(),
    }
}

/// Listens for one function until told to stop; then waits for what is running.
pub(super) async fn listen(core: Arc<Core>, function: Function, trigger: BusTrigger, mut stop: watch::Receiver<bool>) {
    let limit = Arc::new(Semaphore::new(core.concurrency(&trigger)));
    let mut running = JoinSet::new();
    let shared = Arc::new((function, trigger));
    loop {
        let received = tokio::select! {
            received = receive(&core, &shared.1, &limit) => received,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        for (messages, permit) in received {
            let (core, shared) = (Arc::clone(&core), Arc::clone(&shared));
            running.spawn(async move {
                core.deliver(&shared.0, &shared.1, messages).await;
                drop(permit);
            });
        }
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
}

type Permitted = (Vec<Delivered>, tokio::sync::OwnedSemaphorePermit);

/// Waits for a free place first: nothing is locked that cannot be worked on.
async fn receive(core: &Core, trigger: &BusTrigger, limit: &Arc<Semaphore>) -> Vec<Permitted> {
    let Ok(first) = Arc::clone(limit).acquire_owned().await else { return std::future::pending().await };
    let free = 1 + limit.available_permits();
    let received = match core.source.receive(&trigger.entity, core.per_receive(trigger, free), RECEIVE_WAIT).await {
        Ok(messages) => messages,
        Err(why) => {
            tracing::warn!(entity = %trigger.entity, %why, "messages could not be received");
            core.clock.patience(SOURCE_DOWN_WAIT).await;
            Vec::new()
        }
    };
    let mut first = Some(first);
    let mut permitted = Vec::new();
    for messages in portions(trigger, received) {
        // Only this task takes permits, so the ones that were free still are.
        let Some(permit) = first.take().or_else(|| Arc::clone(limit).try_acquire_owned().ok()) else { break };
        permitted.push((messages, permit));
    }
    permitted
}
