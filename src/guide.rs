//! The locked item as a unit of work: which call to use when, what each guarantees and cannot,
//! what each costs.
//!
//! A lock that guards something elsewhere can only hope that its holder stops in time. This lock
//! lies in the item that it protects, so that DynamoDB itself refuses what a former holder writes
//! to it: locking reads the record, every write under the lease has the condition that the lease
//! still stands, and the last write unlocks. A pause or a slow network then delays work, and does
//! not corrupt the record.
//!
//! # Which one, when
//!
//! | you want to | use | requests |
//! |---|---|---|
//! | read a record, change it, be done | [`acquire`], [`item`](crate::Lease::item), [`commit`] | 2 |
//! | the same, and nothing was to be done | [`acquire`], [`release`] | 2 |
//! | write progress while you go on working | [`update`], last [`commit`] | 1 each |
//! | take a record from a queue of them, and delete it | [`acquire`], [`delete_item`] | 2 |
//! | protect something that is not in DynamoDB | [`acquire`], [`fencing_token`], [`release`] | 2 |
//! | write other items too, all or none | [`transaction`] | 1 |
//! | put the lock into a transaction of another client | [`condition`] | 0 |
//! | work on several records that belong together | [`lock_all`], [`transaction`], release | 1 + 1 an item, 1, 1 an item |
//! | hand the lease to another process | [`into_token`], [`resume`] | 0 and 1 |
//! | wait long, or for a large item | [`poll_by_reading`] | 1 an interval, but reads |
//! | be done by a known instant, as in [Lambda](crate::lambda) | [`deadline`](crate::Lock::deadline) | |
//! | see who is at it, or wait until nobody is | [`holder`], [`wait_free`] | 1; 1 an interval |
//!
//! Requests are those where nobody else is at it, no attempt fails, and no heartbeat is due
//! meanwhile.
//!
//! ## Read, change, be done
//!
//! ```no_run
//! use dynolock::Update;
//!
//! # async fn run(lock: dynolock::Lock) -> Result<(), dynolock::Error> {
//! let lease = lock.acquire().await?;
//! let count: u64 = lease.item().get_as::<Option<u64>>("count")?.unwrap_or(0);
//! lease.commit(Update::new().set("count", count + 1)).await?;
//! # Ok(()) }
//! ```
//!
//! What [`item`](crate::Lease::item) shows stays true for as long as the lease is held, as far as
//! all who write the record ask for the lock. For those who do not, add a
//! [condition](crate::Update::condition) on what you have read.
//!
//! ## Work on, step by step
//!
//! [`with`](crate::Lock::with) drops the work the moment the lease is lost; without it, stop at the
//! first error that [is lost](crate::Error::is_lost). Either way the steps that were written are
//! those that the next holder reads.
//!
//! ```no_run
//! use dynolock::{Error, Update};
//!
//! # async fn import(part: u64) {}
//! # async fn run(lock: dynolock::Lock) -> Result<(), Error> {
//! lock.with(async |lease| {
//!     let done: u64 = lease.item().get_as::<Option<u64>>("done")?.unwrap_or(0);
//!     for part in done + 1..=10 {
//!         import(part).await; // may happen again after a crash
//!         lease.update(Update::new().set("done", part)).await?; // is there once
//!     }
//!     Ok::<_, Error>(())
//! })
//! .await
//! # }
//! ```
//!
//! An update renews the lease. Whoever writes several times a lease can do without a
//! [heartbeat](crate::Lock::manual_heartbeat), and then loses the lock when the *work* stands
//! still, not only when the process does.
//!
//! ## Beyond the item
//!
//! A system that can compare numbers is protected by the [`fencing_token`]: it remembers the
//! largest that it has seen, and refuses smaller ones. Other items of DynamoDB's are protected by
//! writing them in one transaction with the lock.
//!
//! ```no_run
//! use dynolock::{Client, Error, Lease, Update};
//!
//! # async fn run(client: Client, order: Lease) -> Result<(), Error> {
//! client
//!     .transaction()
//!     .update(&order, Update::new().set("state", "shipped"))
//!     .update_item("stock", ("id", "bolts"), Update::new().add("count", -4))
//!     .send()
//!     .await?;
//! order.release().await
//! # }
//! ```
//!
//! [`condition`] is for transactions that are made with another client. It asks for the version
//! and the fence only, so that it holds again after a write of its own: such a transaction needs a
//! client request token, or a condition that the write itself makes false, to be applied once.
//!
//! ## Several records
//!
//! ```no_run
//! use dynolock::{Client, Error, Update};
//!
//! # async fn run(client: Client) -> Result<(), Error> {
//! let [from, to] = ["acme", "bolt"].map(|id| client.lock("accounts", ("id", id)));
//! let leases = client.lock_all([from, to]).acquire().await?;
//! let balance: u64 = leases[0].item().get_as("balance")?;
//! if balance >= 10 {
//!     client
//!         .transaction()
//!         .update(&leases[0], Update::new().set("balance", balance - 10))
//!         .update(&leases[1], Update::new().add("balance", 10))
//!         .send()
//!         .await?;
//! }
//! leases.release().await
//! # }
//! ```
//!
//! All locks are taken at once or none, so that two sets never wait for one another for ever.
//!
//! # What holds, and what cannot
//!
//! **A write that was reported is there.** `Ok` of [`update`], [`commit`], [`delete_item`] or
//! [`transaction`] means: applied, once, while the lock was this lease's. What fails for a passing
//! reason is sent again for as long as the lease allows. Each write under a lease asks for the
//! expiry that was there before its first attempt, and leaves a new one or none. So of all its
//! attempts, late and doubled ones included, one at most can be applied: an `add` never twice.
//!
//! **A lost lease writes nothing more.** Once another has acquired the lock, version and fence in
//! the item are its, and whatever a former holder still sends, or the network still delivers, is
//! refused. A lease that is over by its own clocks does not even send it. So a holder that was
//! paused does no harm *to the item*. Between [`is_held`](crate::Lease::is_held) and the next
//! statement a pause is always possible: what is written elsewhere needs the fencing token.
//!
//! **An unknown outcome is said.** Where an answer is missing, the next attempt finds out what
//! became of the one before. It cannot where the lease is lost meanwhile, where DynamoDB stays out
//! of reach, or where the answer shows another's lock, or none: a copy of the write may have come
//! before. Then the error [is unknown](crate::Error::is_outcome_unknown). Lock the item again and look: what is not there
//! then will never be. So make it visible in the record whether a piece of work is
//! done, by a state, a step or an identifier; `add` alone does not tell. A process that is killed
//! leaves the same question, with nobody to report it.
//!
//! **A commit releases or does not happen.** There is no moment at which the lock is free and the
//! write missing, or the other way round. Where the update is refused, as its own condition does
//! not hold, the lock is released all the same, by a request more.
//!
//! What no call here can do:
//!
//! - Keep out writers that do not ask for the lock. `UpdateItem` by them goes through beside the
//!   lease; `PutItem` and `DeleteItem` erase the lock, and the holder is told at its next write.
//! - Undo. What a step did outside of the item stays when its update is refused.
//! - Keep the tokens growing when the item is deleted: after [`delete_item`] they start from the
//!   clock again.
//! - Exclude holders in other Regions of a global table that is eventually consistent.
//! - Prevent what a doubled *acquire* can do that arrives when the lock is free: it locks the item
//!   for one lease, with nobody believing in it. The record is not changed.
//!
//! # What it costs
//!
//! A write unit is 1 KB of the larger of the item before and after, whatever part of it is
//! written; a strongly consistent read unit is 4 KB. A condition that does not hold costs the write
//! unit all the same
//! ([AWS: read and write operations](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html)).
//! In a transaction every item costs twice as much
//! ([AWS: transactions](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html)).
//!
//! | | capacity, for an item of *n* KB |
//! |---|---|
//! | [`acquire`]; [`resume`] | *n* write units, and *n* for every try while it is held |
//! | a heartbeat, [`renew`](crate::Lease::renew) | *n* write units; 5 or 6 a lease by default |
//! | [`update`], [`commit`], [`delete_item`], [`release`] | *n* write units |
//! | a try that [polls by reading](crate::Lock::poll_by_reading), [`holder`] | *n* ÷ 4 read units, rounded up |
//! | [`transaction`] | 2 *n* write units an item, also where it is refused |
//! | [`lock_all`] | 2 *n* write units an item and try; *n* ÷ 4 read units an item, once |
//! | its renewals and releases | *n* write units an item |
//!
//! So a record of 1 KB is read, changed and written for two write units. Beside that:
//!
//! - **Heartbeats** are the larger part where work is long: a lease of 10 s is renewed every 2 s, or a little sooner.
//!   Choose the longest [lease](crate::Lock::lease) for which a crash may block the others.
//! - **Waiters** pay for each try. A longer [interval](crate::Lock::retry_interval) is cheaper and
//!   slower; reads are cheaper still.
//! - **Large items** make every one of these dear. Lock a small item beside them, and give the
//!   fencing token, or a transaction, to the large one.
//! - **Secondary indexes** that project the lock's attributes, and so all that project `ALL`, are
//!   written with every acquisition, renewal and release
//!   ([AWS: index writes](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.ThroughputConsiderations)).
//!   Streams show each of these writes.
//!
//! # Or without a lock
//!
//! **One update expression**, where the change needs nothing that was read: `ADD count :one` is
//! atomic by itself, in one request. A lock would cost two.
//!
//! **Optimistic locking** reads the record, and writes it on the condition that a version attribute
//! is what it was
//! ([AWS: optimistic locking](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/BestPractices_OptimisticLocking.html)).
//! Two requests as well, but one of them a read: for 1 KB one write unit and one read unit, without
//! waiting, clocks or leases. It is the better choice where conflicts are rare and the work between
//! read and write is short and harmless to repeat: whoever loses begins again. The lock is the
//! better choice where they are frequent, where the work is long or dear, or where it does
//! something outside of the record that must not go on at two places at once.
//!
//! **A transaction alone** with conditions on what was read is optimistic locking over several
//! items. It is cheaper than locks: two records of 1 KB are read for two read units and written for
//! four write units; with [`lock_all`], [`transaction`] and releases it is two and ten. It needs no
//! cleaning up after a crash either. What the locks add is the time between reading and writing, in
//! which nobody else who asks for them is at work on the records.
//!
//! Each goes together with the lock: an update's [condition](crate::Update::condition) can ask for
//! a version attribute, for the sake of writers that know only that.
//!
//! # Recipes
//!
//! Programs that run, and check what they claim, in `examples/`:
//! `leader_election`, `migrate_record`, `resume_job`, `transfer`, `run_once`, `fencing`, and
//! `read_modify_write`, whose workers are killed at random.
//!
//! [`acquire`]: crate::Lock::acquire
//! [`commit`]: crate::Lease::commit
//! [`release`]: crate::Lease::release
//! [`update`]: crate::Lease::update
//! [`delete_item`]: crate::Lease::delete_item
//! [`fencing_token`]: crate::Lease::fencing_token
//! [`transaction`]: crate::Client::transaction
//! [`condition`]: crate::Lease::condition
//! [`lock_all`]: crate::Client::lock_all
//! [`into_token`]: crate::Lease::into_token
//! [`resume`]: crate::Lock::resume
//! [`poll_by_reading`]: crate::Lock::poll_by_reading
//! [`holder`]: crate::Lock::holder
//! [`wait_free`]: crate::Lock::wait_free
