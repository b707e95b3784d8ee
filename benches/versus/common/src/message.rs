//! HTTP/1.1, as far as it must be known where a message ends.

/// The length of the head at the start of `bytes`, empty line included.
pub fn head(bytes: &[u8]) -> Option<usize> {
    Some(bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4)
}

/// The length of the message at the start of `bytes`, where it is there as a whole.
pub fn length(bytes: &[u8]) -> Option<usize> {
    let head = head(bytes)?;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let body = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let length = head + body?;
    (bytes.len() >= length).then_some(length)
}
