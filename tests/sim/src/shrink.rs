//! Makes a failure small: the fewest faults and inputs with which the same oracle still says no. What does not fail is
//! left out in ever smaller pieces (delta debugging); every fault is decided by what it is about, so the others stay.

use crate::{
    driver::Violation,
    faults::Fired,
    simulate::{Case, Cut},
    world::Product,
};
use std::collections::BTreeSet;

/// Runs that may be spent.
const TRIES_MAX: u32 = 400;

pub struct Shrunk {
    pub cut: Cut,
    pub violation: Violation,
    pub faults: usize,
    pub inputs: usize,
}

struct Search<'s> {
    case: &'s Case,
    product: &'s Product,
    violation: Violation,
    tries: u32,
}

pub fn shrink(case: &Case, product: &Product, violation: &Violation) -> Shrunk {
    let mut search = Search { case, product, violation: violation.clone(), tries: 0 };
    let mut faults: Vec<Fired> = case.run(product, false, &Cut::default()).fired;
    let mut inputs: Vec<usize> = (0..case.plan.arrivals.len()).collect();
    loop {
        let before = (faults.len(), inputs.len());
        inputs = search.fewest(inputs, |kept| cut_of(&faults, kept));
        faults = search.fewest(faults, |kept| cut_of(kept, &inputs));
        if (faults.len(), inputs.len()) == before || search.tries >= TRIES_MAX {
            break;
        }
    }
    let cut = cut_of(&faults, &inputs);
    Shrunk { cut, violation: search.violation, faults: faults.len(), inputs: inputs.len() }
}

fn cut_of(faults: &[Fired], inputs: &[usize]) -> Cut {
    let only_faults = Some(faults.iter().copied().collect::<BTreeSet<_>>());
    let only_inputs = Some(inputs.iter().copied().collect::<BTreeSet<_>>());
    Cut { only_faults, only_inputs, trace: false }
}

impl Search<'_> {
    /// Leaves out pieces, halves first, single ones last.
    fn fewest<T: Clone>(&mut self, mut items: Vec<T>, cut: impl Fn(&[T]) -> Cut) -> Vec<T> {
        let mut piece = items.len().max(1);
        loop {
            let mut at = 0;
            while at < items.len() && self.tries < TRIES_MAX {
                let mut fewer = items.clone();
                fewer.drain(at..(at + piece).min(items.len()));
                if self.still_fails(&cut(&fewer)) { items = fewer } else { at += piece }
            }
            if piece == 1 || self.tries >= TRIES_MAX {
                return items;
            }
            piece = piece.div_ceil(2);
        }
    }

    /// A smaller run counts only where the same oracle breaks, and where its calm run is sound.
    fn still_fails(&mut self, cut: &Cut) -> bool {
        self.tries += 1;
        match self.case.check_cut(self.product, cut) {
            Err(violation) if violation.oracle == self.violation.oracle => {
                self.violation = violation;
                true
            }
            _ => false,
        }
    }
}
