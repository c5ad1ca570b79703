//! One document, and a range of one stream's.

use super::{
    connection::{Connection, Meter, Metered, partition},
    document::Kept,
    trouble::Trouble,
};
use azure_data_cosmos::{
    FeedScope, Query,
    clients::ContainerClient,
    options::{MaxItemCountHint, QueryOptions},
};
use futures::TryStreamExt;
use opsloop_kernel::{DocId, Listing, Order, Page, Stored, Stream, TenantId, Timestamp};
use std::num::NonZeroU32;

/// The most documents in one answer of the service; it ends at 4 MB in any case.
const PAGE_MAX: usize = 1_000;
/// Of a query: what has expired by our clock is absent, whether the service has removed it or not.
pub(super) const THERE: &str = "(NOT IS_DEFINED(c.expires) OR c.expires > @now)";

/// Ids `from ≤ id < until`, after the page's position.
pub(super) struct Range<'a> {
    pub from: &'a str,
    pub until: &'a str,
    pub page: Page,
    pub order: Order,
}

pub(super) async fn get(
    connection: &Connection,
    tenant: &TenantId,
    stream: &Stream,
    id: &DocId,
    now: Timestamp,
) -> Metered<Option<Stored>> {
    let mut meter = Meter::default();
    let found = async {
        let container = connection.container(stream.container).await?;
        let kept = kept(&container, tenant, stream, id, &mut meter).await?;
        kept.filter(|k| k.is_there(now)).map(|k| k.read_by(tenant, stream)).transpose()
    };
    let outcome = found.await;
    meter.done(outcome)
}

/// The document as the service has it, also an expired one. An id that no document can have has none.
pub(super) async fn kept(
    container: &ContainerClient,
    tenant: &TenantId,
    stream: &Stream,
    id: &DocId,
    meter: &mut Meter,
) -> Result<Option<Kept>, Trouble> {
    if id.check().is_err() {
        return Ok(None);
    }
    match container.read_item(partition(tenant, stream), &id.0, None).await {
        Ok(response) => {
            meter.read(response.headers());
            response.into_model().map(Some).map_err(|e| Trouble::Unreadable { why: e.to_string() })
        }
        Err(e) if e.status().is_not_found() => Ok(None),
        Err(e) => Err(Trouble::of(&e)),
    }
}

/// One document more than the page takes is asked for, to know whether there is one.
pub(super) async fn list(
    connection: &Connection,
    tenant: &TenantId,
    stream: &Stream,
    range: Range<'_>,
    now: Timestamp,
) -> Metered<Listing> {
    let mut meter = Meter::default();
    let outcome = listed(connection, tenant, stream, range, now, &mut meter).await;
    meter.done(outcome)
}

async fn listed(
    connection: &Connection,
    tenant: &TenantId,
    stream: &Stream,
    range: Range<'_>,
    now: Timestamp,
    meter: &mut Meter,
) -> Result<Listing, Trouble> {
    let limit = range.page.limit;
    let Some(query) = query_of(&range, now)? else { return Ok(Listing::default()) };
    let container = connection.container(stream.container).await?;
    let scope = FeedScope::partition(partition(tenant, stream));
    let documents = container.query_items::<Kept>(query, scope, Some(pages_of(limit.saturating_add(1)))).await;
    let mut pages = documents.map_err(|e| Trouble::of(&e))?.into_pages();
    let mut listing = Listing::default();
    while let Some(page) = pages.try_next().await.map_err(|e| Trouble::of(&e))? {
        meter.read(page.headers());
        for kept in page.into_items() {
            if listing.items.len() == limit {
                listing.more = true;
                return Ok(listing);
            }
            listing.items.push(kept.read_by(tenant, stream)?);
        }
    }
    Ok(listing)
}

/// The position narrows the range itself: a condition beside it would be checked document by document, from the beginning.
fn query_of(range: &Range<'_>, now: Timestamp) -> Result<Option<Query>, Trouble> {
    let (mut low, mut from) = (">=", range.from);
    let mut until = range.until;
    match (&range.page.after, range.order) {
        (Some(after), Order::Ascending) if after.0.as_str() >= from => (low, from) = (">", &after.0),
        (Some(after), Order::Descending) if after.0.as_str() < until => until = &after.0,
        _ => {}
    }
    if from >= until {
        return Ok(None);
    }
    let order = match range.order {
        Order::Ascending => "ASC",
        Order::Descending => "DESC",
    };
    let text = format!("SELECT * FROM c WHERE c.id {low} @from AND c.id < @until AND {THERE} ORDER BY c.id {order}");
    let query = Query::from(text).with_parameter("@from", from);
    let query = query.and_then(|q| q.with_parameter("@until", until)).and_then(|q| q.with_parameter("@now", now));
    query.map(Some).map_err(|e| Trouble::of(&e))
}

pub(super) fn pages_of(items: usize) -> QueryOptions {
    let count = u32::try_from(items.clamp(1, PAGE_MAX)).unwrap_or(1);
    let hint = NonZeroU32::new(count).map_or(MaxItemCountHint::ServerDecides, MaxItemCountHint::Limit);
    QueryOptions::default().with_max_item_count(hint)
}
