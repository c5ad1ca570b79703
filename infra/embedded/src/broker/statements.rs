//! The statements of the broker, each inside the transaction of its caller.

use super::{
    Counts, Died, Held, State,
    lock::Lock,
    schema::{ACTIVE, DEFERRED, LOCKED, SCHEDULED},
    sent::Sent,
};
use bytes::Bytes;
use opsloop_kernel::{Delivered, Destination, Message, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

/// Forgotten ids of the duplicate window that one publish removes; as many as it may add, and more.
const FORGOTTEN_MAX: i64 = 1_000;

pub(super) const REASON_DELIVERIES: &str = "MaxDeliveryCountExceeded";
const REASON_EXPIRED: &str = "TTLExpiredException";
const EXPIRED: &str = "The message expired and was dead lettered.";
/// What clients may add to the properties of a message while it is delivered again and again, encoded.
const MODIFIED_BYTES_MAX: usize = 64 * 1024;

/// A copy that is locked: what settling it needs to know.
pub(super) struct Locked {
    pub lock: Lock,
    pub the_box: i64,
    pub message: i64,
}

/// The number of an entity, given when it is first heard of and kept for good.
pub(super) fn entity(connection: &Connection, is_queue: bool, name: &str) -> rusqlite::Result<i64> {
    connection.execute("INSERT OR IGNORE INTO entities (is_queue, name) VALUES (?1, ?2)", params![is_queue, name])?;
    let key = params![is_queue, name];
    connection.query_row("SELECT n FROM entities WHERE is_queue = ?1 AND name = ?2", key, |row| row.get(0))
}

/// Whoever held a lock is gone: their locks end now.
pub(super) fn end_locks(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    connection.execute("UPDATE copies SET at = ?1 WHERE state = ?2", params![now, LOCKED]).map(drop)
}

/// Remembers the id; false if the duplicate window knows it.
pub(super) fn is_new(connection: &Connection, sent_to: i64, id: &str, now: i64, until: i64) -> rusqlite::Result<bool> {
    const SQL: &str = "INSERT INTO seen (sent_to, id, until) VALUES (?1, ?2, ?3) \
        ON CONFLICT (sent_to, id) DO UPDATE SET until = excluded.until WHERE until <= ?4";
    Ok(connection.prepare_cached(SQL)?.execute(params![sent_to, id, until, now])? > 0)
}

pub(super) fn forget(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    const SQL: &str = "DELETE FROM seen WHERE (sent_to, id) IN \
        (SELECT sent_to, id FROM seen WHERE until <= ?1 ORDER BY until LIMIT ?2)";
    connection.prepare_cached(SQL)?.execute([now, FORGOTTEN_MAX]).map(drop)
}

pub(super) fn insert_message(connection: &Connection, sent: &Sent) -> rusqlite::Result<i64> {
    const SQL: &str = "INSERT INTO messages (id, queue, properties, content_type, not_before, body, wire) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let message = &sent.message;
    let queue = match &message.to {
        Destination::Topic => None,
        Destination::Queue(name) => Some(name),
    };
    let properties = serde_json::to_string(&message.properties)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let not_before = message.not_before.map(Timestamp::millis);
    let (body, wire): (&[u8], _) = (&message.body, sent.wire.as_deref());
    let values = params![message.id, queue, properties, message.content_type, not_before, body, wire];
    connection.prepare_cached(SQL)?.insert(values)
}

/// The sequence number of the copy.
pub(super) fn insert_copy(
    connection: &Connection,
    (the_box, message): (i64, i64),
    scheduled: Option<i64>,
    enqueued: i64,
    expires: Option<i64>,
) -> rusqlite::Result<i64> {
    const SQL: &str =
        "INSERT INTO copies (box, state, at, message, enqueued_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let state = if scheduled.is_some() { SCHEDULED } else { ACTIVE };
    let values = params![the_box, state, scheduled.unwrap_or(0), message, enqueued, expires];
    connection.prepare_cached(SQL)?.insert(values)
}

/// Nobody's any more: available or, if it was deferred, put aside again.
const UNLOCK: &str = "UPDATE copies SET state = 3 * is_deferred, at = 0";

/// What was scheduled is enqueued, what was locked too long is available again.
pub(super) fn wake(connection: &Connection, the_box: i64, now: i64) -> rusqlite::Result<()> {
    let sql = format!("{UNLOCK} WHERE box = ?1 AND state = ?2 AND at <= ?3");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.execute(params![the_box, SCHEDULED, now])?;
    statement.execute(params![the_box, LOCKED, now]).map(drop)
}

/// Buries what was delivered for the last time and never settled; how many that were.
pub(super) fn bury_exhausted(connection: &Connection, the_box: i64, max: u32, now: i64) -> rusqlite::Result<usize> {
    const SQL: &str = "UPDATE copies SET box = box + 1, state = ?1, at = 0, reason = ?2, description = ?3, dead_at = at, \
        is_deferred = 0, expires_at = NULL WHERE box = ?4 AND state = ?5 AND at <= ?6 AND deliveries >= ?7";
    let values = params![ACTIVE, REASON_DELIVERIES, exhausted(max), the_box, LOCKED, now, max];
    connection.prepare_cached(SQL)?.execute(values)
}

/// Buries what nobody took within its time to live; how many that were. What is dead never expires.
pub(super) fn bury_expired(connection: &Connection, the_box: i64, now: i64) -> rusqlite::Result<usize> {
    const SQL: &str = "UPDATE copies SET box = box + 1, state = ?1, at = 0, reason = ?2, description = ?3, \
        dead_at = expires_at, is_deferred = 0, expires_at = NULL \
        WHERE box = ?4 AND expires_at <= ?5 AND state IN (?1, ?6)";
    let values = params![ACTIVE, REASON_EXPIRED, EXPIRED, the_box, now, DEFERRED];
    connection.prepare_cached(SQL)?.execute(values)
}

pub(super) fn exhausted(max: u32) -> String {
    format!("Message could not be consumed after {max} delivery attempts.")
}

pub(super) fn bury(
    connection: &Connection,
    sequence: i64,
    (reason, description): (&str, &str),
    now: i64,
) -> rusqlite::Result<()> {
    const SQL: &str = "UPDATE copies SET box = box + 1, state = ?1, at = 0, reason = ?2, description = ?3, dead_at = ?4, \
        is_deferred = 0, expires_at = NULL WHERE sequence = ?5";
    connection.prepare_cached(SQL)?.execute(params![ACTIVE, reason, description, now, sequence]).map(drop)
}

const COPY: &str = "SELECT c.sequence, c.deliveries, c.enqueued_at, c.reason, c.description, c.dead_at, \
    m.id, m.queue, m.properties, m.content_type, m.not_before, m.body, m.wire, c.modified, c.state, c.expires_at \
    FROM copies c INDEXED BY by_box JOIN messages m ON m.n = c.message WHERE c.box = ?1";

/// The oldest active copies of a box.
pub(super) fn active(connection: &Connection, the_box: i64, max: usize) -> rusqlite::Result<Vec<Held>> {
    let sql = format!("{COPY} AND c.state = {ACTIVE} ORDER BY c.at, c.sequence LIMIT ?2");
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    connection.prepare_cached(&sql)?.query_map([the_box, max], held)?.collect()
}

/// One that was deferred.
pub(super) fn deferred(connection: &Connection, the_box: i64, sequence: i64) -> rusqlite::Result<Option<Held>> {
    let sql = format!("{COPY} AND c.state = {DEFERRED} AND c.sequence = ?2");
    connection.prepare_cached(&sql)?.query_row([the_box, sequence], held).optional()
}

/// Copies in order, locked or not, without touching them.
pub(super) fn peek(connection: &Connection, the_box: i64, after: i64, max: usize) -> rusqlite::Result<Vec<Held>> {
    let sql = format!("{COPY} AND c.sequence > ?2 ORDER BY c.sequence LIMIT ?3");
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    connection.prepare_cached(&sql)?.query_map([the_box, after, max], held)?.collect()
}

pub(super) fn lock(connection: &Connection, lock: Lock, until: i64) -> rusqlite::Result<()> {
    const SQL: &str = "UPDATE copies SET state = ?1, at = ?2, deliveries = ?3 WHERE sequence = ?4";
    connection.prepare_cached(SQL)?.execute(params![LOCKED, until, lock.delivery, lock.sequence]).map(drop)
}

/// The copy under this lock, if the lock still holds.
pub(super) fn locked(connection: &Connection, lock: Lock, now: i64) -> rusqlite::Result<Option<Locked>> {
    const SQL: &str = "SELECT box, message FROM copies \
        WHERE sequence = ?1 AND deliveries = ?2 AND state = ?3 AND at > ?4";
    let key = params![lock.sequence, lock.delivery, LOCKED, now];
    let read = |row: &Row<'_>| Ok(Locked { lock, the_box: row.get(0)?, message: row.get(1)? });
    connection.prepare_cached(SQL)?.query_row(key, read).optional()
}

pub(super) fn unlock(connection: &Connection, sequence: i64) -> rusqlite::Result<()> {
    connection.prepare_cached(&format!("{UNLOCK} WHERE sequence = ?1"))?.execute([sequence]).map(drop)
}

/// A delivery that nobody has seen: it does not count.
pub(super) fn put_back(connection: &Connection, lock: Lock) -> rusqlite::Result<Option<i64>> {
    let sql = format!(
        "{UNLOCK}, deliveries = deliveries - 1 WHERE sequence = ?1 AND deliveries = ?2 AND state = ?3 RETURNING box"
    );
    let key = params![lock.sequence, lock.delivery, LOCKED];
    connection.prepare_cached(&sql)?.query_row(key, |row| row.get(0)).optional()
}

pub(super) fn defer(connection: &Connection, sequence: i64) -> rusqlite::Result<()> {
    const SQL: &str = "UPDATE copies SET state = ?1, at = 0, is_deferred = 1 WHERE sequence = ?2";
    connection.prepare_cached(SQL)?.execute([DEFERRED, sequence]).map(drop)
}

/// Adds a map of changed properties, as long as there is room.
pub(super) fn modify(connection: &Connection, sequence: i64, modified: &[u8]) -> rusqlite::Result<()> {
    const SQL: &str = "UPDATE copies SET modified = CAST(coalesce(modified, x'') || ?1 AS BLOB) \
        WHERE sequence = ?2 AND coalesce(length(modified), 0) + length(?1) <= ?3";
    if modified.is_empty() {
        return Ok(());
    }
    let max = i64::try_from(MODIFIED_BYTES_MAX).unwrap_or(i64::MAX);
    connection.prepare_cached(SQL)?.execute(params![modified, sequence, max]).map(drop)
}

/// The copies of a message that is still to come, found by the number of one; how many there were.
pub(super) fn cancel(connection: &Connection, queue: Option<&str>, sequence: i64, now: i64) -> rusqlite::Result<usize> {
    const FIND: &str = "SELECT c.message FROM copies c JOIN messages m ON m.n = c.message \
        WHERE c.sequence = ?1 AND c.state = ?2 AND c.at > ?3 AND m.queue IS ?4 COLLATE NOCASE";
    const REMOVE: &str = "DELETE FROM copies WHERE message = ?1 AND state = ?2";
    let key = params![sequence, SCHEDULED, now, queue];
    let found: Option<i64> = connection.prepare_cached(FIND)?.query_row(key, |row| row.get(0)).optional()?;
    let Some(message) = found else { return Ok(0) };
    let removed = connection.prepare_cached(REMOVE)?.execute([message, SCHEDULED])?;
    delete_orphan(connection, message)?;
    Ok(removed)
}

/// A sequence number that nothing has.
pub(super) fn burn(connection: &Connection) -> rusqlite::Result<i64> {
    let sequence = insert_copy(connection, (0, 0), None, 0, None)?;
    connection.prepare_cached("DELETE FROM copies WHERE sequence = ?1")?.execute([sequence])?;
    Ok(sequence)
}

pub(super) fn relock(connection: &Connection, sequence: i64, until: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE copies SET at = ?1 WHERE sequence = ?2")?.execute([until, sequence]).map(drop)
}

/// The message goes with its last copy.
pub(super) fn delete(connection: &Connection, sequence: i64, message: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM copies WHERE sequence = ?1")?.execute([sequence])?;
    delete_orphan(connection, message)
}

pub(super) fn delete_copy(connection: &Connection, sequence: i64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM copies WHERE sequence = ?1 RETURNING message")?;
    let message: Option<i64> = statement.query_row([sequence], |row| row.get(0)).optional()?;
    message.map_or(Ok(()), |message| delete_orphan(connection, message))
}

fn delete_orphan(connection: &Connection, message: i64) -> rusqlite::Result<()> {
    const SQL: &str = "DELETE FROM messages WHERE n = ?1 AND NOT EXISTS (SELECT 1 FROM copies WHERE message = ?1)";
    connection.prepare_cached(SQL)?.execute([message]).map(drop)
}

/// The message of which this is a copy in that box.
pub(super) fn message_of(connection: &Connection, the_box: i64, sequence: i64) -> rusqlite::Result<Option<i64>> {
    const SQL: &str = "SELECT message FROM copies WHERE sequence = ?1 AND box = ?2";
    connection.prepare_cached(SQL)?.query_row([sequence, the_box], |row| row.get(0)).optional()
}

/// When the next copy of this box is enqueued, loses its lock or expires.
pub(super) fn next_wake(connection: &Connection, the_box: i64) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT min(at) FROM copies WHERE box = ?1 AND state = ?2")?;
    let scheduled: Option<i64> = statement.query_row([the_box, SCHEDULED], |row| row.get(0))?;
    let locked: Option<i64> = statement.query_row([the_box, LOCKED], |row| row.get(0))?;
    const EXPIRY: &str = "SELECT min(expires_at) FROM copies \
        WHERE box = ?1 AND expires_at IS NOT NULL AND state IN (?2, ?3)";
    let expires: Option<i64> =
        connection.prepare_cached(EXPIRY)?.query_row([the_box, ACTIVE, DEFERRED], |row| row.get(0))?;
    Ok(scheduled.into_iter().chain(locked).chain(expires).min())
}

pub(super) fn counts(connection: &Connection, the_box: i64) -> rusqlite::Result<Counts> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM copies WHERE box = ?1 AND state = ?2")?;
    let mut count = |the_box: i64, state: i64| {
        statement.query_row([the_box, state], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
    };
    Ok(Counts {
        active: count(the_box, ACTIVE)?,
        locked: count(the_box, LOCKED)?,
        scheduled: count(the_box, SCHEDULED)?,
        dead: count(the_box + 1, ACTIVE)? + count(the_box + 1, LOCKED)?,
    })
}

/// A copy as it is before it is locked: delivered as often as the row says.
fn held(row: &Row<'_>) -> rusqlite::Result<Held> {
    let properties = serde_json::from_str(row.get_ref(8)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(8, Type::Text, Box::new(error)))?;
    let message = Message {
        id: row.get(6)?,
        to: row.get::<_, Option<String>>(7)?.map_or(Destination::Topic, Destination::Queue),
        properties,
        content_type: row.get(9)?,
        body: Bytes::copy_from_slice(row.get_ref(11)?.as_blob()?),
        not_before: row.get::<_, Option<i64>>(10)?.map(Timestamp::from_millis),
    };
    let (sequence, deliveries) = (row.get(0)?, row.get(1)?);
    let enqueued_at = Timestamp::from_millis(row.get(2)?);
    let reason: Option<String> = row.get(3)?;
    let died = match reason {
        Some(reason) => Some(Died {
            reason,
            description: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
            at: Timestamp::from_millis(row.get::<_, Option<i64>>(5)?.unwrap_or_default()),
        }),
        None => None,
    };
    Ok(Held {
        lock: Lock { sequence, delivery: deliveries },
        locked_until: enqueued_at,
        sequence,
        delivered: Delivered { message, deliveries, enqueued_at: Some(enqueued_at) },
        died,
        wire: row.get::<_, Option<Vec<u8>>>(12)?.map(Bytes::from),
        modified: row.get::<_, Option<Vec<u8>>>(13)?.map(Bytes::from).unwrap_or_default(),
        state: match row.get(14)? {
            SCHEDULED => State::Scheduled,
            LOCKED => State::Locked,
            DEFERRED => State::Deferred,
            _ => State::Active,
        },
        expires_at: row.get::<_, Option<i64>>(15)?.map(Timestamp::from_millis),
    })
}
