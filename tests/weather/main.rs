//! Bad input and bad weather: what the lock makes of bad options, spoiled items, and a network
//! that loses, doubles and delays.
//!
//! What needs clocks that step or differ, and processes that freeze, is covered on virtual time:
//! by the simulation, and by the unit tests of `src/protocol` (`trust.rs`, `deadline.rs`,
//! `acquire_tests.rs`, `lease_tests.rs`):
//!
//! - a process frozen longer than the lease, then thawed (beside `deadline::a_blocked_process`);
//! - the wall clock steps while a lease is held or waited for (beside `deadline::a_server_whose_date`);
//! - requests delayed by many leases among many clients (beside `late`).

#[path = "../scene/mod.rs"]
mod scene;
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod deadline;
mod input;
mod late;
mod production;
mod spoiled_items;
mod under_way;
