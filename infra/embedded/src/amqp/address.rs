//! What a client means by the address of a link.

use crate::{broker::Broker, host::Entity};
use opsloop_kernel::Destination;

/// What stands at an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `$cbs`: where clients show their tokens.
    Tokens,
    /// `<entity>/$management`.
    Management(Managed),
    /// A topic or a queue, to send to.
    To(Destination),
    /// A queue, a subscription, or the dead letters of one, to receive from.
    From(Entity),
}

/// A topic is only sent to, a subscription only received from, a queue both.
#[derive(Clone, Debug, PartialEq)]
pub struct Managed {
    pub to: Option<Destination>,
    pub from: Option<Entity>,
}

/// The path of an address: `events`, `/events`, `amqps://host:port/events` are one.
pub fn path(address: &str) -> &str {
    let path = match address.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => address,
    };
    path.trim_matches('/')
}

/// Names are compared ignoring case. None: nothing of that name.
pub fn node(broker: &Broker, address: &str, client_receives: bool) -> Option<Node> {
    let path = path(address);
    if path.eq_ignore_ascii_case("$cbs") {
        return Some(Node::Tokens);
    }
    if let Some(of) = without_suffix(path, "/$management") {
        let managed = Managed { to: broker.destination(of), from: entity(broker, of) };
        return (managed.to.is_some() || managed.from.is_some()).then_some(Node::Management(managed));
    }
    if client_receives { entity(broker, path).map(Node::From) } else { broker.destination(path).map(Node::To) }
}

fn entity(broker: &Broker, path: &str) -> Option<Entity> {
    let living = without_suffix(path, "/$deadletterqueue");
    let mut parts = living.unwrap_or(path).split('/');
    let first = parts.next()?;
    let mut entity = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => Entity::queue(first),
        (Some(word), Some(name), None) if word.eq_ignore_ascii_case("subscriptions") => {
            Entity::subscription(first, name)
        }
        _ => return None,
    };
    entity.dead_letters = living.is_some();
    broker.has(&entity).then_some(entity)
}

fn without_suffix<'p>(path: &'p str, suffix: &str) -> Option<&'p str> {
    let (before, end) = path.split_at_checked(path.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix).then_some(before)
}
