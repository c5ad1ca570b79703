//! What went wrong in runs, counted: a swarm is alive as long as every fault occurs.

use crate::faults::Fault;
use std::fmt;

/// How often each fault has occurred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts([u64; Fault::ALL.len()]);
impl Default for Counts {
    fn default() -> Self {
        Self([0; Fault::ALL.len()])
    }
}
impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(all, more)| *all += more);
    }
    pub fn count(&mut self, fault: Fault, times: u64) {
        self.0[fault as usize] += times;
    }
    pub fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }
}
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = Fault::ALL.iter().map(|x| format!("  {:<20}{:>10}", x.name(), self.of(*x))).collect();
        f.write_str(&lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_are_shown_by_name() {
        let (mut all, mut one) = (Counts::default(), Counts::default());
        one.count(Fault::Crash, 2);
        all.add(&one);
        all.add(&one);
        assert_eq!((all.of(Fault::Crash), all.of(Fault::Delay)), (4, 0));
        assert!(all.to_string().lines().any(|l| l.trim().starts_with("crash ") && l.ends_with(" 4")));
    }
}
