//! Exponential histograms: bucket `i` covers `(base^i, base^(i+1)]`, `base = 2^(2^-scale)` (SPEC 5.2.4). Two of them
//! meet at the smaller scale, the larger zero threshold, and at most 160 buckets a side.

use serde::{Deserialize, Serialize};

/// Buckets on one side, from the first to the last that is not empty.
pub const BUCKETS_MAX: usize = 160;
/// Scales that writers have: finer ones are brought down, at coarser ones every bucket goes beyond the doubles.
const SCALE_MAX: i32 = 20;
const SCALE_MIN: i32 = -10;

/// Counts of consecutive buckets, the first with index `offset`.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
pub struct Buckets {
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    #[prost(uint64, repeated, tag = "2")]
    pub counts: Vec<u64>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exponential {
    #[prost(sint32, tag = "1")]
    pub scale: i32,
    #[prost(double, tag = "2")]
    pub zero_threshold: f64,
    #[prost(uint64, tag = "3")]
    pub zero_count: u64,
    #[prost(message, required, tag = "4")]
    pub positive: Buckets,
    #[prost(message, required, tag = "5")]
    pub negative: Buckets,
}

impl Buckets {
    pub fn new(offset: i32, counts: Vec<u64>) -> Self {
        Self { offset, counts }.trimmed()
    }
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, c| sum.saturating_add(*c))
    }
    /// (index, count) of the buckets that are not empty.
    pub fn populated(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> + '_ {
        let indexed = self.counts.iter().enumerate();
        indexed.filter(|(_, c)| **c > 0).map(|(n, c)| (self.offset.saturating_add(n as i32), *c))
    }

    /// Without empty buckets at either end, so that equal measurements have one form.
    fn trimmed(mut self) -> Self {
        let Some(first) = self.counts.iter().position(|c| *c > 0) else { return Self::default() };
        while self.counts.last() == Some(&0) {
            self.counts.pop();
        }
        self.counts.drain(..first);
        Self { offset: self.offset.saturating_add(first as i32), counts: self.counts }
    }

    fn downscaled(&self, by: u32) -> Self {
        if by == 0 || self.counts.is_empty() {
            return self.clone();
        }
        let shift = by.min(31);
        let offset = self.offset >> shift;
        let last = (self.offset.saturating_add(self.counts.len() as i32 - 1)) >> shift;
        let mut counts = vec![0_u64; (last - offset) as usize + 1];
        for (index, count) in self.populated() {
            let at = ((index >> shift) - offset) as usize;
            counts[at] = counts[at].saturating_add(count);
        }
        Self { offset, counts }.trimmed()
    }

    /// Combines bucket by bucket; `None` where the combination has no answer.
    fn zipped(&self, other: &Self, combine: impl Fn(u64, u64) -> Option<u64>) -> Option<Self> {
        let sides = [self, other].into_iter().filter(|b| !b.counts.is_empty());
        let range = |b: &Self| (b.offset, b.offset.saturating_add(b.counts.len() as i32));
        let Some((from, until)) = sides.map(range).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
            return Some(Self::default());
        };
        let at = |b: &Self, index: i32| {
            usize::try_from(i64::from(index) - i64::from(b.offset)).ok().and_then(|n| b.counts.get(n)).copied()
        };
        let counts = (from..until)
            .map(|index| combine(at(self, index).unwrap_or(0), at(other, index).unwrap_or(0)))
            .collect::<Option<Vec<_>>>()?;
        Some(Self { offset: from, counts }.trimmed())
    }

    /// Takes the buckets that begin below `threshold` out; says how many measurements they hold, and the upper bound
    /// of the last of them if the threshold cuts through it.
    fn folded(&mut self, threshold: f64, scale: i32) -> (u64, f64) {
        let mut folded = 0_u64;
        let mut raised = threshold;
        let offset = self.offset;
        for (n, count) in self.counts.iter_mut().enumerate() {
            let index = offset.saturating_add(n as i32);
            if *count == 0 || lower_bound(index, scale) >= threshold {
                continue;
            }
            folded = folded.saturating_add(*count);
            raised = raised.max(lower_bound(index.saturating_add(1), scale));
            *count = 0;
        }
        *self = std::mem::take(self).trimmed();
        (folded, raised)
    }
}

/// `base^index`, finite.
pub fn lower_bound(index: i32, scale: i32) -> f64 {
    log2_bound(index, scale).exp2().min(f64::MAX)
}
/// The binary logarithm of `base^index`.
pub fn log2_bound(index: i32, scale: i32) -> f64 {
    f64::from(index) * (-f64::from(scale)).exp2()
}

impl Exponential {
    /// As a writer sends it, brought to a form of bounded size.
    pub fn new(scale: i32, zero_threshold: f64, zero_count: u64, positive: Buckets, negative: Buckets) -> Self {
        let zero_threshold = if zero_threshold.is_finite() { zero_threshold.max(0.0) } else { 0.0 };
        let [positive, negative] = [positive, negative].map(Buckets::trimmed);
        let mut new = Self { scale: scale.clamp(SCALE_MIN, SCALE_MAX), zero_threshold, zero_count, positive, negative };
        let finer = scale.saturating_sub(SCALE_MAX).clamp(0, 31).unsigned_abs();
        let wide = new.positive.counts.len().max(new.negative.counts.len());
        let halvings = wide.div_ceil(BUCKETS_MAX).next_power_of_two().trailing_zeros();
        (new.positive, new.negative) = (new.positive.downscaled(finer), new.negative.downscaled(finer));
        if halvings > 0 {
            new = new.at_scale(new.scale.saturating_sub(halvings as i32)).unwrap_or(new);
        }
        new
    }
    pub fn total(&self) -> u64 {
        self.zero_count.saturating_add(self.positive.total()).saturating_add(self.negative.total())
    }

    pub fn merged(&self, other: &Self) -> Self {
        self.zipped(other, |a, b| Some(a.saturating_add(b))).unwrap_or_else(|| self.clone())
    }

    /// What was added since `earlier`; `None` where a bucket fell.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        self.zipped(earlier, |now, then| now.checked_sub(then))
    }

    /// The same at a scale that is not larger than its own.
    pub fn at_scale(&self, scale: i32) -> Option<Self> {
        let by = u32::try_from(self.scale.checked_sub(scale)?).ok()?;
        let (positive, negative) = (self.positive.downscaled(by), self.negative.downscaled(by));
        Some(Self { scale, positive, negative, ..self.clone() })
    }

    fn zipped(&self, other: &Self, combine: impl Fn(u64, u64) -> Option<u64> + Copy) -> Option<Self> {
        let scale = self.scale.min(other.scale);
        let (mut a, mut b) = (self.at_scale(scale)?, other.at_scale(scale)?);
        loop {
            agree_on_zero(&mut a, &mut b);
            let widest = union_width(&a.positive, &b.positive).max(union_width(&a.negative, &b.negative));
            if widest <= BUCKETS_MAX {
                break;
            }
            // Each step halves the width. A threshold that was a bound may cut through a wider bucket: agree again.
            let next = a.scale.checked_sub(1)?;
            (a, b) = (a.at_scale(next)?, b.at_scale(next)?);
        }
        Some(Self {
            scale: a.scale,
            zero_threshold: a.zero_threshold,
            zero_count: combine(a.zero_count, b.zero_count)?,
            positive: a.positive.zipped(&b.positive, combine)?,
            negative: a.negative.zipped(&b.negative, combine)?,
        })
    }
}

/// Both take the larger zero threshold, raised while it cuts through a bucket of either.
fn agree_on_zero(a: &mut Exponential, b: &mut Exponential) {
    let mut threshold = a.zero_threshold.max(b.zero_threshold);
    loop {
        let raised = [&mut *a, &mut *b].map(|h| fold_zero(h, threshold)).into_iter().fold(threshold, f64::max);
        if raised <= threshold {
            break;
        }
        threshold = raised;
    }
    (a.zero_threshold, b.zero_threshold) = (threshold, threshold);
}

fn fold_zero(h: &mut Exponential, threshold: f64) -> f64 {
    let (positive, up) = h.positive.folded(threshold, h.scale);
    let (negative, down) = h.negative.folded(threshold, h.scale);
    h.zero_count = h.zero_count.saturating_add(positive).saturating_add(negative);
    up.max(down)
}

fn union_width(a: &Buckets, b: &Buckets) -> usize {
    let ranges = [a, b].into_iter().filter(|s| !s.counts.is_empty());
    let ends = ranges.map(|s| (i64::from(s.offset), i64::from(s.offset) + s.counts.len() as i64));
    ends.reduce(|x, y| (x.0.min(y.0), x.1.max(y.1))).map_or(0, |(from, until)| (until - from) as usize)
}

#[cfg(test)]
#[path = "exponential_tests.rs"]
mod tests;
