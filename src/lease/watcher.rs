//! Looks at a lease from elsewhere.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::protocol::Lost;

use super::Lease;
use super::core::{Core, Standing};

/// A view of a [`Lease`] for other tasks: they see whether it is held, and cannot release it.
///
/// Cheap to clone. It neither keeps the lock nor gives it back: once the lease is released or
/// dropped, the watcher says so.
///
/// ```no_run
/// # async fn run(lease: dynolock::Lease) {
/// let watcher = lease.watcher();
/// tokio::spawn(async move {
///     while watcher.is_held() {
///         // A piece of work, short against `watcher.remaining()`.
///     }
/// });
/// # }
/// ```
#[derive(Clone)]
pub struct Watcher {
    core: Arc<Core>,
}

impl Lease {
    /// A view of this lease for other tasks.
    ///
    /// ```no_run
    /// # fn run(lease: &dynolock::Lease) {
    /// let watcher = lease.watcher();
    /// assert_eq!(watcher.fencing_token(), lease.fencing_token());
    /// # }
    /// ```
    pub fn watcher(&self) -> Watcher {
        Watcher {
            core: self.core.clone(),
        }
    }
}

impl Watcher {
    /// Whether the lock is still held, as [`Lease::is_held`]; `false` too from the moment on at
    /// which it is being released or handed on.
    pub fn is_held(&self) -> bool {
        let now = self.core.client.runtime.now();
        matches!(self.core.standing(now), Standing::Held)
    }

    /// Completes once the lease is over: with the reason where it was lost, with `None` where it
    /// was released, dropped or handed on. Cancel safe.
    ///
    /// ```no_run
    /// # async fn run(watcher: dynolock::Watcher) {
    /// if let Some(lost) = watcher.lost().await {
    ///     println!("stop working: {lost}");
    /// }
    /// # }
    /// ```
    pub async fn lost(&self) -> Option<Lost> {
        self.core.over().await
    }

    /// Completes once the lease ends at another time than `seen`, which is the
    /// [`expires_at`](Self::expires_at) that the caller knows; with the new one. `None` once the
    /// lease is over. Cancel safe; nothing is missed between two calls.
    ///
    /// For those who keep others to the lease, such as a process beside this one.
    ///
    /// ```no_run
    /// # async fn run(watcher: dynolock::Watcher) {
    /// let mut ends = watcher.expires_at();
    /// while let Some(later) = watcher.renewed(ends).await {
    ///     println!("{:?} more", watcher.remaining());
    ///     ends = later;
    /// }
    /// # }
    /// ```
    pub async fn renewed(&self, seen: SystemTime) -> Option<SystemTime> {
        self.core.moved(seen).await
    }

    /// As [`Lease::fencing_token`].
    pub fn fencing_token(&self) -> u64 {
        self.core.fence
    }

    /// As [`Lease::version`].
    pub fn version(&self) -> &str {
        &self.core.version
    }

    /// As [`Lease::expires_at`].
    pub fn expires_at(&self) -> SystemTime {
        self.core.state().deadline().wall.system_time()
    }

    /// As [`Lease::remaining`]; zero once the lease is over.
    pub fn remaining(&self) -> Duration {
        let now = self.core.client.runtime.now();
        match self.core.standing(now) {
            Standing::Held => self.core.remaining(now),
            Standing::Lost(_) | Standing::GivenBack => Duration::ZERO,
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("version", &self.core.version)
            .field("fencing_token", &self.core.fence)
            .finish_non_exhaustive()
    }
}
