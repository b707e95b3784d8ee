//! The exit statuses, which are stable.

use dynolock::Error;

/// What the command ends with, where it is not the status of the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    pub(crate) const DONE: Self = Self(0);
    /// `table check` has found what would not work.
    pub(crate) const CHECK_FAILED: Self = Self(1);
    /// The arguments are wrong, or what they ask for does not fit the table. `EX_USAGE`.
    pub(crate) const USAGE: Self = Self(64);
    /// DynamoDB or the credentials are of no use. `EX_UNAVAILABLE`.
    pub(crate) const UNAVAILABLE: Self = Self(69);
    /// The operating system refused something: a process, a pipe, an output. `EX_OSERR`.
    pub(crate) const SYSTEM: Self = Self(71);
    /// The lock was lost while the command ran. `EX_IOERR`.
    pub(crate) const LOST: Self = Self(74);
    /// The lock was not acquired in time, or not at all by `--existing-only`, which finds no item;
    /// `status`: it is held. `EX_TEMPFAIL`.
    pub(crate) const CONFLICT: Self = Self(75);
    /// The command to run was found, and cannot be run; as a shell has it.
    pub(crate) const NOT_EXECUTABLE: Self = Self(126);
    /// There is no such command; as a shell has it.
    pub(crate) const NOT_FOUND: Self = Self(127);

    /// Ended by a signal, as a shell says it.
    pub(crate) fn signal(number: i32) -> Self {
        Self(u8::try_from(number).map_or(u8::MAX, |number| number.saturating_add(128)))
    }

    /// The status of a child.
    pub(crate) fn of_child(code: Option<i32>, signal: Option<i32>) -> Self {
        match (code, signal) {
            (Some(code), _) => Self(u8::try_from(code).unwrap_or(u8::MAX)),
            (None, Some(signal)) => Self::signal(signal),
            (None, None) => Self::SYSTEM,
        }
    }

    /// The status that stands for an error of the library. The caller's `conflict` is for a lock
    /// that is held, and for an item that is not there though it must be.
    pub(crate) fn of_error(error: &Error, conflict: Self) -> Self {
        if error.is_invalid_option() {
            Self::USAGE
        } else if error.is_lost() {
            Self::LOST
        } else if error.is_held() || error.is_item_not_found() {
            conflict
        } else {
            match error.code() {
                // The key or the table's name is not what DynamoDB has.
                Some("ValidationException" | "ResourceNotFoundException") => Self::USAGE,
                // Also where the time was up before the first answer: nobody knows who has the lock.
                _ => Self::UNAVAILABLE,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_ends_as_a_shell_says_it() {
        assert_eq!(Exit::of_child(Some(0), None), Exit(0));
        assert_eq!(Exit::of_child(Some(255), None), Exit(255));
        assert_eq!(Exit::of_child(None, Some(15)), Exit(143));
        assert_eq!(Exit::of_child(None, Some(9)), Exit(137));
        assert_eq!(Exit::of_child(None, Some(64)), Exit(192));
        assert_eq!(Exit::of_child(None, Some(1000)), Exit(255));
        assert_eq!(Exit::of_child(None, None), Exit::SYSTEM);
    }
}
