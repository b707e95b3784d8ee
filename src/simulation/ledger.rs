//! What became of the users' own writes: that each is applied once at most, under the lease it
//! was made under, and exactly when its caller was told so.
//!
//! A write adds one to `count` and its number to `log`, so the item itself tells which have come.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::history::short;

/// Names a write of a user's.
pub(super) type WriteId = u64;

pub(super) const COUNT: &str = "count";
pub(super) const LOG: &str = "log";

#[derive(Default)]
pub(super) struct Ledger {
    writes: BTreeMap<WriteId, Write>,
    /// Versions under which the item may be deleted.
    deletable: Vec<String>,
}

struct Write {
    version: String,
    token: u64,
    applied: bool,
    /// What its caller was told: that it was applied, or that it was not.
    told: Option<bool>,
}

impl Ledger {
    /// A write is about to be made under a lease.
    pub(super) fn begin(&mut self, version: &str, token: u64) -> WriteId {
        let id = self.writes.len() as WriteId;
        self.writes.insert(
            id,
            Write {
                version: version.to_owned(),
                token,
                applied: false,
                told: None,
            },
        );
        id
    }

    /// Its caller is told what became of it. What must not be.
    pub(super) fn tell(&mut self, id: WriteId, applied: bool) -> Option<String> {
        let write = self.writes.get_mut(&id)?;
        write.told = Some(applied);
        match (applied, write.applied) {
            (true, false) => Some(format!("write {id} was reported and is not applied")),
            (false, true) => Some(format!("write {id} was applied and reported not to be")),
            _ => None,
        }
    }

    pub(super) fn may_delete(&mut self, version: &str) {
        self.deletable.push(version.to_owned());
    }

    pub(super) fn is_deletable(&self, version: &str) -> bool {
        self.deletable.iter().any(|known| known == version)
    }

    /// The server has changed an item that showed `version` and `token`. How many writes came;
    /// or what must not be.
    pub(super) fn applied(
        &mut self,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
        version: Option<&str>,
        token: Option<u64>,
    ) -> Result<usize, String> {
        let (old, new) = (log(before), log(after));
        let added = new
            .strip_prefix(old.as_slice())
            .ok_or("the log was cut off or written over")?;
        if count(after) != count(before) + added.len() as i64 {
            return Err(format!(
                "count went from {} to {} with {} writes",
                count(before),
                count(after),
                added.len()
            ));
        }
        for id in added {
            let write = self
                .writes
                .get_mut(id)
                .ok_or_else(|| format!("write {id} was never made"))?;
            if write.applied {
                return Err(format!("write {id} was applied twice"));
            }
            if version != Some(&write.version) || token != Some(write.token) {
                return Err(format!(
                    "write {id} of {} {} landed under another lease",
                    short(&write.version),
                    write.token
                ));
            }
            if write.told == Some(false) {
                return Err(format!("write {id} landed after it was reported not to"));
            }
            write.applied = true;
        }
        Ok(added.len())
    }
}

fn count(image: &Map<String, Value>) -> i64 {
    let number = image.get(COUNT).and_then(|it| it.get("N")?.as_str());
    number.and_then(|it| it.parse().ok()).unwrap_or(0)
}

fn log(image: &Map<String, Value>) -> Vec<WriteId> {
    let list = image.get(LOG).and_then(|it| it.get("L")?.as_array());
    let id = |entry: &Value| entry.get("N")?.as_str()?.parse().ok();
    list.into_iter().flatten().filter_map(id).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn image(count: usize, log: &[WriteId]) -> Map<String, Value> {
        let log: Vec<Value> = log.iter().map(|id| json!({"N": id.to_string()})).collect();
        let image = json!({"count": {"N": count.to_string()}, "log": {"L": log}});
        image.as_object().unwrap().clone()
    }

    #[test]
    fn it_notices_what_must_not_be() {
        let mut ledger = Ledger::default();
        let (a, b) = (ledger.begin("v1", 7), ledger.begin("v1", 7));
        let (none, one) = (image(0, &[]), image(1, &[a]));
        let told = |error: Option<String>| error.is_some();
        assert!(told(ledger.tell(a, true)), "reported, not applied");
        assert!(ledger.applied(&none, &one, Some("v2"), Some(7)).is_err());
        assert!(ledger.applied(&none, &one, Some("v1"), Some(8)).is_err());
        assert!(
            ledger
                .applied(&none, &image(2, &[a]), Some("v1"), Some(7))
                .is_err()
        );
        assert_eq!(ledger.applied(&none, &one, Some("v1"), Some(7)), Ok(1));
        assert!(
            ledger
                .applied(&one, &image(2, &[a, a]), Some("v1"), Some(7))
                .is_err()
        );
        assert!(ledger.applied(&one, &none, Some("v1"), Some(7)).is_err());
        assert!(!told(ledger.tell(a, true)));
        assert!(told(ledger.tell(a, false)), "applied, reported not to be");
        ledger.tell(b, false);
        let two = image(2, &[a, b]);
        assert!(
            ledger.applied(&one, &two, Some("v1"), Some(7)).is_err(),
            "late"
        );
        assert!(
            ledger
                .applied(&one, &image(2, &[a, 9]), Some("v1"), Some(7))
                .is_err()
        );
        assert_eq!(ledger.applied(&one, &one, Some("v2"), Some(8)), Ok(0));
    }
}
