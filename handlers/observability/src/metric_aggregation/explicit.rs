//! Histograms with explicit bounds: merged and subtracted on the bounds that both have (SPEC 5.2.4).

use serde::{Deserialize, Serialize};

/// `counts` has one more than `bounds`: the last is what lies beyond them. Without bounds one count holds everything.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
pub struct Explicit {
    #[prost(double, repeated, tag = "1")]
    pub bounds: Vec<f64>,
    #[prost(uint64, repeated, tag = "2")]
    pub counts: Vec<u64>,
}

impl Explicit {
    /// Buckets that bound nothing (none, unsorted, or of the wrong number) leave the count alone.
    pub fn new(bounds: Vec<f64>, counts: Vec<u64>, count: u64) -> Self {
        let sorted = bounds.windows(2).all(|w| w[0] < w[1]) && bounds.iter().all(|b| b.is_finite());
        if !sorted || counts.len() != bounds.len() + 1 {
            return Self { bounds: vec![], counts: vec![count] };
        }
        Self { bounds, counts }
    }
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, c| sum.saturating_add(*c))
    }

    pub fn merged(&self, other: &Self) -> Self {
        let (a, b) = on_common_bounds(self, other);
        let counts = a.counts.iter().zip(&b.counts).map(|(x, y)| x.saturating_add(*y)).collect();
        Self { bounds: a.bounds, counts }
    }

    /// What was added since `earlier`; `None` where a bucket fell.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let (now, then) = on_common_bounds(self, earlier);
        let counts = now.counts.iter().zip(&then.counts).map(|(n, t)| n.checked_sub(*t)).collect::<Option<_>>()?;
        Some(Self { bounds: now.bounds, counts })
    }

    /// The same measurements on fewer bounds, all of which this histogram has.
    fn coarsened(&self, bounds: &[f64]) -> Self {
        let mut counts = Vec::with_capacity(bounds.len() + 1);
        let mut at = 0;
        for bound in bounds {
            let mut count = 0_u64;
            while at < self.bounds.len() && self.bounds[at] <= *bound {
                count = count.saturating_add(self.counts[at]);
                at += 1;
            }
            counts.push(count);
        }
        counts.push(self.counts[at..].iter().fold(0, |sum, c| sum.saturating_add(*c)));
        Self { bounds: bounds.to_vec(), counts }
    }
}

fn on_common_bounds(a: &Explicit, b: &Explicit) -> (Explicit, Explicit) {
    if a.bounds == b.bounds {
        return (a.clone(), b.clone());
    }
    let common: Vec<f64> = a.bounds.iter().copied().filter(|x| b.bounds.contains(x)).collect();
    (a.coarsened(&common), b.coarsened(&common))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(bounds: &[f64], counts: &[u64]) -> Explicit {
        Explicit::new(bounds.to_vec(), counts.to_vec(), 0)
    }

    #[test]
    fn different_bounds_meet_on_the_common_ones() {
        let a = histogram(&[0.1, 0.5, 1.0], &[1, 2, 3, 4]);
        let b = histogram(&[0.5, 2.0], &[10, 20, 30]);
        assert_eq!(a.merged(&b), histogram(&[0.5], &[13, 57]));
        assert_eq!(a.merged(&histogram(&[7.0], &[1, 1])), histogram(&[], &[12]));
    }

    #[test]
    fn a_difference_is_taken_on_the_common_bounds_and_never_negative() {
        let then = histogram(&[0.1, 0.5], &[5, 5, 5]);
        assert_eq!(histogram(&[0.5, 1.0], &[12, 6, 2]).since(&then), Some(histogram(&[0.5], &[2, 3])));
        assert_eq!(histogram(&[0.1, 0.5], &[9, 9, 4]).since(&then), None);
    }

    #[test]
    fn bounds_that_bound_nothing_leave_the_count() {
        assert_eq!(Explicit::new(vec![2.0, 1.0], vec![1, 1, 1], 3).counts, [3]);
        assert_eq!(Explicit::new(vec![], vec![], 9).counts, [9]);
    }
}
