//! Structured input: what is left of the bytes, taken piece by piece.

use arbitrary::Unstructured;

/// Bytes to draw choices from. Past their end every choice is the first.
///
/// Every choice takes one byte, and the first choices are printable, so that seeds can be
/// written by hand: `0` to `9` and `a` to `z` choose by place, any other byte by its number.
pub(super) struct Input<'a>(Unstructured<'a>);

impl<'a> Input<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let byte = self.byte();
        let place = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'z' => byte - b'a',
            _ => byte,
        };
        usize::from(place) % bound
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub(super) fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// As many bytes as the next one says; fewer where the input ends.
    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let wanted = self.below(256);
        let length = wanted.min(self.0.len());
        self.0.bytes(length).unwrap_or_default()
    }

    pub(super) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or_default()
    }
}
