//! The statements of the store. Each takes a connection, so that they run inside a transaction or alone.

use crate::store::{Dumped, assert_pair, batch};
use opsloop_kernel::{
    Body, Container, DocId, Document, Due, Fault, Found, Listing, Order, Page, Stored, Stream, TenantId, Timestamp,
    What,
    due_list::Cut,
    ids,
    ports::{DueList, Within},
};
use rusqlite::{Connection, OptionalExtension, Statement, ToSql, named_params, params, types::Type};
use std::borrow::Cow;

/// A document as it is kept.
#[derive(Debug)]
pub(super) struct Row {
    kind: String,
    due: Option<(String, i64)>,
    expires: Option<i64>,
    body: String,
}

impl Row {
    /// With its bytes; a body that cannot be written is larger than any limit.
    pub fn sized(document: &Document) -> (Self, usize) {
        let written = serde_json::to_string(&document.body);
        let size = written.as_ref().map_or(usize::MAX, |body| body.len() + batch::overhead(document));
        let row = Self {
            kind: document.kind.to_string(),
            due: document.due.as_ref().map(|due| (due.what.to_string(), due.at.millis())),
            expires: document.expires.map(Timestamp::millis),
            body: written.unwrap_or_default(),
        };
        (row, size)
    }
}

pub(super) struct Range {
    pub from: String,
    pub until: String,
    pub page: Page,
    pub order: Order,
}

pub(super) enum Scope {
    All,
    Shard(u8),
    Stream(TenantId, Stream),
}
impl Scope {
    pub fn of(within: Within<'_>) -> Self {
        match within {
            Within::All => Self::All,
            Within::Shard(shard) => Self::Shard(shard),
            Within::Stream(tenant, stream) => Self::Stream(tenant.clone(), stream.clone()),
        }
    }
}

pub(super) struct Asked {
    pub what: What,
    pub at: i64,
    pub now: i64,
    pub within: Scope,
    pub after: Option<(TenantId, Stream)>,
    pub limit: usize,
}

const COLUMNS: &str = "tenant, container, stream, id, etag, kind, what, due_at, expires, body";
const KEY: &str = "tenant = ?1 AND container = ?2 AND stream = ?3 AND id = ?4";

pub(super) fn get(
    connection: &Connection,
    tenant: &TenantId,
    stream: &Stream,
    id: &DocId,
    now: i64,
) -> rusqlite::Result<Result<Option<Stored>, Fault>> {
    let sql = format!("SELECT {COLUMNS} FROM documents WHERE {KEY} AND (expires IS NULL OR expires > ?5)");
    let mut statement = connection.prepare_cached(&sql)?;
    let key = params![tenant.as_str(), rank(stream.container), stream.name, id.0, now];
    let found = statement.query_row(key, dumped).optional()?;
    Ok(found.map(|d| owned_by(tenant, d)).transpose())
}

/// One row more than the page takes is read, to know whether there is one.
pub(super) fn list(
    connection: &Connection,
    tenant: &TenantId,
    stream: &Stream,
    range: &Range,
    now: i64,
) -> rusqlite::Result<Result<Listing, Fault>> {
    let (beyond, order) = match range.order {
        Order::Ascending => (">", "ASC"),
        Order::Descending => ("<", "DESC"),
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM documents WHERE tenant = ?1 AND container = ?2 AND stream = ?3 AND id >= ?4 AND id < ?5 \
         AND (?6 IS NULL OR id {beyond} ?6) AND (expires IS NULL OR expires > ?7) ORDER BY id {order} LIMIT ?8"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    // The position narrows the range itself: a condition beside it would be checked row by row, from the beginning.
    let after = range.page.after.as_ref().map(|id| id.0.as_str());
    let (mut from, mut until) = (range.from.as_str(), range.until.as_str());
    match (after, range.order) {
        (Some(after), Order::Ascending) => from = from.max(after),
        (Some(after), Order::Descending) => until = until.min(after),
        (None, _) => {}
    }
    let limit = range.page.limit;
    let probe = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let rank = rank(stream.container);
    let mut rows = statement.query(params![tenant.as_str(), rank, stream.name, from, until, after, now, probe])?;
    let mut listing = Listing::default();
    while let Some(row) = rows.next()? {
        if listing.items.len() == limit {
            listing.more = true;
            break;
        }
        match owned_by(tenant, dumped(row)?) {
            Ok(stored) => listing.items.push(stored),
            Err(fault) => return Ok(Err(fault)),
        }
    }
    Ok(Ok(listing))
}

pub(super) fn etag(
    connection: &Connection,
    tenant: &TenantId,
    stream: &Stream,
    id: &DocId,
    now: i64,
) -> rusqlite::Result<Option<i64>> {
    let sql = format!("SELECT etag FROM documents WHERE {KEY} AND (expires IS NULL OR expires > ?5)");
    let key = params![tenant.as_str(), rank(stream.container), stream.name, id.0, now];
    connection.prepare_cached(&sql)?.query_row(key, |row| row.get(0)).optional()
}

/// Replaces what is there, also what has expired.
pub(super) fn upsert(
    connection: &Connection,
    tenant: &TenantId,
    stream: &Stream,
    id: &DocId,
    row: &Row,
    etag: i64,
) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT INTO documents \
        (tenant, container, stream, id, etag, kind, what, due_at, shard, expires, body) \
        VALUES (:tenant, :container, :stream, :id, :etag, :kind, :what, :due_at, :shard, :expires, :body) \
        ON CONFLICT (tenant, container, stream, id) DO UPDATE SET etag = excluded.etag, kind = excluded.kind, \
        what = excluded.what, due_at = excluded.due_at, shard = excluded.shard, expires = excluded.expires, \
        body = excluded.body RETURNING tenant";
    let shard = row.due.is_some().then(|| ids::shard(tenant, stream));
    let written: String = connection.prepare_cached(SQL)?.query_row(
        named_params! {
            ":tenant": tenant.as_str(), ":container": rank(stream.container), ":stream": stream.name, ":id": id.0,
            ":etag": etag, ":kind": row.kind, ":what": row.due.as_ref().map(|d| &d.0),
            ":due_at": row.due.as_ref().map(|d| d.1), ":shard": shard, ":expires": row.expires, ":body": row.body,
        },
        |row| row.get(0),
    )?;
    // The pair assertion on write: the transaction ends here, with nothing applied.
    assert_pair(tenant.as_str(), &written).map_err(|_| rusqlite::Error::InvalidQuery)
}

pub(super) fn delete(connection: &Connection, tenant: &TenantId, stream: &Stream, id: &DocId) -> rusqlite::Result<()> {
    let sql = format!("DELETE FROM documents WHERE {KEY}");
    let key = params![tenant.as_str(), rank(stream.container), stream.name, id.0];
    connection.prepare_cached(&sql)?.execute(key).map(drop)
}

pub(super) fn delete_at(
    connection: &Connection,
    tenant: &TenantId,
    stream: &Stream,
    id: &DocId,
    etag: i64,
) -> rusqlite::Result<()> {
    let sql = format!("DELETE FROM documents WHERE {KEY} AND etag = ?5");
    let key = params![tenant.as_str(), rank(stream.container), stream.name, id.0, etag];
    connection.prepare_cached(&sql)?.execute(key).map(drop)
}

pub(super) fn last_etag(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT value FROM counters WHERE name = 'etag'")?.query_row([], |row| row.get(0))
}

pub(super) fn set_last_etag(connection: &Connection, last: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE counters SET value = ?1 WHERE name = 'etag'")?.execute([last]).map(drop)
}

pub(super) fn sweep(connection: &Connection, now: i64, max: usize) -> rusqlite::Result<()> {
    const SQL: &str = "DELETE FROM documents WHERE rowid IN \
        (SELECT rowid FROM documents WHERE expires <= ?1 ORDER BY expires LIMIT ?2)";
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    connection.prepare_cached(SQL)?.execute([now, max]).map(drop)
}

pub(super) fn due(connection: &Connection, asked: &Asked) -> rusqlite::Result<Result<DueList, Fault>> {
    let (index, within) = match &asked.within {
        Scope::All => ("due_by_time", ""),
        Scope::Shard(_) => ("due_by_time", "AND shard = :shard"),
        Scope::Stream(..) => {
            ("due_by_stream", "AND tenant = :only_tenant AND container = :only_container AND stream = :only_stream")
        }
    };
    let after = asked.after.as_ref().map_or("", |_| "AND (tenant, container, stream) > (:tenant, :container, :stream)");
    let sql = format!(
        "SELECT tenant, container, stream, due_at, id FROM documents INDEXED BY {index} \
         WHERE what = :what AND due_at <= :at AND (expires IS NULL OR expires > :now) {within} {after} \
         ORDER BY tenant, container, stream, due_at, id"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    bind_due(&mut statement, asked)?;
    let mut rows = statement.raw_query();
    let mut cut = Cut::at(asked.limit);
    while let Some(row) = rows.next()? {
        let found = Found {
            tenant: tenant_of(row.get(0)?)?,
            stream: Stream::new(container_of(row.get(1)?)?, row.get::<_, String>(2)?),
            at: Timestamp::from_millis(row.get(3)?),
            id: DocId(row.get(4)?),
        };
        if cut.push(found).is_break() {
            break;
        }
    }
    Ok(Ok(cut.finish()))
}

fn bind_due(statement: &mut Statement<'_>, asked: &Asked) -> rusqlite::Result<()> {
    bind(statement, ":what", &asked.what.as_ref())?;
    bind(statement, ":at", &asked.at)?;
    bind(statement, ":now", &asked.now)?;
    match &asked.within {
        Scope::All => {}
        Scope::Shard(shard) => bind(statement, ":shard", shard)?,
        Scope::Stream(tenant, stream) => {
            bind(statement, ":only_tenant", &tenant.as_str())?;
            bind(statement, ":only_container", &rank(stream.container))?;
            bind(statement, ":only_stream", &stream.name)?;
        }
    }
    if let Some((tenant, stream)) = &asked.after {
        bind(statement, ":tenant", &tenant.as_str())?;
        bind(statement, ":container", &rank(stream.container))?;
        bind(statement, ":stream", &stream.name)?;
    }
    Ok(())
}

fn bind(statement: &mut Statement<'_>, name: &str, value: &dyn ToSql) -> rusqlite::Result<()> {
    let index =
        statement.parameter_index(name)?.ok_or_else(|| rusqlite::Error::InvalidParameterName(name.to_owned()))?;
    statement.raw_bind_parameter(index, value)
}

pub(super) fn dump(connection: &Connection, now: i64) -> rusqlite::Result<Result<Vec<Dumped>, Fault>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM documents WHERE expires IS NULL OR expires > ?1 ORDER BY tenant, container, stream, id"
    );
    let mut statement = connection.prepare(&sql)?;
    let all = statement.query_map([now], dumped)?.collect::<rusqlite::Result<_>>()?;
    Ok(Ok(all))
}

fn dumped(row: &rusqlite::Row<'_>) -> rusqlite::Result<Dumped> {
    let what: Option<String> = row.get(6)?;
    let due_at: Option<i64> = row.get(7)?;
    let body = row.get_ref(9)?.as_str()?;
    let document = Document {
        id: DocId(row.get(3)?),
        kind: Cow::Owned(row.get(5)?),
        due: what.zip(due_at).map(|(what, at)| Due::at(what, Timestamp::from_millis(at))),
        expires: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_millis),
        body: serde_json::from_str::<Body>(body)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(9, Type::Text, Box::new(e)))?,
    };
    Ok(Dumped {
        tenant: tenant_of(row.get(0)?)?,
        stream: Stream::new(container_of(row.get(1)?)?, row.get::<_, String>(2)?),
        document,
        etag: batch::etag_of(row.get(4)?),
    })
}

fn owned_by(asked: &TenantId, found: Dumped) -> Result<Stored, Fault> {
    assert_pair(asked.as_str(), found.tenant.as_str())?;
    Ok(Stored { document: found.document, etag: found.etag })
}

fn tenant_of(text: String) -> rusqlite::Result<TenantId> {
    TenantId::parse(text).map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, e.into()))
}

/// Streams order by container first, as `Stream` itself does.
fn rank(container: Container) -> i64 {
    match container {
        Container::State => 0,
        Container::Telemetry => 1,
        Container::Metrics => 2,
    }
}

fn container_of(rank: i64) -> rusqlite::Result<Container> {
    let found = Container::ALL.into_iter().find(|c| self::rank(*c) == rank);
    found.ok_or(rusqlite::Error::IntegralValueOutOfRange(1, rank))
}
