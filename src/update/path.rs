//! Document paths: which attribute, and which element inside it.

use std::fmt;

/// The place of a value in an item: an attribute, or an element of the maps and lists in it.
///
/// Text is read as `a.b[3].c`: names behind dots are keys of maps, numbers in brackets are places
/// in lists, counted from 0. Names may hold any other character, spaces included, and may be
/// reserved words. A name that has dots or brackets of its own is built step by step.
///
/// ```
/// use dynolock::Path;
///
/// assert_eq!(Path::from("a.b[3]"), Path::attribute("a").key("b").index(3));
/// assert_eq!(Path::attribute("a.b").key("c").to_string(), r#""a.b".c"#);
/// ```
///
/// Text that is no path is refused when it is used, by an error that quotes it. So are names of no
/// bytes or of more than 65,535, places above 409,600, which no list can have, and paths of more
/// than 32 steps
/// ([AWS's limits](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html)).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Path(Result<Steps, Malformed>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Malformed {
    text: String,
    problem: &'static str,
}

/// The steps of a path; the first is a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Steps(pub(super) Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    Name(String),
    Index(usize),
}

/// Steps down to the deepest value that an item can hold.
const MAX_STEPS: usize = 32;
/// Bytes in the name of an attribute that is in no index, and in the key of a map.
const MAX_NAME: usize = 65_535;
/// An item of 400 KB has no list with so many elements.
const MAX_INDEX: usize = 400 * 1024;

impl Path {
    /// The attribute of that name, whatever characters it has.
    pub fn attribute(name: impl Into<String>) -> Self {
        Self(Ok(Steps(vec![Step::Name(name.into())])))
    }

    /// The value of that key, inside the map at this path.
    #[must_use]
    pub fn key(self, name: impl Into<String>) -> Self {
        self.then(Step::Name(name.into()))
    }

    /// The element at that place, counted from 0, inside the list at this path.
    #[must_use]
    pub fn index(self, place: usize) -> Self {
        self.then(Step::Index(place))
    }

    fn then(mut self, step: Step) -> Self {
        if let Ok(steps) = &mut self.0 {
            steps.0.push(step);
        }
        self
    }

    pub(super) fn steps(&self) -> Result<&Steps, String> {
        self.0.as_ref().map_err(|malformed| {
            let Malformed { text, problem } = malformed;
            format!("the path `{text}` is malformed: {problem}")
        })
    }
}

impl From<&str> for Path {
    fn from(text: &str) -> Self {
        Self(parse(text).map_err(|problem| Malformed {
            text: text.to_owned(),
            problem,
        }))
    }
}

impl From<String> for Path {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for Path {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(steps) => write!(f, "{steps}"),
            Err(malformed) => f.write_str(&malformed.text),
        }
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({self})")
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Name(name) if name.is_empty() || name.contains(['.', '[', ']']) => {
                    write!(f, "{dot}{name:?}")?;
                }
                Step::Name(name) => write!(f, "{dot}{name}")?,
            }
        }
        Ok(())
    }
}

impl Steps {
    /// The attribute that the path begins at.
    pub(super) fn attribute(&self) -> Option<&str> {
        self.names().next()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::Index(_) => None,
        })
    }

    /// Checks the path against DynamoDB's limits.
    pub(super) fn check(&self) -> Result<(), String> {
        let steps = self.0.len();
        if steps > MAX_STEPS {
            return Err(format!(
                "the path `{self}` has {steps} steps; up to {MAX_STEPS} are allowed"
            ));
        }
        for step in &self.0 {
            match step {
                Step::Name(name) if name.is_empty() || name.len() > MAX_NAME => {
                    let length = name.len();
                    return Err(format!(
                        "the path `{self}` has a name of {length} bytes there; 1 to {MAX_NAME} are allowed"
                    ));
                }
                Step::Index(index) if *index > MAX_INDEX => {
                    return Err(format!(
                        "the path `{self}` has the place {index}; no list has more than {MAX_INDEX}"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether DynamoDB refuses to change both in one update: one lies inside the other, or they
    /// take the same value for a map and for a list.
    pub(super) fn conflicts(&self, other: &Self) -> bool {
        let differing = self.0.iter().zip(&other.0).find(|(one, two)| one != two);
        !matches!(
            differing,
            Some((Step::Name(_), Step::Name(_)) | (Step::Index(_), Step::Index(_)))
        )
    }
}

/// A place in a list, as it is written in brackets.
pub(super) fn index(digits: &str) -> Option<usize> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    let index = is_plain.then(|| digits.parse().ok())??;
    (index <= MAX_INDEX).then_some(index)
}

fn parse(text: &str) -> Result<Steps, &'static str> {
    let mut steps = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
        let (name, mut after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if name.is_empty() {
            return Err("a name is missing");
        }
        steps.push(Step::Name(name.to_owned()));
        while let Some(opened) = after.strip_prefix('[') {
            let Some((digits, behind)) = opened.split_once(']') else {
                return Err("a bracket is not closed");
            };
            let place = index(digits).ok_or("brackets hold the place in a list, up to 409600")?;
            steps.push(Step::Index(place));
            after = behind;
        }
        rest = match (after.is_empty(), after.strip_prefix('.')) {
            (true, _) => return Ok(Steps(steps)),
            (false, Some(behind)) => behind,
            (false, None) => return Err("a dot is missing, or a bracket is not opened"),
        };
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
