//! Both files as one: for each key, the credentials file counts before the config file.

use super::broken;
use super::files::Text;
use super::parse::{Format, Kind, Malformed, Property, Section, parse};
use crate::credentials::CredentialsError;

/// What the two files say. Values may be secrets, so it does not show itself.
pub(super) struct Merged<'a> {
    /// In the order in which they are asked.
    files: [File<'a>; 2],
}

struct File<'a> {
    name: &'a str,
    properties: Vec<Property<'a>>,
    /// There is a `[profile default]`, beside which `[default]` does not count.
    has_profile_default: bool,
}

/// A value, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) value: &'a str,
    file: &'a str,
    line: usize,
}

impl<'a> Merged<'a> {
    /// Errors at a malformed line, naming file and line.
    pub(super) fn parse(config: &'a Text, credentials: &'a Text) -> Result<Self, CredentialsError> {
        Ok(Self {
            files: [
                File::parse(credentials, Format::Credentials)?,
                File::parse(config, Format::Config)?,
            ],
        })
    }

    pub(super) fn has_profile(&self, name: &str) -> bool {
        let mut files = self.files.iter();
        files.any(|file| file.in_profile(name).next().is_some())
    }

    /// The value of a key of a profile; `None` where it is not there or empty.
    ///
    /// Errors where it goes on over several lines, as no value that is used here does.
    pub(super) fn get(
        &self,
        profile: &str,
        key: &str,
    ) -> Result<Option<Found<'a>>, CredentialsError> {
        for file in &self.files {
            let found = file.in_profile(profile).find(|it| it.is("", key));
            if let Some(property) = found {
                return file.value(property);
            }
        }
        Ok(None)
    }

    /// A property of a service in `[services section]`; `None` where there is no such section.
    pub(super) fn service(
        &self,
        section: &str,
        service: &str,
        key: &str,
    ) -> Option<Result<Option<Found<'a>>, CredentialsError>> {
        let section = Section {
            kind: Kind::Services,
            name: section,
        };
        for file in &self.files {
            let mut properties = file.properties.iter().rev();
            let mut properties = properties
                .by_ref()
                .filter(|it| it.section == section)
                .peekable();
            if properties.peek().is_some() {
                return Some(match properties.find(|it| it.is(service, key)) {
                    Some(property) => file.value(property),
                    None => Ok(None),
                });
            }
        }
        None
    }
}

impl<'a> File<'a> {
    fn parse(text: &'a Text, format: Format) -> Result<Self, CredentialsError> {
        let properties = match parse(&text.content, format) {
            Ok(properties) => properties,
            Err(Malformed { line, problem }) => return Err(broken_at(&text.name, line, problem)),
        };
        let profile_default = Section {
            kind: Kind::Profile,
            name: "default",
        };
        Ok(Self {
            name: &text.name,
            has_profile_default: properties.iter().any(|it| it.section == profile_default),
            properties,
        })
    }

    /// What stands in the sections of a profile, the last first.
    fn in_profile(&self, name: &str) -> impl Iterator<Item = &Property<'a>> {
        self.properties.iter().rev().filter(move |property| {
            property.section.name == name
                && match property.section.kind {
                    Kind::Profile => true,
                    Kind::PlainDefault => !self.has_profile_default,
                    Kind::Services | Kind::Other => false,
                }
        })
    }

    fn value(&self, property: &Property<'a>) -> Result<Option<Found<'a>>, CredentialsError> {
        let found = Found {
            value: property.value,
            file: self.name,
            line: property.line,
        };
        if property.goes_on {
            let problem = ["the value of ", property.key, " goes on in another line"];
            return Err(found.broken(&problem.concat()));
        }
        Ok(Some(found).filter(|found| !found.value.is_empty()))
    }
}

impl Property<'_> {
    /// Keys are the same in upper and lower case.
    fn is(&self, group: &str, key: &str) -> bool {
        self.group.eq_ignore_ascii_case(group) && self.key.eq_ignore_ascii_case(key)
    }
}

impl Found<'_> {
    /// An error at this place. The problem must not show a secret.
    pub(super) fn broken(&self, problem: &str) -> CredentialsError {
        broken_at(self.file, self.line, problem)
    }
}

fn broken_at(file: &str, line: usize, problem: &str) -> CredentialsError {
    let place = [file, ":", &line.to_string(), ": ", problem];
    broken(&place.concat())
}
