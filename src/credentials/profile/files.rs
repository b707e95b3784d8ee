//! Where the two files are, which profile is meant, and what the files hold.

use std::path::{Path, PathBuf};

use super::merged::Merged;
use super::{absent, broken};
use crate::credentials::CredentialsError;
use crate::credentials::file::{self, FileError};

const DEFAULT: &str = "default";
const CONFIG: &str = "AWS_CONFIG_FILE";
const CREDENTIALS: &str = "AWS_SHARED_CREDENTIALS_FILE";

/// What tells a variable's value.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Which profile, in which files.
#[derive(Clone)]
pub(super) struct Selected {
    pub(super) name: String,
    config: Place,
    credentials: Place,
}

/// Where a file is; without a path, there is no home for it to be in.
#[derive(Clone)]
struct Place {
    shown: String,
    path: Option<PathBuf>,
}

impl Selected {
    pub(super) fn from_environment(
        lookup: Lookup<'_>,
        chosen: Option<&str>,
    ) -> Result<Self, CredentialsError> {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let name = chosen.map(str::to_owned).or_else(|| set("AWS_PROFILE"));
        Ok(Self {
            name: name.unwrap_or_else(|| DEFAULT.to_owned()),
            config: Place::of(&set, CONFIG, "~/.aws/config")?,
            credentials: Place::of(&set, CREDENTIALS, "~/.aws/credentials")?,
        })
    }

    pub(super) async fn read(&self) -> Result<Texts, CredentialsError> {
        Ok(Texts {
            config: self.config.read().await?,
            credentials: self.credentials.read().await?,
        })
    }

    pub(super) fn read_now(&self) -> Result<Texts, CredentialsError> {
        Ok(Texts {
            config: self.config.read_now()?,
            credentials: self.credentials.read_now()?,
        })
    }

    /// Errors where there is no such profile; only `default` may then be passed over.
    pub(super) fn check(&self, merged: &Merged<'_>, texts: &Texts) -> Result<(), CredentialsError> {
        if merged.has_profile(&self.name) {
            return Ok(());
        }
        let head = if self.name == DEFAULT {
            "["
        } else {
            "[profile "
        };
        let (config, credentials) = (&texts.config.name, &texts.credentials.name);
        let problem = [
            "there is no ",
            head,
            &self.name,
            "] in ",
            config,
            " and no [",
            &self.name,
            "] in ",
            credentials,
        ];
        Err(match self.name == DEFAULT {
            true => absent(&problem.concat()),
            false => broken(&problem.concat()),
        })
    }
}

impl Place {
    /// The file that a variable names, or else the usual one.
    fn of(set: Lookup<'_>, variable: &str, usual: &str) -> Result<Self, CredentialsError> {
        let named = set(variable);
        let shown = named.as_deref().unwrap_or(usual);
        let Some(within) = in_home(shown) else {
            return Ok(Self {
                shown: shown.to_owned(),
                path: Some(shown.into()),
            });
        };
        let user_profile = || cfg!(windows).then(|| set("USERPROFILE")).flatten();
        match set("HOME").or_else(user_profile) {
            Some(home) => {
                let path = Path::new(&home).join(within);
                Ok(Self {
                    shown: path.to_string_lossy().into_owned(),
                    path: Some(path),
                })
            }
            None if named.is_none() => Ok(Self {
                shown: [usual, " (HOME is not set)"].concat(),
                path: None,
            }),
            None => {
                let problem = [variable, " begins with ~, but HOME is not set"];
                Err(broken(&problem.concat()))
            }
        }
    }

    async fn read(&self) -> Result<Text, CredentialsError> {
        match &self.path {
            Some(path) => self.text(file::read(path.clone()).await),
            None => self.text(Ok(String::new())),
        }
    }

    fn read_now(&self) -> Result<Text, CredentialsError> {
        match &self.path {
            Some(path) => self.text(file::read_now(path)),
            None => self.text(Ok(String::new())),
        }
    }

    fn text(&self, read: Result<String, FileError>) -> Result<Text, CredentialsError> {
        match read {
            Ok(content) => Ok(Text {
                name: self.shown.clone(),
                content,
            }),
            Err(error) if is_missing(&error) => Ok(Text {
                name: [&self.shown, " (no such file)"].concat(),
                content: String::new(),
            }),
            Err(error) => {
                let problem = [&self.shown, " ", &error.to_string()];
                Err(broken(&problem.concat()))
            }
        }
    }
}

/// What follows `~` and a separator.
fn in_home(path: &str) -> Option<&str> {
    let rest = path.strip_prefix('~')?;
    let is_separator = |it: char| it == '/' || (cfg!(windows) && it == '\\');
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix(is_separator)
}

/// There is no such file, or its folder is none, as with `/dev/null` for a home.
fn is_missing(error: &FileError) -> bool {
    let no_folder = std::io::ErrorKind::NotADirectory;
    error.is_not_found() || matches!(error, FileError::Io(error) if error.kind() == no_folder)
}

/// A file that was read, and its name in errors. It may have secrets in it.
pub(super) struct Text {
    pub(super) name: String,
    pub(super) content: String,
}

pub(super) struct Texts {
    pub(super) config: Text,
    pub(super) credentials: Text,
}

impl Texts {
    pub(super) fn merged(&self) -> Result<Merged<'_>, CredentialsError> {
        Merged::parse(&self.config, &self.credentials)
    }
}
