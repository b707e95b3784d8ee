//! Finds the program to run, before a lock is asked for.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::exit::Exit;

/// Where a program is looked for if nothing says where.
const DEFAULT_PATH: &str = "/usr/local/bin:/bin:/usr/bin";

/// Why a program cannot be run, and the status that says so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CannotRun {
    pub(super) exit: Exit,
    pub(super) problem: String,
}

/// The file that `program` names, as a shell would find it.
pub(super) fn find(program: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, CannotRun> {
    let name = program.to_string_lossy();
    let not_found = |hint: &str| CannotRun {
        exit: Exit::NOT_FOUND,
        problem: format!("{name}: there is no such command{hint}"),
    };
    if program.is_empty() {
        return Err(not_found(""));
    }
    if name.contains('/') {
        return match look(Path::new(program)) {
            Found::Program => Ok(program.into()),
            Found::Other(why) => Err(cannot(&name, why)),
            Found::Nothing => Err(not_found("")),
        };
    }
    let path = path.map_or_else(|| OsString::from(DEFAULT_PATH), OsStr::to_owned);
    let mut other = None;
    for folder in std::env::split_paths(&path) {
        // An empty entry is the working directory.
        let folder = if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder
        };
        let file = folder.join(program);
        match look(&file) {
            Found::Program => return Ok(file),
            Found::Other(why) => other = other.or(Some(cannot(&file.to_string_lossy(), why))),
            Found::Nothing => {}
        }
    }
    Err(other.unwrap_or_else(|| not_found("; it is in no folder of PATH")))
}

/// What a failed start says, should the file have changed since it was found.
pub(super) fn not_started(program: &Path, error: &io::Error) -> CannotRun {
    let name = program.to_string_lossy();
    match error.kind() {
        io::ErrorKind::NotFound => CannotRun {
            exit: Exit::NOT_FOUND,
            // The file may be there, and what it says is to run it may not.
            problem: format!("{name}: it, or the interpreter that it names, is not there"),
        },
        io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock => CannotRun {
            exit: Exit::SYSTEM,
            problem: format!("{name}: it could not be started: {error}"),
        },
        _ => cannot(&name, &error.to_string()),
    }
}

fn cannot(name: &str, why: &str) -> CannotRun {
    CannotRun {
        exit: Exit::NOT_EXECUTABLE,
        problem: format!("{name}: it cannot be run: {why}"),
    }
}

enum Found {
    Program,
    Other(&'static str),
    Nothing,
}

fn look(file: &Path) -> Found {
    match std::fs::metadata(file) {
        Ok(data) if data.is_dir() => Found::Other("it is a directory"),
        Ok(_) if access(file, AccessFlags::X_OK).is_err() => {
            Found::Other("no permission; chmod +x it, or name its interpreter")
        }
        Ok(_) => Found::Program,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Found::Other("its folder may not be searched")
        }
        Err(_) => Found::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(program: &str, path: &str) -> Result<PathBuf, Exit> {
        find(OsStr::new(program), Some(OsStr::new(path))).map_err(|cannot| cannot.exit)
    }

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        assert_eq!(status("sh", "/nowhere:/bin"), Ok("/bin/sh".into()));
        assert_eq!(status("/bin/sh", ""), Ok("/bin/sh".into()));
        assert_eq!(status("sh", "/nowhere"), Err(Exit::NOT_FOUND));
        assert_eq!(status("", "/bin"), Err(Exit::NOT_FOUND));
        assert_eq!(status("/nowhere/sh", "/bin"), Err(Exit::NOT_FOUND));
        assert_eq!(status("/etc/passwd", "/bin"), Err(Exit::NOT_EXECUTABLE));
        assert_eq!(status("passwd", "/etc"), Err(Exit::NOT_EXECUTABLE));
        assert_eq!(status("/etc", "/bin"), Err(Exit::NOT_EXECUTABLE));
        // What cannot be run does not hide what can.
        assert_eq!(status("sh", "/etc/:/bin"), Ok("/bin/sh".into()));
    }
}
