//! A lock of an item: what a careful user needs of it, and no more. Lost answers, clocks that are
//! off and what dynolock does about them are not here.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use common::{Outcome, Peer, RETRY_INTERVAL, Terms};
use tokio::task::JoinHandle;
use uuid::Uuid;

#[derive(Clone)]
pub struct Sdk {
    client: Client,
    terms: Rc<Terms>,
}

pub struct Lease {
    sdk: Sdk,
    key: String,
    version: String,
    held: Rc<Cell<bool>>,
    heartbeats: JoinHandle<()>,
}

impl Peer for Sdk {
    type Lease = Lease;

    async fn connect(terms: Rc<Terms>) -> Outcome<Self> {
        Ok(Self {
            client: crate::from_environment(terms.timeout)?,
            terms,
        })
    }

    async fn acquire(&self, key: &str) -> Outcome<Lease> {
        let version = Uuid::new_v4().to_string();
        let started = Instant::now();
        while !self.try_acquire(key, &version).await? {
            if started.elapsed() + RETRY_INTERVAL > self.terms.timeout {
                return Err(format!("{key} is held by another").into());
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        let held = Rc::new(Cell::new(true));
        let heartbeats = {
            let (sdk, key, version) = (self.clone(), key.to_owned(), version.clone());
            let held = held.clone();
            tokio::task::spawn_local(async move {
                sdk.heartbeats(&key, &version).await;
                held.set(false);
            })
        };
        Ok(Lease {
            sdk: self.clone(),
            key: key.to_owned(),
            version,
            held,
            heartbeats,
        })
    }

    fn is_held(lease: &Lease) -> bool {
        lease.held.get()
    }

    async fn release(lease: Lease) -> Outcome<()> {
        lease.heartbeats.abort();
        let answer = lease.sdk.client.delete_item();
        let answer = answer
            .table_name(&lease.sdk.terms.table)
            .key("key", AttributeValue::S(lease.key))
            .condition_expression("lockVersion = :version")
            .expression_attribute_values(":version", AttributeValue::S(lease.version))
            .send()
            .await;
        answer.map(drop).map_err(|error| one_line(&error))
    }
}

impl Sdk {
    async fn try_acquire(&self, key: &str, version: &str) -> Outcome<bool> {
        let now = now()?;
        let answer = self.client.update_item();
        let answer = answer
            .table_name(&self.terms.table)
            .key("key", AttributeValue::S(key.to_owned()))
            .update_expression(
                "SET lockExpires = :expires, lockVersion = :version, \
                 lockFence = if_not_exists(lockFence, :zero) + :one",
            )
            .condition_expression("attribute_not_exists(lockExpires) OR lockExpires < :now")
            .expression_attribute_values(":expires", number(now + self.terms.lease))
            .expression_attribute_values(":version", AttributeValue::S(version.to_owned()))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":zero", AttributeValue::N("0".into()))
            .expression_attribute_values(":one", AttributeValue::N("1".into()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(one_line(&error)),
            },
        }
    }

    /// Renews until that fails.
    async fn heartbeats(&self, key: &str, version: &str) {
        loop {
            tokio::time::sleep(self.terms.heartbeat).await;
            let Ok(now) = now() else { return };
            let answer = self.client.update_item();
            let answer = answer
                .table_name(&self.terms.table)
                .key("key", AttributeValue::S(key.to_owned()))
                .update_expression("SET lockExpires = :expires")
                .condition_expression("lockVersion = :version")
                .expression_attribute_values(":expires", number(now + self.terms.lease))
                .expression_attribute_values(":version", AttributeValue::S(version.to_owned()))
                .send()
                .await;
            if answer.is_err() {
                return;
            }
        }
    }
}

fn now() -> Outcome<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

fn number(time: Duration) -> AttributeValue {
    AttributeValue::N(time.as_nanos().to_string())
}

/// An error of the SDK says what is wrong only with its sources.
fn one_line(error: &(impl Error + 'static)) -> Box<dyn Error> {
    DisplayErrorContext(error).to_string().into()
}
