//! What a test lets go wrong, and what the front has seen.

use super::tokens::Token;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Tokens that are remembered; a test that puts more has another purpose.
const TOKENS_MAX: usize = 10_000;

/// What happens to a transfer of a client, one message or one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnSend {
    /// Nothing out of the ordinary: this one passes, and a fault after it hits the next.
    Take,
    /// Refused with this condition; the broker has nothing.
    Reject { condition: String, description: String },
    /// Taken, and never answered.
    LoseReply,
    /// Taken or not, and instead of an answer the link is detached with this condition.
    CloseLink { condition: String, taken: bool },
    /// Taken or not, and the connection ends without a word.
    CloseConnection { taken: bool },
    /// Taken after this long.
    Delay(Duration),
}

impl OnSend {
    pub fn reject(condition: &str, description: &str) -> Self {
        Self::Reject { condition: condition.to_owned(), description: description.to_owned() }
    }

    /// How Service Bus throttles.
    pub fn busy() -> Self {
        Self::reject("com.microsoft:server-busy", "The request was terminated because the entity is being throttled.")
    }

    pub fn close_link(condition: &str, taken: bool) -> Self {
        Self::CloseLink { condition: condition.to_owned(), taken }
    }
}

/// A handle on a running front.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    sends: VecDeque<OnSend>,
    refused_tokens: usize,
    tokens: Vec<Token>,
    connections: usize,
    links: usize,
}

impl Faults {
    /// What happens to the next transfers, one after another, whoever sends them.
    pub fn on_sends(&self, what: impl IntoIterator<Item = OnSend>) {
        self.state().sends.extend(what);
    }

    /// How many of them have not happened yet.
    pub fn pending(&self) -> usize {
        self.state().sends.len()
    }

    /// The next tokens are refused with 401.
    pub fn refuse_tokens(&self, count: usize) {
        self.state().refused_tokens = count;
    }

    /// Those put to `$cbs`, in order; the tokens themselves are not kept.
    pub fn tokens(&self) -> Vec<Token> {
        self.state().tokens.clone()
    }

    /// How many were ever opened.
    pub fn connections(&self) -> usize {
        self.state().connections
    }

    /// How many links to send to or receive from an entity were ever attached.
    pub fn links(&self) -> usize {
        self.state().links
    }

    pub(super) fn next_send(&self) -> OnSend {
        self.state().sends.pop_front().unwrap_or(OnSend::Take)
    }

    /// Whether the token is taken.
    pub(super) fn saw_token(&self, token: Token) -> bool {
        let mut state = self.state();
        if state.tokens.len() < TOKENS_MAX {
            state.tokens.push(token);
        }
        let refused = state.refused_tokens > 0;
        state.refused_tokens = state.refused_tokens.saturating_sub(1);
        !refused
    }

    pub(super) fn saw_connection(&self) {
        self.state().connections += 1;
    }

    pub(super) fn saw_link(&self) {
        self.state().links += 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
