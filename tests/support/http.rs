//! HTTP/1.1, as little of it as two ends on loopback need.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Headers in their order, names as they were sent.
pub type Headers = Vec<(String, String)>;

/// One request or answer: its first line, headers and whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub start: String,
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Message {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The status in an answer's first line.
    pub fn status(&self) -> io::Result<u16> {
        let status = self.start.split(' ').nth(1).and_then(|s| s.parse().ok());
        status.ok_or_else(|| malformed("a status"))
    }

    /// The bytes on the wire, with the length that the body has now.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head(&[("content-length", &self.body.len().to_string())]);
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// First line and headers, the framing ones replaced by `framing`.
    pub fn head(&self, framing: &[(&str, &str)]) -> Vec<u8> {
        let mut head = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            if !is_framing(name) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        for (name, value) in framing {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// The first header of that name, in any case.
pub fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// Reads one message; `None` where the other side closed before its first byte.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Message>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) if head.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let mut message = parse_head(&head)?;
    if message
        .header("transfer-encoding")
        .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    {
        message.body = read_chunks(stream).await?;
    } else if let Some(length) = message.header("content-length") {
        let length = length.parse().map_err(|_| malformed("a length"))?;
        message.body = vec![0; length];
        stream.read_exact(&mut message.body).await?;
    }
    Ok(Some(message))
}

/// Sends one request over a connection of its own to `authority` (`host:port`).
pub async fn exchange(authority: &str, request: &Message) -> io::Result<Message> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let mut stream = tokio::io::BufReader::new(stream);
    stream.get_mut().write_all(&request.bytes()).await?;
    let answer = read(&mut stream).await?;
    answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// `host:port` of an `http://` URL.
pub fn authority(url: &str) -> String {
    let rest = url.strip_prefix("http://");
    let rest = rest.unwrap_or_else(|| panic!("{url} is not an http:// URL"));
    let authority = rest.split('/').next().unwrap_or(rest);
    if authority.rsplit_once(':').is_some() {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    }
}

fn parse_head(head: &[u8]) -> io::Result<Message> {
    let text = std::str::from_utf8(head).map_err(|_| malformed("text"))?;
    let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
    let start = lines.next().ok_or_else(|| malformed("a first line"))?;
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("a header"))?;
        Ok((name.to_owned(), value.trim().to_owned()))
    });
    Ok(Message {
        start: start.to_owned(),
        headers: headers.collect::<io::Result<_>>()?,
        body: Vec::new(),
    })
}

async fn read_chunks(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream).await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| malformed("a chunk size"))?;
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..]).await?;
        read_line(stream).await?;
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn read_line(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await?);
    }
    String::from_utf8(line).map_err(|_| malformed("text"))
}

fn is_framing(name: &str) -> bool {
    ["content-length", "transfer-encoding", "connection"]
        .iter()
        .any(|framing| name.eq_ignore_ascii_case(framing))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("no {what} where one was expected"),
    )
}
