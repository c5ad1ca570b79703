//! Copies have ids of their own (SPEC 3.6, A3, A36): under one id one content; the hop goes up by one, each copy says
//! why it is there, and the bytes are those of the original.

use super::reading::{self, copy_id};
use crate::journal::{Oracle, Verdict};
use bytes::Bytes;
use opsloop_kernel::{Destination, Message, message::property};
use opsloop_shell::settle::ATTEMPTS_MAX;
use std::collections::BTreeMap;

/// By lost races at most so many per attempt (A12).
const RACES_MAX: u32 = 100;
/// What may differ where one delivery is handled once more and ends otherwise, or a batch was sent once more: the broker
/// takes the first of the two.
const STATE: [&str; 7] = [
    property::RECEIVED_AT,
    property::ATTEMPT,
    property::RACES,
    property::MOMENT,
    property::AFTER,
    property::FIRST_AT,
    property::REPLAY_OF,
];

#[derive(Default)]
pub struct Copies {
    /// The first body seen under an original's id, by tenant.
    bodies: BTreeMap<(String, String), Bytes>,
    copies: BTreeMap<(String, String), Message>,
}

impl Oracle for Copies {
    fn name(&self) -> &'static str {
        "copies have their own id"
    }

    fn published(&mut self, message: &Message) -> Verdict {
        let tenant = reading::property(message, property::TENANT).to_owned();
        let Some(hop) = reading::hop(message) else {
            self.bodies.entry((tenant, message.id.clone())).or_insert_with(|| message.body.clone());
            return Ok(());
        };
        let id = &message.id;
        let Some((original, worker, named)) = copy_id(id) else {
            return Err(format!("a copy with hop {hop} bears the message id {id}, not one of its own (A3)"));
        };
        if named != hop {
            return Err(format!("the copy {id} has hop {hop}"));
        }
        let body = self.bodies.entry((tenant.clone(), original.to_owned())).or_insert_with(|| message.body.clone());
        if *body != message.body {
            return Err(format!("the copy {id} has other bytes than its original"));
        }
        limits(message)?;
        if let Some(first) = self.copies.get(&(tenant.clone(), id.clone())) {
            return same(first, message);
        }
        let before = self.copies.get(&(tenant.clone(), format!("{original}:{worker}:h{}", hop - 1)));
        if hop > 1 && before.is_none() {
            return Err(format!("the copy {id} comes after no copy with hop {}", hop - 1));
        }
        follows(before, original, message)?;
        self.copies.insert((tenant, id.clone()), message.clone());
        Ok(())
    }
}

fn number(message: &Message, name: &str) -> u32 {
    reading::property(message, name).parse().unwrap_or_default()
}

fn limits(message: &Message) -> Verdict {
    for (name, limit) in [(property::ATTEMPT, ATTEMPTS_MAX), (property::RACES, RACES_MAX)] {
        let is = number(message, name);
        if is > limit {
            return Err(format!("the copy {} has {name} {is}, at most {limit}", message.id));
        }
    }
    let audience = reading::property(message, property::AUDIENCE);
    let worker = copy_id(&message.id).map_or("", |(_, worker, _)| worker);
    if message.to == Destination::Topic && audience != worker {
        return Err(format!("the copy {} is for `{audience}`, not for the worker that made it", message.id));
    }
    Ok(())
}

fn same(first: &Message, message: &Message) -> Verdict {
    let kept = |m: &Message| {
        let mut properties = m.properties.clone();
        properties.retain(|name, _| !STATE.contains(&name.as_str()));
        (m.to.clone(), properties)
    };
    if kept(first) == kept(message) {
        return Ok(());
    }
    Err(format!("two copies have the id {}: {:?} and {:?}", message.id, kept(first), kept(message)))
}

/// The next attempt, one more lost race of the same (A12), a later moment or position; or a replay, from attempt 1.
/// Before the first copy is the original, at attempt 1.
fn follows(before: Option<&Message>, original: &str, message: &Message) -> Verdict {
    let count = |m: &Message| (number(m, property::ATTEMPT), number(m, property::RACES));
    let ((was, raced), (is, races)) = (before.map_or((1, 0), count), count(message));
    let of = |m: Option<&Message>, name: &str| m.and_then(|m| m.properties.get(name).cloned());
    let moved = |name| of(Some(message), name).is_some_and(|now| of(before, name) != Some(now));
    let replays = reading::property(message, property::REPLAY_OF) == before.map_or(original, |b| b.id.as_str());
    let id = &message.id;
    if of(before, property::MOMENT).is_some() && !message.properties.contains_key(property::MOMENT) {
        return Err(format!("the copy {id} has lost its moment"));
    }
    let goes_on = match is {
        1 if replays => races == 0,
        _ if is == was => races == raced + 1 || races == raced && (moved(property::MOMENT) || moved(property::AFTER)),
        _ => is == was + 1 && races == 0,
    };
    if goes_on {
        return Ok(());
    }
    Err(format!(
        "the copy {id} goes from attempt {was} with {raced} races to attempt {is} with {races}, and waits for nothing"
    ))
}

#[cfg(test)]
mod tests {
    use super::{super::rig::*, *};
    use serde_json::json;

    fn original() -> Message {
        message(&fact("A", "1", json!({})))
    }
    fn after(copies: &[Message]) -> Copies {
        let mut oracle = Copies::default();
        oracle.published(&original()).unwrap();
        copies.iter().for_each(|c| oracle.published(c).unwrap());
        oracle
    }

    #[test]
    fn copies_in_their_order_are_right() {
        let o = original();
        let mut oracle = after(&[copy(&o, "W", 1, 2), raced(copy(&o, "W", 2, 2), 1), deferred(copy(&o, "V", 1, 1))]);
        oracle.published(&raced(copy(&o, "W", 1, 1), 1)).unwrap(); // the same delivery, handled once more
        let mut replay = copy(&o, "W", 3, 1);
        replay.properties.insert("replayOf".into(), ids_of(&o, 2));
        oracle.published(&replay).unwrap();
    }
    fn raced(mut copy: Message, races: u32) -> Message {
        copy.properties.insert("races".into(), races.to_string());
        copy
    }
    fn deferred(mut copy: Message) -> Message {
        copy.properties.insert("moment".into(), at("10:00:00").to_string());
        copy
    }
    fn ids_of(o: &Message, hop: u32) -> String {
        opsloop_kernel::ids::copy_id(&o.id, "W", hop)
    }

    #[test]
    fn a_copy_under_the_id_of_its_original_is_noticed() {
        let o = original();
        let named = Message { id: o.id.clone(), ..copy(&o, "W", 1, 1) };
        fails(after(&[]).published(&named), "not one of its own (A3)");
        let named = Message { id: ids_of(&o, 2), ..copy(&o, "W", 1, 1) };
        fails(after(&[]).published(&named), "has hop 1");
    }

    #[test]
    fn other_content_under_one_id_is_noticed() {
        let o = original();
        let elsewhere = Message { to: Destination::Queue("q".into()), ..copy(&o, "W", 1, 2) };
        fails(after(&[copy(&o, "W", 1, 2)]).published(&elsewhere), "two copies have the id");
        let changed = Message { body: Bytes::from_static(b"{}"), ..copy(&o, "W", 1, 1) };
        fails(after(&[]).published(&changed), "other bytes than its original");
    }

    #[test]
    fn hops_attempts_and_moments_are_watched() {
        let o = original();
        fails(after(&[]).published(&copy(&o, "W", 2, 1)), "comes after no copy with hop 1");
        fails(
            after(&[copy(&o, "W", 1, 2)]).published(&copy(&o, "W", 2, 1)),
            "from attempt 2 with 0 races to attempt 1",
        );
        fails(after(&[]).published(&copy(&o, "W", 1, 3)), "from attempt 1 with 0 races to attempt 3");
        fails(after(&[]).published(&copy(&o, "W", 1, 1)), "to attempt 1 with 0, and waits for nothing");
        fails(after(&[]).published(&raced(copy(&o, "W", 1, 2), 1)), "to attempt 2 with 1");
        fails(after(&[]).published(&copy(&o, "W", 1, 6)), "attempt 6, at most 5");
        let waits = deferred(copy(&o, "W", 1, 1));
        fails(after(&[waits]).published(&copy(&o, "W", 2, 1)), "lost its moment");
        let mut strayed = copy(&o, "W", 1, 1);
        strayed.properties.insert("audience".into(), "V".into());
        fails(after(&[]).published(&strayed), "is for `V`");
    }
}
