//! What may go wrong, how often, and what is still promised when it does.

use crate::{counts::Counts, oracles::differential::Sense, rng::Rng};
use opsloop_kernel::{Stream, TenantId};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

macro_rules! faults {
    ($($(#[doc = $about:literal])+ $variant:ident $name:literal $most:literal $sense:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($(#[doc = $about])+ $variant,)* }
        impl Fault {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
            pub fn about(self) -> &'static str {
                match self { $(Self::$variant => concat!($($about),*).trim_ascii(),)* }
            }
            /// The rate up to which a swarm draws it.
            pub fn most(self) -> f64 {
                match self { $(Self::$variant => $most,)* }
            }
            /// What two runs still have in common where it occurs (A70).
            pub fn sense(self) -> Sense {
                match self { $(Self::$variant => Sense::$sense,)* }
            }
        }
    };
}

faults! {
    /// a message is delivered again while the first delivery still runs
    Duplicate "duplicate" 0.3 Strict,
    /// messages and turns come in any order
    Reorder "reorder" 1.0 Strict,
    /// the handler answered, the broker never heard it
    LostAck "lost-ack" 0.2 Strict,
    /// a read or commit never arrives
    StoreFails "store-fails" 0.03 Strict,
    /// the store throttles, with a time to come back
    Throttled "throttled" 0.03 Strict,
    /// a commit is applied, its reply is lost
    LostReply "lost-reply" 0.08 Strict,
    /// a commit is applied, its reply is lost, and the SDK sends the batch again (P15)
    Resent "resent" 0.1 Strict,
    /// another replica was faster: the etag has moved
    Raced "raced" 0.1 Strict,
    /// messages are accepted, the reply is lost
    LostPublishReply "lost-publish-reply" 0.1 Strict,
    /// the broker does not take what is published
    PublishRefused "publish-refused" 0.1 Strict,
    /// the relay dies between publish and delete
    RelayDies "relay-dies" 0.1 Strict,
    /// one invocation dies at a turn
    Crash "crash" 0.02 Strict,
    /// the process dies at a turn, with all that is in flight
    ProcessDies "process-dies" 0.01 Strict,
    /// a timer fires twice, the ticks overlap
    DoubleTick "double-tick" 0.3 Strict,
    /// the object store fails
    BlobsFail "blobs-fail" 0.1 Strict,
    /// a message comes up to ten seconds late
    Delay "delay" 0.1 Tolerant,
    /// a call takes up to ten seconds
    SlowCall "slow-call" 0.02 Tolerant,
    /// a timer fires up to 50 s late
    LateTick "late-tick" 0.2 Tolerant,
    /// a timer does not fire
    MissedTick "missed-tick" 0.1 Tolerant,
    /// the store or the broker is away for up to three hours
    Outage "outage" 1.0 InvariantsOnly,
    /// messages come up to ten minutes late
    LongDelay "long-delay" 0.1 InvariantsOnly,
    /// the clock of the handlers steps forwards and backwards, by up to ten minutes
    ClockStep "clock-step" 0.01 InvariantsOnly,
    /// everything that is dead is replayed in the middle
    Replay "replay" 0.02 InvariantsOnly,
    /// the broker takes a message never (a copy: not now)
    Rejected "rejected" 0.02 InvariantsOnly,
    /// a call takes up to six minutes: locks are lost, ticks overlap the next ones
    Hang "hang" 0.005 InvariantsOnly,
    /// some streams cannot be reached until all is healed
    StuckUnit "stuck-unit" 0.1 InvariantsOnly,
    /// messages are harmed until they die
    Poison "poison" 0.1 InvariantsOnly,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// They repeat or mix what happens, and hinder nothing.
const HARMLESS: [Fault; 5] = [Fault::Duplicate, Fault::Reorder, Fault::LostAck, Fault::DoubleTick, Fault::Resent];

/// The rates of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates(BTreeMap<Fault, f64>);

impl Rates {
    /// Drawn by the seed: first what shall still be promised, then each fault that keeps the promise on or off, at a
    /// random rate (swarm testing: what masks each other is apart in some runs).
    pub fn swarm(seed: u64) -> Self {
        let mut rng = Rng::new(seed, "swarm");
        let sense = *rng.pick(&[Sense::Strict, Sense::Strict, Sense::Tolerant, Sense::InvariantsOnly]);
        let mut rates = BTreeMap::new();
        for fault in Fault::ALL.iter().filter(|f| f.sense() <= sense) {
            if rng.hit(0.5) {
                let share = [0.1, 0.3, 1.0][rng.below(3) as usize];
                rates.insert(*fault, (fault.most() * share * 10_000.0).round() / 10_000.0);
            }
        }
        let mut rates = Self(rates);
        if rates.of(Fault::StuckUnit) > 0.0 && rng.hit(0.5) {
            rates.0.retain(|fault, _| *fault == Fault::StuckUnit || HARMLESS.contains(fault));
        }
        rates
    }

    /// Beside streams that fail nothing keeps the others from what is due.
    pub fn must_not_starve(&self) -> bool {
        let on = |fault: &Fault| self.of(*fault) > 0.0;
        let others = |fault: &&Fault| **fault != Fault::StuckUnit && !HARMLESS.contains(*fault);
        on(&Fault::StuckUnit) && !Fault::ALL.iter().filter(others).any(on)
    }

    /// `NAME=RATE,…`
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rates = BTreeMap::new();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (name, rate) = part.split_once('=').ok_or_else(|| format!("`{part}` is not NAME=RATE"))?;
            let fault = Fault::ALL.iter().find(|f| f.name() == name).ok_or_else(|| unknown(name))?;
            let rate: f64 = rate.parse().map_err(|_| format!("`{rate}` is no rate of {name}: 0 to 1"))?;
            if !(0.0..=1.0).contains(&rate) {
                return Err(format!("the rate of {name} is {rate}: 0 to 1"));
            }
            rates.insert(*fault, rate);
        }
        Ok(Self(rates))
    }

    pub fn of(&self, fault: Fault) -> f64 {
        self.0.get(&fault).copied().unwrap_or(0.0)
    }

    /// What may still be expected of a run with these.
    pub fn sense(&self) -> Sense {
        let on = self.0.iter().filter(|(_, rate)| **rate > 0.0);
        on.map(|(fault, _)| fault.sense()).max().unwrap_or(Sense::Strict)
    }
}

fn unknown(name: &str) -> String {
    let names: Vec<_> = Fault::ALL.iter().map(|f| f.name()).collect();
    format!("there is no fault `{name}`; there are {}", names.join(", "))
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(|(fault, rate)| format!("{fault}={rate}")).collect();
        f.write_str(&parts.join(","))
    }
}

/// One opportunity at which a fault did occur, by what it is about: the same one in a run with fewer of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fired {
    pub fault: Fault,
    subject: u64,
    nth: u32,
}

/// Decides about every opportunity, from the seed and what the opportunity is about, so that leaving one fault out does
/// not move the others (shrinking).
pub struct Chance {
    seed: u64,
    rates: Rates,
    /// While shrinking: only these.
    only: Option<BTreeSet<Fired>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    healed: bool,
    /// Whose invocation runs: the message or tick, whichever copy or try of it.
    victim: u64,
    harmed: BTreeMap<u64, u32>,
    opportunities: BTreeMap<(Fault, u64), u32>,
    fired: Vec<Fired>,
    counts: Counts,
}

/// Where more than the invariants is promised, nobody is harmed so often that he dies of it: five attempts, five
/// deliveries.
const HARMS_MAX: u32 = 3;

impl Chance {
    pub fn new(seed: u64, rates: Rates, only: Option<BTreeSet<Fired>>) -> Self {
        Self { seed, rates, only, state: Mutex::default() }
    }

    /// Whose invocation runs from now on.
    pub fn run(&self, victim: u64) {
        self.locked().victim = victim;
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Whether it occurs now, to this subject.
    pub fn hits(&self, fault: Fault, subject: u64) -> bool {
        self.draw(fault, subject).is_some()
    }

    /// The same, with a number drawn for it.
    pub fn draw(&self, fault: Fault, subject: u64) -> Option<u64> {
        let rate = self.rates.of(fault);
        if rate <= 0.0 {
            return None;
        }
        let mut state = self.locked();
        let victim = state.victim;
        let bounded = self.rates.sense() < Sense::InvariantsOnly;
        if state.healed || bounded && state.harmed.get(&victim).is_some_and(|n| *n >= HARMS_MAX) {
            return None;
        }
        let subject = subject ^ victim.rotate_left(31);
        let count = state.opportunities.entry((fault, subject)).or_default();
        *count += 1;
        let fired = Fired { fault, subject, nth: *count };
        let mut rng = Rng::new(self.seed ^ subject.rotate_left(17) ^ (u64::from(*count) << 40), fault.name());
        if !rng.hit(rate) || self.only.as_ref().is_some_and(|only| !only.contains(&fired)) {
            return None;
        }
        state.counts.count(fault, 1);
        if fault != Fault::Reorder {
            state.fired.push(fired);
            *state.harmed.entry(victim).or_default() += 1;
        }
        Some(rng.next())
    }

    /// Whether it occurs to this subject: the same answer whoever asks and however often, also when all else is healed.
    pub fn dooms(&self, fault: Fault, subject: u64) -> bool {
        let fired = Fired { fault, subject, nth: 0 };
        let mut rng = Rng::new(self.seed ^ subject.rotate_left(17), fault.name());
        if !rng.hit(self.rates.of(fault)) || self.only.as_ref().is_some_and(|only| !only.contains(&fired)) {
            return false;
        }
        let mut state = self.locked();
        if !state.fired.contains(&fired) {
            state.counts.count(fault, 1);
            state.fired.push(fired);
        }
        true
    }

    /// Whether this stream cannot be reached now: that of a trace, which nothing else needs to go on.
    pub fn is_stuck(&self, tenant: &TenantId, stream: &Stream) -> bool {
        self.rates.of(Fault::StuckUnit) > 0.0
            && stream.name.starts_with("trace/")
            && !self.locked().healed
            && self.dooms(Fault::StuckUnit, subject([tenant.as_str(), &stream.name]))
    }

    /// From here on nothing goes wrong.
    pub fn heal(&self) {
        self.locked().healed = true;
    }

    /// One that is not decided here has occurred so often.
    pub fn count(&self, fault: Fault, times: u64) {
        self.locked().counts.count(fault, times);
    }

    pub fn counts(&self) -> Counts {
        self.locked().counts.clone()
    }

    pub fn fired(&self) -> Vec<Fired> {
        self.locked().fired.clone()
    }
}

/// What an opportunity is about, as a number.
pub fn subject<'a>(parts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0x1f]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
