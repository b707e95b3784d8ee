//! The lock as it stands in an item.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::Wall;
use crate::options::{AttributeNames, LONGEST_LEASE};
use crate::version::ksuid_time;
use crate::wire::{AttributeValue, Item, Number};

use super::writes::Pair;

/// The largest fencing token that an acquisition may add one to.
pub(crate) const LARGEST_FENCE: i64 = i64::MAX;

/// The lock attributes of an item, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LockState {
    /// `None` where the attribute is missing. Zero or less: free.
    pub(crate) expires: Option<i64>,
    /// The stated length of the lease; `None` where it is missing, not positive or absurd.
    pub(crate) lease: Option<Duration>,
    pub(crate) version: Option<String>,
    pub(crate) fence: Option<u64>,
    /// The owner's label, where the attribute belongs to the version.
    pub(crate) owner: Option<String>,
}

/// A lock attribute that cannot be understood, and is therefore left alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the item's attribute `{name}` is not a lock's: {problem}")]
pub(crate) struct BadAttribute {
    pub(crate) name: String,
    pub(crate) problem: &'static str,
}

impl LockState {
    /// Reads the lock attributes of `item`.
    pub(crate) fn of(item: &Item, names: &AttributeNames) -> Result<Self, BadAttribute> {
        let version = string(item, &names.version)?;
        Ok(Self {
            expires: number(item, &names.expires)?
                .map(|number| instant(number, &names.expires))
                .transpose()?,
            lease: number(item, &names.lease_duration)?.and_then(stated_lease),
            fence: number(item, &names.fence)?
                .map(|number| fence(number, &names.fence))
                .transpose()?,
            owner: string(item, &names.owner)?
                .zip(version.as_deref())
                .and_then(|(owner, version)| label(&owner, version)),
            version,
        })
    }

    pub(crate) fn is_free(&self) -> bool {
        self.expires.is_none_or(|expires| expires <= 0)
    }

    /// The holder, where the lock is held.
    pub(crate) fn holder(&self) -> Option<Holder> {
        (!self.is_free()).then(|| Holder::last(self.clone()))
    }
}

/// Reads the lock, and refuses one whose fencing token cannot be raised any more.
pub(super) fn readable(item: &Item, names: &AttributeNames) -> Result<LockState, BadAttribute> {
    let state = LockState::of(item, names)?;
    match state.fence {
        Some(fence) if fence > LARGEST_FENCE.unsigned_abs() => Err(BadAttribute {
            name: names.fence.clone(),
            problem: "it has reached 2^63 and cannot be raised any more",
        }),
        _ => Ok(state),
    }
}

/// Takes the lock attributes out, so that writing the item back cannot revive a lock. What is left
/// may be kept for long, and takes no more memory than it needs.
pub(crate) fn without_lock(mut item: Item, names: &AttributeNames) -> Item {
    for name in names.all() {
        item.remove(name);
    }
    item.shrink_to_fit();
    item
}

/// What the owner attribute says of a version: `<version> <label>`.
pub(crate) fn owner_attribute(version: &str, label: &str) -> String {
    format!("{version} {label}")
}

fn label(owner: &str, version: &str) -> Option<String> {
    let label = owner.strip_prefix(version)?.strip_prefix(' ')?;
    Some(label.to_owned())
}

fn bad(name: &str, problem: &'static str) -> BadAttribute {
    BadAttribute {
        name: name.to_owned(),
        problem,
    }
}

fn number<'a>(item: &'a Item, name: &str) -> Result<Option<&'a Number>, BadAttribute> {
    match item.get(name) {
        None => Ok(None),
        Some(AttributeValue::N(number)) => Ok(Some(number)),
        Some(_) => Err(bad(name, "it must be a number (N)")),
    }
}

fn string(item: &Item, name: &str) -> Result<Option<String>, BadAttribute> {
    match item.get(name) {
        None => Ok(None),
        Some(AttributeValue::S(text)) => Ok(Some(text.clone())),
        Some(_) => Err(bad(name, "it must be a string (S)")),
    }
}

/// Nanoseconds since the Unix epoch. Every negative number is as free as the next.
fn instant(number: &Number, name: &str) -> Result<i64, BadAttribute> {
    match number.to_i64() {
        Some(nanos) => Ok(nanos),
        None if number.as_str().starts_with('-') => Ok(-1),
        None => Err(bad(name, "it must be whole nanoseconds within 64 bits")),
    }
}

fn stated_lease(number: &Number) -> Option<Duration> {
    let nanos = number.to_u64().filter(|nanos| *nanos > 0)?;
    Some(Duration::from_nanos(nanos)).filter(|lease| *lease <= LONGEST_LEASE)
}

fn fence(number: &Number, name: &str) -> Result<u64, BadAttribute> {
    number
        .to_u64()
        .filter(|fence| *fence <= LARGEST_FENCE.unsigned_abs() + 1)
        .ok_or_else(|| bad(name, "it must be a whole number from 0 to 2^63"))
}

/// Who holds a lock, as its item said when it was seen.
///
/// From [`Lock::holder`](crate::Lock::holder), from the [`Error`](crate::Error::holder) of an
/// acquisition, or from what [took a lease over](crate::Lost::taken_over_by). As text it is
/// label and version. [`Lock::break_held`](crate::Lock::break_held) takes the lock away
/// from it.
///
/// ```no_run
/// # use std::time::SystemTime;
/// # async fn run(lock: dynolock::Lock) -> Result<(), dynolock::Error> {
/// if let Some(holder) = lock.holder().await? {
///     match holder.expires_at().duration_since(SystemTime::now()) {
///         Ok(left) => println!("held by {holder} for {left:?} more"),
///         Err(past) => println!("held by {holder}, over since {:?}", past.duration()),
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    version: Option<String>,
    owner: Option<String>,
    expires: i64,
    fencing_token: Option<u64>,
}

impl Holder {
    /// The holder of a lock that may be free again.
    pub(super) fn last(state: LockState) -> Self {
        Self {
            version: state.version,
            owner: state.owner,
            expires: state.expires.unwrap_or(0),
            fencing_token: state.fence,
        }
    }

    /// What changes with every renewal, and with whoever holds the lock.
    pub(super) fn pair(&self) -> Pair {
        Pair {
            version: self.version.clone(),
            expires: self.expires,
        }
    }

    /// Whether it had let go of the lock already when it was seen.
    pub(crate) fn is_gone(&self) -> bool {
        self.expires <= 0
    }

    /// The identity of the acquisition; `None` where the item has none.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The label that the holder gave itself; dyno peers give none.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// When the lock was acquired by the holder's wall clock, in whole seconds, as far as the
    /// version says so; dyno's do.
    pub fn acquired_at(&self) -> Option<SystemTime> {
        let seconds = ksuid_time(self.version()?)?;
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }

    /// The end of the lease by the holder's wall clock, as far as it was renewed.
    pub fn expires_at(&self) -> SystemTime {
        Wall(self.expires).system_time()
    }

    /// The fencing token of the last acquisition that had one; `None` where only dyno peers have
    /// ever held the lock.
    pub fn fencing_token(&self) -> Option<u64> {
        self.fencing_token
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(owner) = &self.owner {
            write!(f, "{owner} ")?;
        }
        write!(
            f,
            "(version {})",
            self.version.as_deref().unwrap_or("unknown")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(pairs: &[(&str, AttributeValue)]) -> Item {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    fn n(text: &str) -> AttributeValue {
        AttributeValue::N(text.parse().unwrap())
    }

    fn read(pairs: &[(&str, AttributeValue)]) -> Result<LockState, String> {
        LockState::of(&item(pairs), &AttributeNames::default()).map_err(|bad| bad.name)
    }

    #[test]
    fn a_dyno_lock_is_read() {
        let state = read(&[
            ("key", "g1".into()),
            ("dynoLockLeaseDuration", n("1000000000")),
            ("dynoLockVersion", "3MUpXBZ4TgdVLh6uxqu5KX0eGLD".into()),
            ("dynoLockExpires", n("1795415039214849567")),
        ])
        .unwrap();
        assert!(!state.is_free());
        assert_eq!(state.expires, Some(1_795_415_039_214_849_567));
        assert_eq!(state.lease, Some(Duration::from_secs(1)));
        let holder = state.holder().unwrap();
        assert_eq!(holder.version(), Some("3MUpXBZ4TgdVLh6uxqu5KX0eGLD"));
        assert_eq!((holder.owner(), holder.fencing_token()), (None, None));
    }

    #[test]
    fn free_is_missing_zero_or_negative() {
        for expires in [None, Some("0"), Some("-1"), Some("-1e38"), Some("-0.5")] {
            let pairs: Vec<_> = expires
                .map(|text| ("dynoLockExpires", n(text)))
                .into_iter()
                .collect();
            let state = read(&pairs).unwrap();
            assert!(state.is_free(), "{expires:?}");
            assert_eq!(state.holder(), None);
        }
    }

    #[test]
    fn an_owner_counts_for_its_own_version_only() {
        let owner = |text: &str| {
            read(&[
                ("dynoLockVersion", "v1".into()),
                ("dynoLockOwner", text.into()),
            ])
            .unwrap()
            .owner
        };
        assert_eq!(owner("v1 web-1"), Some("web-1".to_owned()));
        assert_eq!(owner("v0 web-1"), None);
        assert_eq!(owner("v11 web-1"), None);
        assert_eq!(owner("v1"), None);
    }

    #[test]
    fn an_absurd_lease_states_nothing() {
        for lease in [
            "0",
            "-5",
            "1.5",
            "31622400000000001",
            "99999999999999999999999999999999999999",
        ] {
            assert_eq!(
                read(&[("dynoLockLeaseDuration", n(lease))]).unwrap().lease,
                None,
                "{lease}"
            );
        }
    }

    #[test]
    fn unreadable_attributes_are_named() {
        let cases = [
            ("dynoLockExpires", "x".into()),
            ("dynoLockExpires", n("1795415039214849567.5")),
            ("dynoLockExpires", n("9223372036854775808")),
            (
                "dynoLockExpires",
                n("99999999999999999999999999999999999999"),
            ),
            ("dynoLockLeaseDuration", AttributeValue::Null),
            ("dynoLockVersion", n("1")),
            ("dynoLockOwner", n("1")),
            ("dynoLockFence", "1".into()),
            ("dynoLockFence", n("-1")),
            ("dynoLockFence", n("1.5")),
            ("dynoLockFence", n("9223372036854775809")),
        ];
        for (name, value) in cases {
            assert_eq!(
                read(&[(name, value.clone())]),
                Err(name.to_owned()),
                "{value:?}"
            );
        }
        assert_eq!(
            read(&[("dynoLockFence", n("9223372036854775808"))])
                .unwrap()
                .fence,
            Some(1 << 63)
        );
    }

    #[test]
    fn the_users_view_has_no_lock_attributes() {
        let names = AttributeNames::default();
        let mut full = item(&[("id", "a".into()), ("state", "new".into())]);
        let user = full.clone();
        for name in names.all() {
            full.insert(name.to_owned(), "x");
        }
        assert_eq!(without_lock(full, &names), user);
    }
}
