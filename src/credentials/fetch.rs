//! What a source that fetches is.

use std::fmt;

use super::{Credentials, CredentialsError};
use crate::runtime::BoxFuture;

/// A source that fetches credentials, anew at each call. Who asks keeps them (`cache.rs`).
///
/// The future is complete in itself: it borrows nothing, ends within a time that the source
/// sets, and can be dropped at any point.
pub(crate) trait Fetch: Send + Sync + fmt::Debug + 'static {
    fn fetch(&self) -> BoxFuture<Result<Credentials, CredentialsError>>;

    /// What a fetch under way has tried so far, and is waiting for; `None` where it cannot tell.
    fn waiting_for(&self) -> Option<CredentialsError> {
        None
    }
}
