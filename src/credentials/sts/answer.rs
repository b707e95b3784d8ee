//! The XML that STS answers with.

use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, Event};
use quick_xml::reader::Reader;
use serde_json::{Map, Value};

/// The texts of what lies directly in the first element `parent`, by name, without regard to
/// namespaces; the first of each name.
///
/// `None` where there is no such element, and where it is not well-formed XML to its end, or has a
/// document type, which no service has a use for.
pub(super) fn children(xml: &[u8], parent: &str) -> Option<Map<String, Value>> {
    let mut reader = Reader::from_str(std::str::from_utf8(xml).ok()?);
    let mut search = Search::default();
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => search.open(tag.local_name().as_ref(), parent),
            Event::Empty(tag) => {
                search.open(tag.local_name().as_ref(), parent);
                search.close();
            }
            Event::End(_) => search.close(),
            Event::Text(text) => search.add(&text.xml10_content()),
            Event::CData(text) => search.add(&text.xml10_content()),
            Event::GeneralRef(reference) => search.add(&meaning(&reference)?),
            Event::Eof if search.depth == 0 && search.is_over => return Some(search.fields),
            Event::Eof | Event::DocType(_) => return None,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}

/// What `&...;` stands for.
fn meaning(reference: &BytesRef<'_>) -> Option<String> {
    match reference.resolve_char_ref().ok()? {
        Some(c) => Some(c.into()),
        None => resolve_xml_entity(reference).map(String::from),
    }
}

#[derive(Default)]
struct Search {
    /// How many elements are open.
    depth: usize,
    /// How many were when the parent was.
    parent: Option<usize>,
    is_over: bool,
    name: String,
    text: String,
    fields: Map<String, Value>,
}

impl Search {
    fn open(&mut self, name: &str, parent: &str) {
        self.depth += 1;
        if self.is_child() {
            self.name = name.into();
            self.text.clear();
        } else if self.parent.is_none() && !self.is_over && name == parent {
            self.parent = Some(self.depth);
        }
    }

    fn add(&mut self, text: &str) {
        if self.is_child() {
            self.text.push_str(text);
        }
    }

    fn close(&mut self) {
        if self.is_child() && !self.fields.contains_key(&self.name) {
            let text = Value::String(self.text.trim().into());
            self.fields.insert(self.name.clone(), text);
        } else if self.parent == Some(self.depth) {
            self.parent = None;
            self.is_over = true;
        }
        self.depth = self.depth.saturating_sub(1);
    }

    /// The innermost open element lies directly in the parent.
    fn is_child(&self) -> bool {
        self.parent.is_some_and(|parent| self.depth == parent + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(xml: &str) -> Option<String> {
        children(xml.as_bytes(), "P").map(|fields| Value::Object(fields).to_string())
    }

    #[test]
    fn the_children_of_the_first_parent() {
        for (xml, fields) in [
            ("<P><a>1</a><b>2</b></P>", r#"{"a":"1","b":"2"}"#),
            (
                "<?xml version='1.0'?><r xmlns='u:x'><q><P>\n <a>\n1 </a>\n</P></q></r>\n",
                r#"{"a":"1"}"#,
            ),
            ("<n:P xmlns:n='u:x'><n:a>1</n:a></n:P>", r#"{"a":"1"}"#),
            ("<P/>", "{}"),
            ("<P><a/><b></b></P>", r#"{"a":"","b":""}"#),
            ("<P>x<a>1</a>y</P>", r#"{"a":"1"}"#),
            (
                "<r><a>0</a><P><a>1</a><a>2</a></P><P><a>3</a><b>4</b></P></r>",
                r#"{"a":"1"}"#,
            ),
            (
                "<P><a>1<b>2</b>3</a><P><c>4</c></P></P>",
                r#"{"P":"","a":"13"}"#,
            ),
            ("<P><a>&lt;&amp;&#65;&#x42;&gt;</a></P>", r#"{"a":"<&AB>"}"#),
            (
                "<P><a><!-- no --><![CDATA[<1>]]><?no no?></a></P>",
                r#"{"a":"<1>"}"#,
            ),
        ] {
            assert_eq!(read(xml).as_deref(), Some(fields), "{xml}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_nothing() {
        for xml in [
            "",
            "text",
            "{}",
            "<Q><a>1</a></Q>",
            "<P><a>1</a>",
            "<r><P><a>1</a></P>",
            "<P><a>1</P></a>",
            "</P>",
            "<P><a>1",
            "<P><a>&unknown;</a></P>",
            "<P><a>&#0;</a></P>",
            "<P><a>&#xD800;</a></P>",
            "<P><a>& </a></P>",
            "<!DOCTYPE P [<!ENTITY e 'x'>]><P><a>&e;</a></P>",
            "<!DOCTYPE P><P><a>1</a></P>",
        ] {
            assert_eq!(read(xml), None, "{xml}");
        }
        assert_eq!(children(b"<P><a>\xff</a></P>", "P"), None);
        let deep = "<P>".repeat(100_000);
        assert_eq!(read(&deep), None);
    }
}
