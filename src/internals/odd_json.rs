//! DynamoDB's JSON written in another way than the library's own: with spaces, escapes, and
//! numbers in any notation. What it means is the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::wire::AttributeValue;

use super::any_value::Decimal;
use super::input::Input;

pub(super) fn write(value: &AttributeValue, input: &mut Input<'_>) -> String {
    let mut writer = Writer {
        json: String::new(),
        input,
    };
    writer.value(value);
    writer.json
}

struct Writer<'a, 'b> {
    json: String,
    input: &'a mut Input<'b>,
}

impl Writer<'_, '_> {
    fn value(&mut self, value: &AttributeValue) {
        let tag = match value {
            AttributeValue::S(_) => "S",
            AttributeValue::N(_) => "N",
            AttributeValue::B(_) => "B",
            AttributeValue::Bool(_) => "BOOL",
            AttributeValue::Null => "NULL",
            AttributeValue::M(_) => "M",
            AttributeValue::L(_) => "L",
            AttributeValue::Ss(_) => "SS",
            AttributeValue::Ns(_) => "NS",
            AttributeValue::Bs(_) => "BS",
        };
        self.sign('{');
        self.text(tag);
        self.sign(':');
        match value {
            AttributeValue::S(text) => self.text(text),
            AttributeValue::N(number) => self.number(number),
            AttributeValue::B(bytes) => self.text(&BASE64.encode(bytes)),
            AttributeValue::Bool(truth) => self.json += if *truth { "true" } else { "false" },
            AttributeValue::Null => self.json += "true",
            AttributeValue::M(map) => {
                self.sign('{');
                for (at, (name, value)) in map.iter().enumerate() {
                    self.comma(at);
                    self.text(name);
                    self.sign(':');
                    self.value(value);
                }
                self.sign('}');
            }
            AttributeValue::L(list) => self.all(list, Self::value),
            AttributeValue::Ss(set) => self.all(set, |writer, text| writer.text(text)),
            AttributeValue::Ns(set) => self.all(set, Self::number),
            AttributeValue::Bs(set) => {
                self.all(set, |writer, bytes| writer.text(&BASE64.encode(bytes)));
            }
        }
        self.sign('}');
    }

    fn all<'v, T: 'v>(
        &mut self,
        elements: impl IntoIterator<Item = &'v T>,
        write: impl Fn(&mut Self, &'v T),
    ) {
        self.sign('[');
        for (at, element) in elements.into_iter().enumerate() {
            self.comma(at);
            write(self, element);
        }
        self.sign(']');
    }

    fn number(&mut self, number: &crate::Number) {
        let text = Decimal::of(number).in_odd_notation(self.input);
        self.text(&text);
    }

    fn text(&mut self, text: &str) {
        let escaping = self.input.below(3);
        self.json.push('"');
        for (at, c) in text.chars().enumerate() {
            let must = c.is_control() || matches!(c, '"' | '\\');
            match escaping {
                0 if !must => self.json.push(c),
                1 if !must && at % 2 == 0 => self.json.push(c),
                _ => self.escape(c),
            }
        }
        self.json.push('"');
    }

    /// As UTF-16, which takes two escapes beyond the Basic Multilingual Plane.
    fn escape(&mut self, c: char) {
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            self.json += &format!("\\u{unit:04x}");
        }
    }

    fn comma(&mut self, at: usize) {
        if at > 0 {
            self.sign(',');
        }
    }

    fn sign(&mut self, sign: char) {
        let before = self.input.pick(&["", " ", "\n\t", "\r"]);
        self.json.push_str(before);
        self.json.push(sign);
    }
}
