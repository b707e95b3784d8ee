//! A request as the proxy saw it, and what it means to a lock.

use serde_json::Value;

use super::fault::Answer;
use super::http::Message;

/// One request that reached the proxy.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its place among all requests, from 0.
    pub index: usize,
    /// The connection it came over, from 0.
    pub connection: usize,
    /// The operation in `X-Amz-Target`, such as `UpdateItem`.
    pub operation: String,
    /// The body; null where it is no JSON.
    pub body: Value,
    /// The whole request as it came.
    pub message: Message,
    /// What DynamoDB itself last answered to it, if it was forwarded and has been answered.
    pub answer: Option<Answer>,
}

/// What a request does to a lock whose attributes have their default names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sets a version.
    Acquire,
    /// Sets an expiry and no version.
    Renew,
    /// Removes the expiry, or deletes the item.
    Release,
    /// Nothing of these.
    Other,
}

impl Recorded {
    pub(super) fn new(index: usize, connection: usize, message: Message) -> Self {
        let target = message.header("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        Self {
            index,
            connection,
            operation,
            body: serde_json::from_slice(&message.body).unwrap_or_default(),
            message,
            answer: None,
        }
    }

    pub fn step(&self) -> Step {
        if self.operation == "DeleteItem" {
            return Step::Release;
        }
        let update = self.expression("UpdateExpression").replace(' ', "");
        let removed = update.split_once("REMOVE").map_or("", |(_, rest)| rest);
        if update.contains("dynoLockVersion=") {
            Step::Acquire
        } else if update.contains("dynoLockExpires=") {
            Step::Renew
        } else if removed.contains("dynoLockExpires") {
            Step::Release
        } else {
            Step::Other
        }
    }

    /// An expression of the request with names in place of their placeholders; values stay.
    pub fn expression(&self, name: &str) -> String {
        let mut text = self.body[name].as_str().unwrap_or_default().to_owned();
        let names = self.body["ExpressionAttributeNames"].as_object();
        let mut names: Vec<_> = names.into_iter().flatten().collect();
        // `#1` is also the beginning of `#10`.
        names.sort_by_key(|(placeholder, _)| std::cmp::Reverse(placeholder.len()));
        for (placeholder, name) in names {
            text = text.replace(placeholder.as_str(), name.as_str().unwrap_or_default());
        }
        text
    }
}
