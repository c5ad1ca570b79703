//! Deliberate defects, by which the simulation proves that it would notice (tests/sim). Without the feature `mutants`
//! every question is answered `false` at compile time, and nothing of them is in the product; a test holds that.

/// One defect; the table of `tests/sim` says what it breaks and which oracle must catch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// A unit commits without its marker.
    NoMarker,
}

#[cfg(feature = "mutants")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Whether production code is to go wrong in this way, on this thread.
#[cfg(feature = "mutants")]
pub fn is(mutant: Mutant) -> bool {
    ACTIVE.get() == Some(mutant)
}
#[cfg(not(feature = "mutants"))]
pub const fn is(_: Mutant) -> bool {
    false
}

/// Runs `work` with one defect, on this thread.
#[cfg(feature = "mutants")]
pub fn with<T>(mutant: Mutant, work: impl FnOnce() -> T) -> T {
    let before = ACTIVE.replace(Some(mutant));
    let out = work();
    ACTIVE.set(before);
    out
}
