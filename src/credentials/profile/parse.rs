//! The lines of the shared files: sections, their properties, and properties nested in these.

/// What stands around names and values. No other white space counts as such.
const BLANK: [char; 2] = [' ', '\t'];
const COMMENT: [char; 2] = ['#', ';'];

/// Which of the two files it is: they name their sections in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `[profile name]`, `[default]`, `[services name]`.
    Config,
    /// `[name]`.
    Credentials,
}

/// A property, or a section's head, which has no key. Its value may be a secret.
pub(super) struct Property<'a> {
    pub(super) section: Section<'a>,
    /// The key that it is nested under, or nothing.
    pub(super) group: &'a str,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
    /// From 1.
    pub(super) line: usize,
    /// Whether the value has more lines, which are not kept.
    pub(super) goes_on: bool,
}

/// What the head of a section says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Profile,
    /// `[default]` in the config file, which counts where there is no `[profile default]`.
    PlainDefault,
    Services,
    /// What is of no use here, such as `[sso-session name]`.
    Other,
}

/// A line that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// From 1.
    pub(super) line: usize,
    /// It shows nothing of the line.
    pub(super) problem: &'static str,
}

/// Takes a file apart. What is there twice is there twice: the later counts.
///
/// A line that is indented deeper than the property before it belongs to that property. Errors at
/// the first malformed line, in whichever section.
/// [Format](https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html)
pub(super) fn parse(text: &str, format: Format) -> Result<Vec<Property<'_>>, Malformed> {
    let mut reader = Reader {
        format,
        section: None,
        open: None,
        properties: Vec::new(),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (nth, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let content = line.trim_start_matches(BLANK);
        let indent = line.len() - content.len();
        let content = content.trim_end_matches(BLANK);
        if content.is_empty() || content.starts_with(COMMENT) {
            continue;
        }
        let line = nth + 1;
        if let Err(problem) = reader.read(content, indent, line) {
            return Err(Malformed { line, problem });
        }
    }
    Ok(reader.properties)
}

struct Reader<'a> {
    format: Format,
    section: Option<Section<'a>>,
    /// The property that an indented line belongs to.
    open: Option<Open<'a>>,
    properties: Vec<Property<'a>>,
}

#[derive(Clone, Copy)]
struct Open<'a> {
    indent: usize,
    key: &'a str,
    /// Whether it has no value of its own, so that properties may be nested in it.
    is_empty: bool,
}

impl<'a> Reader<'a> {
    fn read(&mut self, content: &'a str, indent: usize, line: usize) -> Result<(), &'static str> {
        match self.open {
            Some(open) if indent > open.indent => {
                if open.is_empty {
                    let (key, value) = key_and_value(content)?;
                    return self.push(open.key, key, value, line);
                }
                if let Some(property) = self.properties.last_mut() {
                    property.goes_on = true;
                }
                Ok(())
            }
            _ if content.starts_with('[') => {
                self.section = Some(section(content, self.format)?);
                self.open = None;
                self.push("", "", "", line)
            }
            _ => {
                let (key, value) = key_and_value(content)?;
                self.open = Some(Open {
                    indent,
                    key,
                    is_empty: value.is_empty(),
                });
                self.push("", key, value, line)
            }
        }
    }

    fn push(
        &mut self,
        group: &'a str,
        key: &'a str,
        value: &'a str,
        line: usize,
    ) -> Result<(), &'static str> {
        let section = self.section.ok_or("stands before the first section")?;
        self.properties.push(Property {
            section,
            group,
            key,
            value,
            line,
            goes_on: false,
        });
        Ok(())
    }
}

fn key_and_value(content: &str) -> Result<(&str, &str), &'static str> {
    let content = without_comment(content);
    let (key, value) = content.split_once('=').ok_or("has no =")?;
    let key = key.trim_end_matches(BLANK);
    if key.is_empty() {
        return Err("has no name before the =");
    }
    Ok((key, value.trim_start_matches(BLANK)))
}

/// What stands before the first `#` or `;` that has white space before it.
fn without_comment(content: &str) -> &str {
    for (at, _) in content.match_indices(COMMENT) {
        let (before, _) = content.split_at(at);
        if before.ends_with(BLANK) {
            return before.trim_end_matches(BLANK);
        }
    }
    content
}

/// `[name]` or, in the config file, `[kind name]`.
fn section(content: &str, format: Format) -> Result<Section<'_>, &'static str> {
    let inside = content.strip_prefix('[').unwrap_or(content);
    let inside = inside.trim_start_matches(BLANK);
    let (kind, inside) = match format {
        Format::Config => split_kind(inside),
        Format::Credentials => (None, inside),
    };
    let (name, rest) = name(inside)?;
    let rest = rest.trim_start_matches(BLANK);
    let rest = rest.strip_prefix(']').ok_or("is a section without ]")?;
    let rest = rest.trim_start_matches(BLANK);
    if !rest.is_empty() && !rest.starts_with(COMMENT) {
        return Err("has something after the ] of a section");
    }
    if name.is_empty() {
        return Err("is a section without a name");
    }
    let kind = match (format, kind) {
        (Format::Credentials, _) | (_, Some("profile")) => Kind::Profile,
        (_, Some("services")) => Kind::Services,
        (_, None) if name == "default" => Kind::PlainDefault,
        _ => Kind::Other,
    };
    Ok(Section { kind, name })
}

/// Takes the first of two words off; none where there is but one.
fn split_kind(inside: &str) -> (Option<&str>, &str) {
    let Some((kind, rest)) = inside.split_once(BLANK) else {
        return (None, inside);
    };
    let rest = rest.trim_start_matches(BLANK);
    if kind.contains([']', '"', '\'', '#', ';']) || rest.starts_with(']') {
        return (None, inside);
    }
    (Some(kind), rest)
}

/// A name, in quotes or not, and what follows it.
fn name(inside: &str) -> Result<(&str, &str), &'static str> {
    for quote in ['"', '\''] {
        if let Some(quoted) = inside.strip_prefix(quote) {
            return quoted
                .split_once(quote)
                .ok_or("has a quote that is not closed");
        }
    }
    let end = inside.find([']', '#', ';']);
    let (name, rest) = inside.split_at(end.unwrap_or(inside.len()));
    Ok((name.trim_end_matches(BLANK), rest))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
