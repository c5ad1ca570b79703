//! What is due, whosesoever: the only query across partitions. It asks for keys alone, in their order, and a key says all
//! that an answer has (DESIGN 6, A49, A62).

use super::{
    connection::{Connection, Meter, Metered, partition},
    document::{BEYOND, found, key_of},
    rank,
    reads::{THERE, pages_of},
    trouble::Trouble,
};
use azure_data_cosmos::{FeedScope, Query, feed::QueryPageIterator};
use futures::{TryStreamExt, future::try_join_all};
use opsloop_kernel::{
    Container, Found, Stream, TenantId, Timestamp, What,
    due_list::Cut,
    ports::{DueList, Within},
};
use std::collections::VecDeque;

/// Keys of a page at least: a stream is not cut, however few documents are asked for.
const KEYS_MIN: usize = 200;

pub(super) struct Asked<'a> {
    pub what: &'a What,
    pub at: Timestamp,
    pub now: Timestamp,
    pub within: Within<'a>,
    pub after: Option<(&'a TenantId, &'a Stream)>,
    pub limit: usize,
}

pub(super) async fn due(connection: &Connection, asked: Asked<'_>) -> Metered<DueList> {
    let mut meter = Meter::default();
    let outcome = listed(connection, &asked, &mut meter).await;
    meter.done(outcome)
}

async fn listed(connection: &Connection, asked: &Asked<'_>, meter: &mut Meter) -> Result<DueList, Trouble> {
    let containers: Vec<Container> = match asked.within {
        Within::Stream(tenant, stream) if asked.after.is_some_and(|after| after >= (tenant, stream)) => vec![],
        Within::Stream(_, stream) => vec![stream.container],
        Within::All | Within::Shard(_) => Container::ALL.to_vec(),
    };
    let mut sources = try_join_all(containers.into_iter().map(|c| Source::open(connection, asked, c))).await?;
    let mut cut = Cut::at(asked.limit);
    while let Some(found) = next_of(&mut sources, meter).await? {
        if cut.push(found).is_break() {
            break;
        }
    }
    Ok(cut.finish())
}

/// Every container comes in the order of the answer, which puts the containers of a tenant one after the other.
async fn next_of(sources: &mut [Source], meter: &mut Meter) -> Result<Option<Found>, Trouble> {
    let mut first: Option<(usize, &Found)> = None;
    try_join_all(sources.iter_mut().map(Source::fill)).await?.into_iter().for_each(|charged| meter.add(charged));
    for (n, source) in sources.iter().enumerate() {
        if let Some(found) = source.read.front()
            && first.is_none_or(|(_, least)| found < least)
        {
            first = Some((n, found));
        }
    }
    let Some((n, _)) = first else { return Ok(None) };
    Ok(sources[n].read.pop_front())
}

/// The due documents of one container, in order, page by page.
struct Source {
    container: Container,
    pages: Option<QueryPageIterator<String>>,
    read: VecDeque<Found>,
}

impl Source {
    async fn open(connection: &Connection, asked: &Asked<'_>, container: Container) -> Result<Self, Trouble> {
        let client = connection.container(container).await?;
        let scope = match asked.within {
            Within::Stream(tenant, stream) => FeedScope::partition(partition(tenant, stream)),
            Within::All | Within::Shard(_) => FeedScope::full_container(),
        };
        let query = query_of(asked, container).map_err(|e| Trouble::of(&e))?;
        let options = pages_of(asked.limit.saturating_add(1).max(KEYS_MIN));
        let keys = client.query_items::<String>(query, scope, Some(options)).await.map_err(|e| Trouble::of(&e))?;
        let pages = Some(keys.into_pages());
        Ok(Self { container, pages, read: VecDeque::new() })
    }

    /// Reads on where everything read is used up; gives what that was charged.
    async fn fill(&mut self) -> Result<f64, Trouble> {
        let mut meter = Meter::default();
        while self.read.is_empty()
            && let Some(pages) = &mut self.pages
        {
            let Some(page) = pages.try_next().await.map_err(|e| Trouble::of(&e))? else {
                self.pages = None;
                break;
            };
            meter.read(page.headers());
            for key in page.into_items() {
                let why = || format!("the key `{key}` of a due document");
                let found = found(&key, self.container).ok_or_else(|| Trouble::Unreadable { why: why() })?;
                self.read.push_back(found);
            }
        }
        Ok(meter.total())
    }
}

fn query_of(asked: &Asked<'_>, container: Container) -> azure_data_cosmos::Result<Query> {
    let mut text = format!("SELECT VALUE c.due.key FROM c WHERE c.due.what = @what AND c.due.at <= @at AND {THERE}");
    if let Within::Shard(_) = asked.within {
        text.push_str(" AND c.due.shard = @shard");
    }
    if asked.after.is_some() {
        text.push_str(" AND c.due.key >= @from");
    }
    text.push_str(" ORDER BY c.due.key ASC");
    let mut query = Query::from(text).with_parameter("@what", asked.what)?.with_parameter("@at", asked.at)?;
    query = query.with_parameter("@now", asked.now)?;
    if let Within::Shard(shard) = asked.within {
        query = query.with_parameter("@shard", shard)?;
    }
    if let Some((tenant, stream)) = asked.after {
        query = query.with_parameter("@from", first_after(tenant, stream, container))?;
    }
    Ok(query)
}

/// Where the keys of a container go on after a stream, which may be in another one.
fn first_after(tenant: &TenantId, stream: &Stream, container: Container) -> String {
    match rank(container).cmp(&rank(stream.container)) {
        std::cmp::Ordering::Less => format!("{tenant}{BEYOND}"),
        std::cmp::Ordering::Equal => format!("{}{BEYOND}", key_of(tenant, &stream.name)),
        std::cmp::Ordering::Greater => key_of(tenant, ""),
    }
}
