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

/// A smaller run counts only where the same oracle breaks; where that is one of the disturbed run, its calm run is sound.
pub fn shrink(case: &Case, product: &Product, violation: &Violation) -> Shrunk {
    let faults: Vec<Fired> = case.run(product, false, &Cut::default()).fired;
    let inputs: Vec<usize> = (0..case.plan.arrivals.len()).collect();
    let mut violation = violation.clone();
    let (faults, inputs) =
        smallest(faults, inputs, |faults, inputs| match case.check_cut(product, &cut_of(faults, inputs)) {
            Err(other) if other.oracle == violation.oracle => {
                violation = other;
                true
            }
            _ => false,
        });
    Shrunk { cut: cut_of(&faults, &inputs), violation, faults: faults.len(), inputs: inputs.len() }
}

pub fn cut_of(faults: &[Fired], inputs: &[usize]) -> Cut {
    let only_faults = Some(faults.iter().copied().collect::<BTreeSet<_>>());
    let only_inputs = Some(inputs.iter().copied().collect::<BTreeSet<_>>());
    Cut { only_faults, only_inputs, trace: false }
}

/// The fewest of both that still fail.
pub fn smallest<F: Clone, I: Clone>(
    mut faults: Vec<F>,
    mut inputs: Vec<I>,
    mut fails: impl FnMut(&[F], &[I]) -> bool,
) -> (Vec<F>, Vec<I>) {
    let mut tries = 0;
    loop {
        let before = (faults.len(), inputs.len());
        inputs = fewest(inputs, &mut tries, |kept| fails(&faults, kept));
        faults = fewest(faults, &mut tries, |kept| fails(kept, &inputs));
        if (faults.len(), inputs.len()) == before || tries >= TRIES_MAX {
            return (faults, inputs);
        }
    }
}

/// Leaves out pieces, all at first, then halves, single ones last.
fn fewest<T: Clone>(mut items: Vec<T>, tries: &mut u32, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut piece = items.len().max(1);
    loop {
        let mut at = 0;
        while at < items.len() && *tries < TRIES_MAX {
            let mut fewer = items.clone();
            fewer.drain(at..(at + piece).min(items.len()));
            *tries += 1;
            if fails(&fewer) { items = fewer } else { at += piece }
        }
        if piece == 1 || *tries >= TRIES_MAX {
            return items;
        }
        piece = piece.div_ceil(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let fails = |faults: &[u8], inputs: &[usize]| {
            faults.contains(&5) && faults.contains(&40) && inputs.contains(&3) && inputs.contains(&17)
        };
        let (faults, inputs) = smallest((0..60).collect(), (0..30).collect(), fails);
        assert_eq!((faults, inputs), (vec![5, 40], vec![3, 17]));
    }

    /// One input was needed only while a fault was there: the search goes round again.
    #[test]
    fn a_fault_that_goes_takes_its_input_along() {
        let fails =
            |faults: &[u8], inputs: &[usize]| inputs.contains(&1) && (!faults.contains(&0) || inputs.len() == 9);
        let (faults, inputs) = smallest(vec![0, 1], (0..9).collect(), fails);
        assert_eq!((faults, inputs), (vec![], vec![1]));
    }

    #[test]
    fn nothing_needed_leaves_nothing_and_the_tries_are_bounded() {
        let (faults, inputs) = smallest(vec![1], vec![1, 2], |_: &[u8], _: &[u8]| true);
        assert!(faults.is_empty() && inputs.is_empty());
        let mut runs = 0;
        let all: Vec<u32> = (0..5_000).collect();
        let (_, kept) = smallest(Vec::<u8>::new(), all, |_, _| {
            runs += 1;
            false
        });
        assert_eq!((kept.len(), runs), (5_000, TRIES_MAX));
    }
}
