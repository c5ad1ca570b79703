//! Who is whose child (SPEC 5.1.4(5)): roots, orphans, cycles broken. Spans are addressed by their place in order of
//! ids; nothing here recurses, for a trace may be one long chain.

use super::outline::{Outline, Outlines};

pub struct Tree<'a> {
    /// In order of ids.
    pub spans: Vec<&'a Outline>,
    /// Present parents, where no cycle was broken.
    parents: Vec<Option<usize>>,
    /// In order of (start, id).
    pub children: Vec<Vec<usize>>,
    /// Spans without parent, in order of (start, id); one that a broken cycle freed is none.
    pub roots: Vec<usize>,
    /// Spans whose parent is not there.
    pub orphans: usize,
    pub has_cycle: bool,
}

impl<'a> Tree<'a> {
    pub fn of(outlines: &'a Outlines) -> Self {
        let spans: Vec<&Outline> = outlines.spans.values().collect();
        let place = |id: u64| spans.binary_search_by_key(&id, |s| s.id).ok();
        let mut parents: Vec<Option<usize>> = spans.iter().map(|s| place(s.parent).filter(|_| s.parent != 0)).collect();
        let orphans = spans.iter().zip(&parents).filter(|(s, p)| s.parent != 0 && p.is_none()).count();
        let has_cycle = break_cycles(&mut parents);
        let mut children = vec![vec![]; spans.len()];
        for (n, parent) in parents.iter().enumerate() {
            if let Some(p) = parent {
                children[*p].push(n);
            }
        }
        for list in &mut children {
            list.sort_by_key(|n| spans[*n].order());
        }
        let mut roots: Vec<usize> = (0..spans.len()).filter(|n| spans[*n].parent == 0).collect();
        roots.sort_by_key(|n| spans[*n].order());
        Self { spans, parents, children, roots, orphans, has_cycle }
    }

    pub fn root(&self) -> Option<usize> {
        self.roots.first().copied()
    }

    /// Spans without a present parent, in order of (start, id).
    pub fn tops(&self) -> Vec<usize> {
        let mut tops: Vec<usize> = (0..self.spans.len()).filter(|n| self.parents[*n].is_none()).collect();
        tops.sort_by_key(|n| self.spans[*n].order());
        tops
    }

    /// Of each span, whether it or one below it is an error span.
    pub fn holds_error(&self) -> Vec<bool> {
        let mut order = self.tops();
        let mut next = 0;
        while let Some(n) = order.get(next).copied() {
            order.extend(&self.children[n]);
            next += 1;
        }
        let mut holds = vec![false; self.spans.len()];
        for n in order.into_iter().rev() {
            holds[n] = self.spans[n].is_error() || self.children[n].iter().any(|c| holds[*c]);
        }
        holds
    }

    /// The duration of a span less the union of its children's intervals inside it, in ns.
    pub fn self_time(&self, n: usize) -> u64 {
        let span = self.spans[n];
        let mut covered = 0;
        let mut from = span.start;
        // Children are in order of their starts, so one pass unites them.
        for child in &self.children[n] {
            let child = self.spans[*child];
            let (start, end) = (child.start.max(from), child.end.min(span.end));
            if end > start {
                covered += end - start;
                from = end;
            }
        }
        span.duration_ns() - covered
    }
}

/// Frees the smallest id of each cycle from its parent; whether there was one.
fn break_cycles(parents: &mut [Option<usize>]) -> bool {
    const UNSEEN: usize = 0;
    let mut walk = vec![UNSEEN; parents.len()];
    let mut found = false;
    for begin in 0..parents.len() {
        let (id, mut at) = (begin + 1, Some(begin));
        while let Some(n) = at
            && walk[n] == UNSEEN
        {
            walk[n] = id;
            at = parents[n];
        }
        // Where a walk meets itself there is a cycle; where it meets an earlier one, that was judged already.
        if let Some(met) = at
            && walk[met] == id
        {
            let smallest = smallest_of_cycle(parents, met);
            parents[smallest] = None;
            found = true;
        }
    }
    found
}

fn smallest_of_cycle(parents: &[Option<usize>], member: usize) -> usize {
    let (mut smallest, mut at) = (member, parents[member]);
    while let Some(n) = at
        && n != member
    {
        smallest = smallest.min(n);
        at = parents[n];
    }
    smallest
}
