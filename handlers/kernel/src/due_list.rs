//! How an answer of the directory is cut: between streams, never inside one (SPEC 3.8, A49). Every store cuts alike.

use crate::{
    incoming::Found,
    ports::{DUE_OF_A_STREAM_MAX, DueList},
};
use std::ops::ControlFlow;

/// Takes what is due in the order (tenant, stream, at, id). An answer has whole streams as long as they fit `limit`, and
/// the first in any case; of each the oldest 2,000. `more`: something is due that the answer does not have.
pub struct Cut {
    limit: usize,
    list: DueList,
    /// The stream that is being read.
    stream: Vec<Found>,
}

impl Cut {
    pub fn at(limit: usize) -> Self {
        Self { limit, list: DueList::default(), stream: Vec::new() }
    }

    /// Breaks when nothing that follows can be part of the answer.
    pub fn push(&mut self, found: Found) -> ControlFlow<()> {
        let same = self.stream.last().is_none_or(|f| f.tenant == found.tenant && f.stream == found.stream);
        if !same {
            self.list.found.append(&mut self.stream);
        }
        if self.stream.len() >= DUE_OF_A_STREAM_MAX {
            self.list.more = true;
            let is_full = self.list.found.len() + self.stream.len() >= self.limit;
            return if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        self.stream.push(found);
        let is_first = self.list.found.is_empty();
        if !is_first && self.list.found.len() + self.stream.len() > self.limit {
            self.list.more = true;
            self.stream.clear();
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    pub fn finish(mut self) -> DueList {
        self.list.found.append(&mut self.stream);
        self.list
    }
}
