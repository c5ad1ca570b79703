//! Several invariants over one model: the model follows every commit once, and each invariant is a function of it, with
//! a name of its own.

use crate::journal::{Applied, End, Oracle, Verdict};
use std::{cell::RefCell, rc::Rc};

/// What the invariants of a worker must remember of the commits so far.
pub trait Model: Default + 'static {
    /// Takes in a commit. An `Err` is itself a violation: what is stored cannot be read.
    fn follow(&mut self, commit: &Applied) -> Verdict;
}

/// One invariant. The model has followed the commit that is judged already; the commit says what was before.
pub struct Rule<M> {
    pub name: &'static str,
    pub applied: Option<fn(&M, &Applied) -> Verdict>,
    pub at_rest: Option<fn(&M, &End<'_>) -> Verdict>,
}

impl<M> Rule<M> {
    pub const fn at_commits(name: &'static str, applied: fn(&M, &Applied) -> Verdict) -> Self {
        Self { name, applied: Some(applied), at_rest: None }
    }
    pub const fn at_rest(name: &'static str, at_rest: fn(&M, &End<'_>) -> Verdict) -> Self {
        Self { name, applied: None, at_rest: Some(at_rest) }
    }
}

/// The rules as oracles that share a fresh model. They must all see every commit, in this order.
pub fn oracles<M: Model>(rules: Vec<Rule<M>>) -> Vec<Box<dyn Oracle>> {
    let model = Rc::new(RefCell::new(M::default()));
    let check = |(n, rule)| Box::new(Check { rule, model: model.clone(), leads: n == 0 }) as Box<dyn Oracle>;
    rules.into_iter().enumerate().map(check).collect()
}

struct Check<M> {
    rule: Rule<M>,
    model: Rc<RefCell<M>>,
    /// The first of them moves the model.
    leads: bool,
}

impl<M: Model> Oracle for Check<M> {
    fn name(&self) -> &'static str {
        self.rule.name
    }
    fn applied(&mut self, commit: &Applied) -> Verdict {
        if self.leads {
            self.model.borrow_mut().follow(commit)?;
        }
        self.rule.applied.map_or(Ok(()), |judge| judge(&self.model.borrow(), commit))
    }
    fn at_rest(&mut self, end: &End<'_>) -> Verdict {
        self.rule.at_rest.map_or(Ok(()), |judge| judge(&self.model.borrow(), end))
    }
}
