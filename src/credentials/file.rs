//! Small files: tokens and profiles.

use std::io::Read;
use std::path::Path;

/// What a file may hold at most. Real ones have a few kilobytes.
const LONGEST: u64 = 1 << 20;

/// Reads a text file. The error says why it cannot be read, and shows nothing of it.
///
/// It blocks for as long as the file system does.
#[cfg(any(
    feature = "credentials-container",
    feature = "credentials-web-identity",
    feature = "credentials-profile"
))]
pub(crate) fn read_now(path: &Path) -> Result<String, FileError> {
    String::from_utf8(read_bytes_now(path)?).map_err(|_| FileError::NotText)
}

/// The same for what need not be text.
pub(crate) fn read_bytes_now(path: &Path) -> Result<Vec<u8>, FileError> {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    let file = std::fs::File::open(path)?;
    let mut content = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LONGEST {
        return Err(FileError::TooLong);
    }
    Ok(content)
}

/// The same on a thread of the runtime's for such things.
#[cfg(any(
    feature = "credentials-container",
    feature = "credentials-web-identity",
    feature = "credentials-profile"
))]
pub(crate) async fn read(path: impl AsRef<Path> + Send + 'static) -> Result<String, FileError> {
    match tokio::task::spawn_blocking(move || read_now(path.as_ref())).await {
        Ok(read) => read,
        Err(_) => Err(std::io::Error::other("the runtime shuts down").into()),
    }
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("is longer than 1 MiB")]
    TooLong,
    #[cfg(any(
        feature = "credentials-container",
        feature = "credentials-web-identity",
        feature = "credentials-profile"
    ))]
    #[error("is not UTF-8 text")]
    NotText,
}

#[cfg(feature = "credentials-profile")]
impl FileError {
    /// There is no such file.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == std::io::ErrorKind::NotFound)
    }
}
