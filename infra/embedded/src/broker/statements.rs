//! The statements of the broker, each inside the transaction of its caller.

use super::{
    Counts, Died, Held,
    lock::Lock,
    schema::{ACTIVE, LOCKED, SCHEDULED},
};
use bytes::Bytes;
use opsloop_kernel::{Delivered, Destination, Message, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

/// Forgotten ids of the duplicate window that one publish removes; as many as it may add, and more.
const FORGOTTEN_MAX: i64 = 1_000;

pub(super) const REASON_DELIVERIES: &str = "MaxDeliveryCountExceeded";

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

pub(super) fn insert_message(connection: &Connection, message: &Message) -> rusqlite::Result<i64> {
    const SQL: &str = "INSERT INTO messages (id, queue, properties, content_type, not_before, body) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let queue = match &message.to {
        Destination::Topic => None,
        Destination::Queue(name) => Some(name),
    };
    let properties = serde_json::to_string(&message.properties)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let not_before = message.not_before.map(Timestamp::millis);
    let body: &[u8] = &message.body;
    let values = params![message.id, queue, properties, message.content_type, not_before, body];
    connection.prepare_cached(SQL)?.insert(values)
}

pub(super) fn insert_copy(
    connection: &Connection,
    the_box: i64,
    message: i64,
    scheduled: Option<i64>,
    now: i64,
) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT INTO copies (box, state, at, message, enqueued_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    let state = if scheduled.is_some() { SCHEDULED } else { ACTIVE };
    let values = params![the_box, state, scheduled.unwrap_or(0), message, scheduled.unwrap_or(now)];
    connection.prepare_cached(SQL)?.execute(values).map(drop)
}

/// What was scheduled is enqueued, what was locked too long is available again.
pub(super) fn wake(connection: &Connection, the_box: i64, now: i64) -> rusqlite::Result<()> {
    const SQL: &str = "UPDATE copies SET state = ?1, at = 0 WHERE box = ?2 AND state = ?3 AND at <= ?4";
    let mut statement = connection.prepare_cached(SQL)?;
    statement.execute(params![ACTIVE, the_box, SCHEDULED, now])?;
    statement.execute(params![ACTIVE, the_box, LOCKED, now]).map(drop)
}

/// Buries what was delivered for the last time and never settled; how many that were.
pub(super) fn bury_exhausted(connection: &Connection, the_box: i64, max: u32, now: i64) -> rusqlite::Result<usize> {
    const SQL: &str = "UPDATE copies SET box = box + 1, state = ?1, at = 0, reason = ?2, description = ?3, dead_at = at \
        WHERE box = ?4 AND state = ?5 AND at <= ?6 AND deliveries >= ?7";
    let values = params![ACTIVE, REASON_DELIVERIES, exhausted(max), the_box, LOCKED, now, max];
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
    const SQL: &str = "UPDATE copies SET box = box + 1, state = ?1, at = 0, reason = ?2, description = ?3, dead_at = ?4 \
        WHERE sequence = ?5";
    connection.prepare_cached(SQL)?.execute(params![ACTIVE, reason, description, now, sequence]).map(drop)
}

const COPY: &str = "SELECT c.sequence, c.deliveries, c.enqueued_at, c.reason, c.description, c.dead_at, \
    m.id, m.queue, m.properties, m.content_type, m.not_before, m.body \
    FROM copies c INDEXED BY by_box JOIN messages m ON m.n = c.message WHERE c.box = ?1";

/// The oldest active copies of a box.
pub(super) fn active(connection: &Connection, the_box: i64, max: usize) -> rusqlite::Result<Vec<Held>> {
    let sql = format!("{COPY} AND c.state = {ACTIVE} ORDER BY c.at, c.sequence LIMIT ?2");
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    connection.prepare_cached(&sql)?.query_map([the_box, max], held)?.collect()
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
    const SQL: &str = "UPDATE copies SET state = ?1, at = 0 WHERE sequence = ?2";
    connection.prepare_cached(SQL)?.execute([ACTIVE, sequence]).map(drop)
}

pub(super) fn relock(connection: &Connection, sequence: i64, until: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE copies SET at = ?1 WHERE sequence = ?2")?.execute([until, sequence]).map(drop)
}

/// The message goes with its last copy.
pub(super) fn delete(connection: &Connection, sequence: i64, message: i64) -> rusqlite::Result<()> {
    const LAST: &str = "DELETE FROM messages WHERE n = ?1 AND NOT EXISTS (SELECT 1 FROM copies WHERE message = ?1)";
    connection.prepare_cached("DELETE FROM copies WHERE sequence = ?1")?.execute([sequence])?;
    connection.prepare_cached(LAST)?.execute([message]).map(drop)
}

/// The message of which this is a copy in that box.
pub(super) fn message_of(connection: &Connection, the_box: i64, sequence: i64) -> rusqlite::Result<Option<i64>> {
    const SQL: &str = "SELECT message FROM copies WHERE sequence = ?1 AND box = ?2";
    connection.prepare_cached(SQL)?.query_row([sequence, the_box], |row| row.get(0)).optional()
}

/// When the next copy of this box is enqueued or loses its lock.
pub(super) fn next_wake(connection: &Connection, the_box: i64) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT min(at) FROM copies WHERE box = ?1 AND state = ?2")?;
    let scheduled: Option<i64> = statement.query_row([the_box, SCHEDULED], |row| row.get(0))?;
    let locked: Option<i64> = statement.query_row([the_box, LOCKED], |row| row.get(0))?;
    Ok(scheduled.into_iter().chain(locked).min())
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
    })
}
