//! The tables of `broker.sqlite3`.
//!
//! A message is stored once; each entity that has it has a copy. A copy is active (0), scheduled (1) or locked (2), and `at`
//! is when that ends. An entity `n` is two boxes: `2n` and, for its dead letters, `2n + 1`. One index serves receiving in
//! order, what is next to wake, and counts. A copy that was deferred (3) is delivered to who asks for it by its number; it
//! goes back there when it is unlocked. Sequence numbers are never given twice, so that a lock is never mistaken for
//! a later one. `seen` is the duplicate window, by what was sent to (0: the topic). `wire` is the message as a client of the AMQP
//! front sent it, `modified` what clients changed of its properties since, one map after another. `rules` is what clients
//! made of a subscription's rules: null is the deployed one, removed.

pub(super) const FILE: &str = "broker.sqlite3";
/// In `user_version`: a file of another version is refused, not guessed at.
pub(super) const VERSION: i32 = 2;

pub(super) const ACTIVE: i64 = 0;
pub(super) const SCHEDULED: i64 = 1;
pub(super) const LOCKED: i64 = 2;
pub(super) const DEFERRED: i64 = 3;

pub(super) const CREATE: &str = "
CREATE TABLE entities (n INTEGER PRIMARY KEY, is_queue INTEGER NOT NULL, name TEXT NOT NULL, UNIQUE (is_queue, name))
    STRICT;
CREATE TABLE messages (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL, queue TEXT, properties TEXT NOT NULL, content_type TEXT NOT NULL,
    not_before INTEGER, body BLOB NOT NULL, wire BLOB
) STRICT;
CREATE TABLE copies (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, box INTEGER NOT NULL, state INTEGER NOT NULL, at INTEGER NOT NULL,
    message INTEGER NOT NULL, deliveries INTEGER NOT NULL DEFAULT 0, enqueued_at INTEGER NOT NULL,
    reason TEXT, description TEXT, dead_at INTEGER, is_deferred INTEGER NOT NULL DEFAULT 0, modified BLOB,
    expires_at INTEGER
) STRICT;
CREATE INDEX by_box ON copies (box, state, at);
CREATE INDEX by_message ON copies (message);
CREATE TABLE seen (sent_to INTEGER NOT NULL, id TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (sent_to, id))
    STRICT, WITHOUT ROWID;
CREATE INDEX by_end ON seen (until);
CREATE TABLE rules (entity INTEGER NOT NULL, name TEXT NOT NULL, rule TEXT, PRIMARY KEY (entity, name))
    STRICT, WITHOUT ROWID;
CREATE INDEX by_expiry ON copies (box, expires_at) WHERE expires_at IS NOT NULL;
";
