//! What can happen to a request on its way.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::http::{Headers, Message};

/// What the proxy does with one request.
pub enum Fault {
    /// Forwards it and brings the answer back.
    Pass,
    /// Closes the connection; the request is never applied, unless it is replayed.
    DropRequest,
    /// Like `DropRequest`, with a reset in place of an orderly end.
    ResetRequest,
    /// Forwards it, then closes the connection in place of an answer.
    ForwardThenDropAnswer,
    /// Forwards it, then resets the connection in place of an answer.
    ForwardThenReset,
    /// Neither forwards nor answers, and leaves the connection open.
    Hang,
    /// Forwards it and never answers.
    HangAfterForward,
    /// Forwards it once the gate is open, whether or not the client still waits.
    Delay(Gate),
    /// Forwards it at once; the answer waits for the gate.
    DelayAnswer(Gate),
    /// Answers in the server's place.
    AnswerWith(Answer),
    /// Forwards it, and answers something else.
    ForwardThenAnswer(Answer),
    /// Delivers it twice, one after the other, and brings one of the answers.
    ForwardTwice(Which),
    /// Forwards it, and breaks off in the middle of the answer's body.
    HalfAnswer,
    /// Forwards it, and changes the answer.
    Rewrite(Box<dyn FnOnce(&mut Answer) + Send>),
    /// Answers 200 and a body without end.
    Endless,
    /// Forwards it, and brings the answer byte by byte, each with a pause before it.
    Trickle(Duration),
}

/// Which answer to a doubled request comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    First,
    Second,
}

impl Fault {
    /// An error as DynamoDB reports it, not forwarded; `code` as in `ThrottlingException`.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::AnswerWith(Answer::error(status, code, message))
    }

    pub fn throttled() -> Self {
        let code = "ProvisionedThroughputExceededException";
        Self::error(
            400,
            code,
            "The level of configured provisioned throughput was exceeded",
        )
    }

    pub fn transaction_conflict() -> Self {
        let code = "TransactionConflictException";
        Self::error(400, code, "Transaction is ongoing for the item")
    }

    pub fn access_denied() -> Self {
        let code = "AccessDeniedException";
        Self::error(
            400,
            code,
            "User is not authorized to perform: dynamodb:UpdateItem",
        )
    }

    pub fn internal_error() -> Self {
        Self::error(
            500,
            "InternalServerError",
            "The request could not be processed",
        )
    }

    /// As a load balancer answers: 503 and no JSON.
    pub fn unavailable() -> Self {
        Self::AnswerWith(Answer {
            status: 503,
            headers: vec![("content-type".to_owned(), "text/html".to_owned())],
            body: b"<html><body>Service Unavailable</body></html>".to_vec(),
        })
    }

    /// The request is applied, the answer's body is this.
    pub fn body(bytes: Vec<u8>) -> Self {
        Self::Rewrite(Box::new(|answer| answer.body = bytes))
    }

    /// The request is applied, the answer's body is no JSON.
    pub fn not_json() -> Self {
        Self::body(b"<html>it worked</html>".to_vec())
    }

    /// The request is applied, the answer's body is JSON of `length` bytes, mostly blanks.
    pub fn long_body(length: usize) -> Self {
        let mut body = vec![b' '; length];
        if let [first, .., last] = body.as_mut_slice() {
            (*first, *last) = (b'{', b'}');
        }
        Self::body(body)
    }

    /// The request is applied, the answer's header is this, such as `date`.
    pub fn header(name: &str, value: &str) -> Self {
        let header = (name.to_owned(), value.to_owned());
        Self::Rewrite(Box::new(move |answer| {
            answer
                .headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case(&header.0));
            answer.headers.push(header);
        }))
    }
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json_text(status: u16, body: &str) -> Self {
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amzn-requestid", "TESTREQUEST"),
        ];
        Self {
            status,
            headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            body: body.into(),
        }
    }

    /// An error as DynamoDB reports it.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({
            "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
            "message": message,
        });
        Self::json_text(status, &body.to_string())
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn received(message: Message) -> io::Result<Self> {
        Ok(Self {
            status: message.status()?,
            headers: message.headers,
            body: message.body,
        })
    }

    pub(super) fn message(&self) -> Message {
        Message {
            start: format!("HTTP/1.1 {} Answer", self.status),
            headers: self.headers.clone(),
            body: self.body.clone(),
        }
    }
}

/// Holds back what waits for it, until the test opens it.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub async fn opened(&self) {
        let mut open = self.0.subscribe();
        open.wait_for(|open| *open).await.expect("the gate is here");
    }
}
