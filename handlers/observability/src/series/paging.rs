//! Pages of a list (SPEC 14.1): opaque cursors, at most 200 items, stable order.

use opsloop_kernel::{
    DocId, Listing, Page,
    http::{Problem, Request},
};

pub const PAGE_MAX: usize = 200;

/// The position after the last document of a page, in hex.
pub struct Cursor;

impl Cursor {
    pub fn page(request: &Request, most: usize) -> Result<Page, Problem> {
        let asked = request.query.get("limit").map(|l| l.parse::<usize>().map_err(|_| "`limit` is a number"));
        let limit = asked.transpose().map_err(Problem::invalid)?.unwrap_or(most).clamp(1, most);
        let after = request.query.get("cursor").map(|c| Self::read(c)).transpose()?;
        Ok(Page { limit, after })
    }
    fn read(text: &str) -> Result<DocId, Problem> {
        let bytes = hex::decode(text).map_err(|_| Problem::invalid("`cursor` is none of ours"))?;
        let id = String::from_utf8(bytes).map_err(|_| Problem::invalid("`cursor` is none of ours"))?;
        Ok(DocId(id))
    }
    pub fn next(listing: &Listing) -> Option<String> {
        let last = listing.items.last().filter(|_| listing.more)?;
        Some(hex::encode(&last.document.id.0))
    }
}
