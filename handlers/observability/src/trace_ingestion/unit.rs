//! The units of a trace: its share of a batch, its entries in the index, its head.

use opsloop_kernel::TraceId;
use std::{fmt, str::FromStr};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// `trace|<traceId>`: what a batch has of the trace; `…|<n>` where that is more than one commit takes.
    Arrival { trace: TraceId, part: u32 },
    /// `index|<traceId>`: what is due, for `traces-by/…`.
    Index { trace: TraceId },
    /// `head|<traceId>`: what is due, for the record.
    Head { trace: TraceId },
}

impl Key {
    pub fn trace(&self) -> &TraceId {
        match self {
            Self::Arrival { trace, .. } | Self::Index { trace } | Self::Head { trace } => trace,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrival { trace, part: 0 } => write!(f, "trace|{trace}"),
            Self::Arrival { trace, part } => write!(f, "trace|{trace}|{part}"),
            Self::Index { trace } => write!(f, "index|{trace}"),
            Self::Head { trace } => write!(f, "head|{trace}"),
        }
    }
}

impl FromStr for Key {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let fields: Vec<&str> = s.split('|').collect();
        Ok(match fields[..] {
            ["trace", trace] => Self::Arrival { trace: TraceId::parse(trace)?, part: 0 },
            ["trace", trace, part] => Self::Arrival {
                trace: TraceId::parse(trace)?,
                part: part.parse().map_err(|_| format!("`{part}` is no part"))?,
            },
            ["index", trace] => Self::Index { trace: TraceId::parse(trace)? },
            ["head", trace] => Self::Head { trace: TraceId::parse(trace)? },
            _ => return Err(format!("`{s}` is no unit of a trace")),
        })
    }
}
