//! The floor: recorded requests of one acquisition and one release, written to a socket, and
//! their answers read to the end. Nothing is signed, decided or checked.
//!
//! The file that `VERSUS_REQUESTS` names has the two requests, one behind the other.

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Outcome, message};

pub struct Raw {
    stream: TcpStream,
    requests: Vec<Vec<u8>>,
    answer: Vec<u8>,
}

impl Raw {
    pub fn connect() -> Outcome<Self> {
        let url = std::env::var("AWS_ENDPOINT_URL")?;
        let authority = url
            .strip_prefix("http://")
            .ok_or("only http:// is spoken")?;
        let mut recorded = std::fs::read(std::env::var("VERSUS_REQUESTS")?)?;
        let mut requests = Vec::new();
        while !recorded.is_empty() {
            let length = message::length(&recorded).ok_or("the recording ends within a request")?;
            let rest = recorded.split_off(length);
            requests.push(std::mem::replace(&mut recorded, rest));
        }
        let stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            requests,
            answer: vec![0; 16 * 1024],
        })
    }

    pub fn cycle(&mut self) -> Outcome<()> {
        for request in &self.requests {
            self.stream.write_all(request)?;
            let mut filled = 0;
            while message::length(&self.answer[..filled]).is_none() {
                let read = self.stream.read(&mut self.answer[filled..])?;
                if read == 0 {
                    return Err("the answer ends early".into());
                }
                filled += read;
            }
            if !self.answer.starts_with(b"HTTP/1.1 200") {
                return Err("a recorded request is refused".into());
            }
        }
        Ok(())
    }
}
