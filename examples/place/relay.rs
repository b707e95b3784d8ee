//! Counts requests on their way to DynamoDB.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A relay on a free loopback port.
pub struct Relay {
    pub url: String,
    requests: Arc<AtomicUsize>,
}

impl Relay {
    /// Passes everything on to `authority`, `host:port`.
    pub async fn to(authority: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let requests = Arc::new(AtomicUsize::new(0));
        let (authority, count) = (authority.to_owned(), requests.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, authority.clone(), count.clone()));
            }
        });
        Ok(Self { url, requests })
    }

    /// How many requests have come so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn pass_on(client: TcpStream, to: String, requests: Arc<AtomicUsize>) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(to).await?.into_split();
    let answers = async { tokio::io::copy(&mut from_server, &mut to_client).await };
    let sent = async {
        let mut bytes = [0; 16 * 1024];
        loop {
            let length = from_client.read(&mut bytes).await?;
            if length == 0 {
                return to_server.shutdown().await;
            }
            // Each request follows the answer to the one before, so it begins what is read.
            if bytes.starts_with(b"POST ") {
                requests.fetch_add(1, Ordering::SeqCst);
            }
            to_server.write_all(&bytes[..length]).await?;
        }
    };
    tokio::try_join!(answers, sent).map(drop)
}
