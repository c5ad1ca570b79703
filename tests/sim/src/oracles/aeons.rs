//! What was done long ago stays done (A15, A68): when old messages come once more after days, markers and state absorb
//! them or they are refused as `expired`, and nothing is done a second time.

use super::reading::{self, text};
use crate::{
    journal::{Applied, Oracle, Verdict},
    plan::Cast,
};
use opsloop_embedded::store::Dumped;
use opsloop_kernel::{
    Container, Destination, Message, Timestamp,
    message::{QUEUE_METRICS, property},
};

const DAY_MS: i64 = 86_400_000;
const METRICS_DAYS: i64 = 3;
const TRACES_DAYS: i64 = 5;
const EVENTS_DAYS: i64 = 30;

/// Judges what is committed after the first jump.
pub struct LongAgo {
    from: Option<Timestamp>,
}

impl LongAgo {
    pub fn new(cast: &Cast) -> Self {
        Self { from: cast.later.first().copied() }
    }
}

impl Oracle for LongAgo {
    fn name(&self) -> &'static str {
        "long ago"
    }

    fn applied(&mut self, commit: &Applied) -> Verdict {
        if self.from.is_none_or(|from| commit.at < from) {
            return Ok(());
        }
        let place = format!("{} of {}", commit.stream.name, commit.tenant);
        if let Some(fact) = commit.owed.first() {
            return Err(format!("{} {} is owed in {place} for what was done long ago", fact.event_type, fact.event_id));
        }
        // Telemetry that is not expired may be stored again over what it was; its state tells that nothing is new.
        let telemetry = commit.stream.container == Container::Telemetry;
        let same = |a: &Option<opsloop_kernel::Document>, b: &Option<opsloop_kernel::Document>| {
            a.as_ref().map(|d| &d.body) == b.as_ref().map(|d| &d.body)
        };
        let mut changes = commit.changes.iter().filter(|c| c.kind() != "dead-letter" && !same(&c.before, &c.after));
        match changes.next() {
            Some(change) if !telemetry => {
                Err(format!("{} {} changes in {place} for what was done long ago", change.kind(), change.id))
            }
            _ => Ok(()),
        }
    }
}

/// After so long a message is refused: events by when they were recorded, batches by when they were received.
pub fn is_expired(message: &Message, now: Timestamp) -> bool {
    let days = match &message.to {
        Destination::Topic => EVENTS_DAYS,
        Destination::Queue(queue) if queue == QUEUE_METRICS => METRICS_DAYS,
        Destination::Queue(_) => TRACES_DAYS,
    };
    let since = match &message.to {
        Destination::Topic => opsloop_kernel::Envelope::decode(&message.body).ok().map(|e| e.recorded_at),
        Destination::Queue(_) => reading::property(message, property::RECEIVED_AT).parse().ok(),
    };
    since.is_some_and(|since| now.millis_since(since) > days * DAY_MS)
}

/// Each of these that somebody takes was refused as `expired`, and has a record that says so.
pub fn refused<'a>(expired: impl IntoIterator<Item = &'a Message>, documents: &[Dumped]) -> Verdict {
    let records = documents.iter().filter(|d| d.document.kind == "dead-letter").map(|d| &d.document.body.0);
    let records: Vec<_> = records.filter(|r| text(r, "reason") == "expired").collect();
    for message in expired {
        if !records.iter().any(|r| text(r, "messageId") == message.id) {
            return Err(format!("{} {} is too old and was taken", reading::property(message, "kind"), message.id));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::rig::*, *};
    use opsloop_kernel::Document;
    use serde_json::json;

    fn later() -> LongAgo {
        LongAgo::new(&Cast { later: vec![at("10:30:00")], ..cast() })
    }

    #[test]
    fn what_is_done_again_is_noticed() {
        let write = |kind: &'static str| {
            let mut commit = commit(vec![saved(Document::new("1", kind, &json!({})))], vec![]);
            commit.at = at("10:31:00");
            commit
        };
        fails(later().applied(&write("incident")), "incident 1 changes in incidents of acme");
        assert_eq!(later().applied(&write("dead-letter")), Ok(()));
        let mut owing = commit(vec![], vec![fact("A", "1", json!({}))]);
        owing.at = at("10:31:00");
        fails(later().applied(&owing), "is owed in incidents of acme for what was done long ago");
        owing.at = at("10:29:00");
        assert_eq!(later().applied(&owing), Ok(()));
    }

    #[test]
    fn what_is_too_old_and_not_refused_is_noticed() {
        let old = message(&fact("A", "1", json!({})));
        let day = |n: i64| at("10:05:01").plus_millis(n * DAY_MS);
        assert!(is_expired(&old, day(31)) && !is_expired(&old, day(29)));
        fails(refused([&old], &[]), "is too old and was taken");
        let record = json!({"messageId": old.id, "reason": "expired"});
        assert_eq!(refused([&old], &[dumped(Document::new("1", "dead-letter", &record))]), Ok(()));
    }
}
