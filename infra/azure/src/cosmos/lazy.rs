//! What is made at its first use. Those who come meanwhile wait for the same attempt and share what comes of it; a failed
//! attempt is made again by the next user. Waiting in a line instead, each would fail by itself, one deadline after another.

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use std::{
    future::Future,
    sync::{Mutex, PoisonError},
};

type Attempt<T, E> = Shared<BoxFuture<'static, Result<T, E>>>;

pub(super) struct Lazy<T, E>(Mutex<Option<Attempt<T, E>>>);

impl<T, E> Default for Lazy<T, E> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone + Send + 'static, E: Clone + Send + 'static> Lazy<T, E> {
    /// `make` is called at most once at a time. An attempt that is left by all who waited goes on with the next user.
    pub async fn get<F>(&self, make: impl FnOnce() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let attempt = {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match last.as_ref() {
                Some(attempt) if !matches!(attempt.peek(), Some(Err(_))) => attempt.clone(),
                _ => last.insert(make().boxed().shared()).clone(),
            }
        };
        attempt.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };
    use tokio::sync::Notify;

    #[tokio::test]
    async fn those_who_come_together_make_it_once_and_a_failure_is_no_answer_for_ever() {
        let (lazy, made, gate) = (Lazy::default(), Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let attempt = || {
            let (made, gate) = (made.clone(), gate.clone());
            async move {
                gate.notified().await;
                let n = made.fetch_add(1, Ordering::SeqCst);
                if n == 0 { Err("no route") } else { Ok(n) }
            }
        };
        for expected in [Err("no route"), Ok(1), Ok(1)] {
            let users = join_all((0..9).map(|_| lazy.get(attempt)));
            let (answers, ()) = tokio::join!(users, async { gate.notify_one() });
            assert!(answers.iter().all(|a| *a == expected), "{answers:?}");
        }
        assert_eq!(made.load(Ordering::SeqCst), 2);
    }
}
