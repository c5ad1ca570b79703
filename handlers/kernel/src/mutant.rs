//! Deliberate defects, by which the simulation proves that it would notice (tests/sim). Without the feature `mutants`
//! every question is answered `false` at compile time, and nothing of them is in the product; a test holds that.
//!
//! Each stands in production code where its rule does, as one condition. The rule easily broken: a defect follows from
//! the run alone. What one would draw or remember it takes from [`draw`], which begins anew with every run.

/// The variants with their names and what they break; names and list follow from this table.
macro_rules! mutants {
    ($($(#[doc = $breaks:literal])+ $mutant:ident $name:literal)+) => {
        /// One defect; the table of `tests/sim` says which oracle must catch it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant {
            $($(#[doc = $breaks])+ $mutant,)+
        }
        pub const ALL: &[Mutant] = &[$(Mutant::$mutant),+];

        impl Mutant {
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$mutant => $name,)+
                }
            }
            /// What is broken, and the rule.
            pub const fn breaks(self) -> &'static str {
                match self {
                    $(Self::$mutant => concat!($($breaks),+),)+
                }
            }
        }
    };
}

mutants! {
    // The kernel and the stores.
    /// Event ids are drawn; they are derived from their cause (SPEC 3.2).
    IdsDrawn "ids-drawn"
    /// The tenant guard is off, also where properties and envelope differ; a message reaches its tenant only (SPEC 3.10).
    TenantGuardOff "tenant-guard-off"
    /// Keys and ids leave the tenant out, so that those of twins collide; it is a part of every one (SPEC 3.2).
    TenantLeftOutOfIds "tenant-left-out-of-ids"
    /// The store saves and deletes by version whatever the version is; a moved etag is a lost race (SPEC 3.13).
    EtagsIgnored "etags-ignored"
    /// The store overwrites a marker; one that exists makes the batch a duplicate (A39, A59).
    MarkerNotJudged "marker-not-judged"
    /// The store deletes without comparing: a mark goes although it was put anew since it was read (A65).
    MarkDeletedWithoutItsEtag "mark-deleted-without-its-etag"

    // The shell.
    /// A unit commits without its marker; a repetition must find one (SPEC 3.5).
    NoMarker "no-marker"
    /// Markers live for 5 days; they outlast every replay, 35 days (A15).
    MarkerExpiresBeforeItsHorizon "marker-expires-before-its-horizon"
    /// The outbox is committed after the batch; it is a part of it (SPEC 3.5).
    OutboxOutsideTheBatch "outbox-outside-the-batch"
    /// The outbox is written ahead; nothing has happened until the last batch is in (A64).
    OutboxInAWriteAhead "outbox-in-a-write-ahead"
    /// A due unit is decided at the tick; its moment is that at which it was due (A62).
    MomentFromTheTick "moment-from-the-tick"
    /// A chain goes on after a unit that failed; it ends there (SPEC 3.5).
    ChainGoesOnAfterAFailure "chain-goes-on-after-a-failure"
    /// The relay deletes what is owed before it publishes; what is owed goes once it is accepted (A51).
    RelayDeletesBeforePublish "relay-deletes-before-publish"
    /// A message is acknowledged although its copy was not accepted; then it is given back (A13).
    AcknowledgeAlthoughReschedulingFailed "acknowledge-although-rescheduling-failed"
    /// A copy does not say which attempt it is; five are counted over all copies (SPEC 3.6).
    AttemptCounterNotCarried "attempt-counter-not-carried"
    /// A lost race uses an attempt up; races do not (A12).
    RaceUsesAnAttempt "race-uses-an-attempt"
    /// A copy bears the id of its original and falls into the duplicate window; it has its own (A3).
    CopyWithTheOriginalsMessageId "copy-with-the-originals-message-id"
    /// Every copy is the first hop: the second falls into the duplicate window; the hop grows (A36).
    HopNotGrown "hop-not-grown"
    /// A refused message is completed; it goes to the dead letters, its bytes untouched (SPEC 3.6).
    RefusalSettledAsDone "refusal-settled-as-done"
    /// An expired message or batch is taken all the same; then its markers and its windows' points are gone (A15, A68).
    ExpiredMessageTaken "expired-message-taken"

    // OTLP.
    /// A batch is named by when it was tried; its id follows from its content (A14).
    BatchIdOfTheTry "batch-id-of-the-try"
    /// Secrets are kept in clear; they are redacted before anything is stored (SPEC 5.1.4(3)).
    RedactionOff "redaction-off"

    // Metrics.
    /// A point counts where it was received; its window follows from its own time (SPEC 3.4).
    WindowFromTheWallClock "window-from-the-wall-clock"
    /// Points are folded as they lie; first they are brought into order (A4).
    ArrivalOrderAggregation "arrival-order-aggregation"
    /// What a restarted counter begins with is lost; a restart counts fully (SPEC 5.2.4).
    CumulativeResetMissed "cumulative-reset-missed"
    /// Points go ahead and say themselves what is unchanged; the ledger does (A1).
    HashesJudgedByData "hashes-judged-by-data"
    /// The watermark moves before its windows are closed; it follows them (A65).
    WatermarkBeforeItsWindows "watermark-before-its-windows"

    // Traces.
    /// A span that comes in two batches is two spans; versions of one are joined (SPEC 5.1.4(4)).
    SpanCountedTwice "span-counted-twice"

    // Alerts and SLOs.
    /// A slot is evaluated although its windows are not closed; it waits for their watermark (A67).
    SlotBeforeItsWatermark "slot-before-its-watermark"
    /// Stale data lets an alert, an SLO or an incident recover; it never does (SPEC 3.11).
    RecoveryOnStaleData "recovery-on-stale-data"
    /// A burn rule is announced beside a more severe one that is active; that one inhibits it (SPEC 5.4.4(5)).
    InhibitionForgotten "inhibition-forgotten"

    // Incidents.
    /// A clear that comes first leaves no mark; its trigger must find one (A7, A37).
    ClearLeavesNoMark "clear-leaves-no-mark"
    /// A clear of one rule ends every episode of its source; it ends its own (A9).
    ClearEndsTheWholeSource "clear-ends-the-whole-source"
    /// The second incident of an episode takes the id of the first; it is the n-th of its episode (A8).
    SecondIncidentTakesTheFirstsId "second-incident-takes-the-firsts-id"
    /// A lesser trigger lowers an incident's severity; it never falls (SPEC 5.5, I3).
    SeverityLowered "severity-lowered"
    /// The log of an incident leaves numbers out; they are without gap (A58).
    LogNumberSkipped "log-number-skipped"

    // Feedback and quality.
    /// The unit depends on what stands elsewhere at the time; it is a function of the message alone (A6).
    PlanReadsPolicy "plan-reads-policy"
    /// The revision that comes last counts; the latest does (A34).
    OlderRevisionWins "older-revision-wins"
    /// A withdrawn item goes on counting; it counts no more (SPEC 5.8.3).
    WithdrawnItemCounts "withdrawn-item-counts"
}

#[cfg(feature = "mutants")]
pub use on::{draw, is, with};

#[cfg(feature = "mutants")]
mod on {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
        static DRAWN: Cell<u64> = const { Cell::new(0) };
    }

    /// Whether production code is to go wrong in this way, on this thread.
    pub fn is(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }

    /// 1, 2, 3 … on this thread, since its run began.
    pub fn draw() -> u64 {
        DRAWN.set(DRAWN.get() + 1);
        DRAWN.get()
    }

    /// Runs `work` with one defect, on this thread; also where that panics it is over afterwards.
    pub fn with<T>(mutant: Mutant, work: impl FnOnce() -> T) -> T {
        struct Before(Option<Mutant>);
        impl Drop for Before {
            fn drop(&mut self) {
                ACTIVE.set(self.0);
            }
        }
        let _before = Before(ACTIVE.replace(Some(mutant)));
        DRAWN.set(0);
        work()
    }
}

#[cfg(not(feature = "mutants"))]
pub const fn is(_: Mutant) -> bool {
    false
}
#[cfg(not(feature = "mutants"))]
pub const fn draw() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_its_variant() {
        for mutant in ALL {
            let spoken = mutant.name().split('-').flat_map(|w| [w[..1].to_uppercase(), w[1..].to_owned()]);
            assert_eq!(spoken.collect::<String>(), format!("{mutant:?}"));
        }
    }
}
