//! A Lambda function over any peer: an invocation locks the record that its event names, releases
//! it, and answers.
//!
//! Packages of their own: what a peer needs without Lambda is measured as well, and must not grow.

use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use common::{Outcome, Peer, Terms};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Event {
    key: String,
}

#[derive(Serialize)]
struct Answer {
    locked: String,
}

#[derive(Debug)]
struct NotLocked(Box<dyn Error>);

/// Until the first event is asked for, a function initializes: the client is made, and gets ready
/// as far as the peer can. `TABLE` names the table.
pub fn serve<P: Peer>() -> ExitCode {
    common::run(async {
        let terms = Terms {
            table: std::env::var("TABLE").map_err(|_| "TABLE is not set")?,
            lease: Duration::from_secs(10),
            heartbeat: Duration::from_secs(2),
            timeout: Duration::from_secs(3),
        };
        let peer = P::connect(Rc::new(terms)).await?;
        peer.get_ready().await?;
        let handler = |event: LambdaEvent<Event>| invoked(&peer, event.payload.key);
        let served = lambda_runtime::run(service_fn(handler)).await;
        served.map_err(|error| error as Box<dyn Error>)
    })
}

async fn invoked<P: Peer>(peer: &P, key: String) -> Result<Answer, NotLocked> {
    let cycle = async { P::release(peer.acquire(&key).await?).await };
    let done: Outcome<()> = cycle.await;
    done.map_err(NotLocked)?;
    Ok(Answer { locked: key })
}

impl From<NotLocked> for Diagnostic {
    fn from(NotLocked(error): NotLocked) -> Self {
        Self {
            error_type: "NotLocked".into(),
            error_message: error.to_string(),
        }
    }
}
