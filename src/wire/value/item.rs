//! Items: attributes by name.

use std::collections::BTreeMap;

use super::{AttributeValue, Extent, InvalidValue};

/// An item: attributes by name.
///
/// # Examples
///
/// ```
/// use dynolock::{AttributeValue, Item};
///
/// let item = Item::from_iter([("id", "job-42"), ("state", "new")]);
/// assert_eq!(item.get("state"), Some(&AttributeValue::from("new")));
/// assert_eq!(item.get("step"), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item(
    /// In the order of their names, none of them twice: an item is small, read more often than
    /// written, and kept as long as a lease. A list takes half the memory of a tree.
    Vec<(String, AttributeValue)>,
);

/// The attributes of an [`Item`], by reference; see [`Item::iter`].
pub type ItemIter<'a> = std::iter::Map<
    std::slice::Iter<'a, (String, AttributeValue)>,
    fn(&'a (String, AttributeValue)) -> (&'a String, &'a AttributeValue),
>;

impl Item {
    /// An item without attributes.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value of an attribute; `None` where the item does not have it.
    ///
    /// [`get_as`](Self::get_as) gives it as one of Rust's types.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&AttributeValue> {
        let at = self.place(name).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// Whether the item has an attribute of that name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Sets an attribute, and returns its value of before.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        value: impl Into<AttributeValue>,
    ) -> Option<AttributeValue> {
        let (name, value) = (name.into(), value.into());
        match self.place(&name) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (name, value));
                None
            }
        }
    }

    /// Takes an attribute out of the item.
    pub fn remove(&mut self, name: &str) -> Option<AttributeValue> {
        let at = self.place(name).ok()?;
        Some(self.0.remove(at).1)
    }

    /// Names and values, in the order of the names' bytes.
    ///
    /// ```
    /// # use dynolock::Item;
    /// let item = Item::from_iter([("state", "new"), ("id", "job-42")]);
    /// let names: Vec<_> = item.iter().map(|(name, _)| name.as_str()).collect();
    /// assert_eq!(names, ["id", "state"]);
    /// ```
    pub fn iter(&self) -> ItemIter<'_> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Gives back the memory of attributes that were taken out.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }

    /// Where an attribute is, or would be.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(it, _)| it.as_str().cmp(name))
    }

    /// How many attributes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no attribute.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that the item takes, names included, by DynamoDB's rules.
    ///
    /// See [`AttributeValue::size`].
    #[must_use]
    pub fn size(&self) -> usize {
        self.extent().size
    }

    /// Checks the item against DynamoDB's limits on nesting, names and size.
    ///
    /// # Errors
    ///
    /// [`InvalidValue`] as for [`AttributeValue::check`]; the 400 KB are those of the whole item.
    ///
    /// # Examples
    ///
    /// ```
    /// use dynolock::Item;
    ///
    /// let refused = Item::from_iter([("", 1)]).check().unwrap_err();
    /// assert_eq!(refused.to_string(), "attribute name has 0 bytes; allowed are 1 to 65535");
    /// ```
    pub fn check(&self) -> Result<(), InvalidValue> {
        self.extent().check()
    }

    pub(super) fn extent(&self) -> Extent {
        let mut extent = Extent::of(self.0.iter().map(|(_, value)| value));
        for (name, _) in &self.0 {
            extent.add_name(name);
        }
        extent
    }
}

impl<K: Into<String>, V: Into<AttributeValue>> Extend<(K, V)> for Item {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, attributes: I) {
        // In any order, however many there are.
        let mut map = map_of(std::mem::take(self));
        for (name, value) in attributes {
            map.insert(name.into(), value.into());
        }
        *self = Self::from(map);
    }
}

impl<K: Into<String>, V: Into<AttributeValue>> FromIterator<(K, V)> for Item {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(attributes: I) -> Self {
        let mut item = Self::new();
        item.extend(attributes);
        item
    }
}

impl From<BTreeMap<String, AttributeValue>> for Item {
    fn from(attributes: BTreeMap<String, AttributeValue>) -> Self {
        Self(attributes.into_iter().collect())
    }
}

impl IntoIterator for Item {
    type Item = (String, AttributeValue);
    type IntoIter = std::vec::IntoIter<(String, AttributeValue)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Item {
    type Item = (&'a String, &'a AttributeValue);
    type IntoIter = ItemIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One by one: `collect` would sort first what is sorted already.
pub(super) fn map_of(item: Item) -> BTreeMap<String, AttributeValue> {
    let mut map = BTreeMap::new();
    for (name, value) in item {
        map.insert(name, value);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_a_map_of_attributes() {
        let mut item = Item::new();
        assert!(item.is_empty());
        assert_eq!(item.insert("step", 1), None);
        assert_eq!(item.insert("step", 2), Some(1.into()));
        item.extend([("id", "x")]);
        assert_eq!(
            (item.len(), item.contains("id"), item.contains("no")),
            (2, true, false)
        );
        let names: Vec<_> = item.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["id", "step"]);
        assert_eq!((&item).into_iter().count(), 2);
        assert_eq!(item.clone().into_iter().collect::<Item>(), item);
        assert_eq!(item.remove("step"), Some(2.into()));
        assert_eq!(item.get("step"), None);
    }

    proptest::proptest! {
        /// Whatever is done to it, in whatever order, it is what a map would be.
        #[test]
        fn an_item_is_a_sorted_map(
            given in proptest::collection::vec(("[a-d]{0,2}", 0..9), 0..20),
            later in proptest::collection::vec(("[a-d]{0,2}", 0..9), 0..20),
            single in proptest::collection::vec(("[a-d]{0,2}", 0..9, proptest::bool::ANY), 0..9),
        ) {
            let mut map: BTreeMap<String, AttributeValue> = BTreeMap::new();
            let values = |(name, value): &(String, i32)| (name.clone(), AttributeValue::from(*value));
            let mut item: Item = given.iter().map(values).collect();
            map.extend(given.iter().map(values));
            item.extend(later.iter().map(values));
            map.extend(later.iter().map(values));
            for (name, value, is_set) in single {
                let value = AttributeValue::from(value);
                match is_set {
                    true => assert_eq!(item.insert(&name, value.clone()), map.insert(name, value)),
                    false => assert_eq!(item.remove(&name), map.remove(&name)),
                }
            }
            assert!(item.iter().eq(&map));
            assert_eq!(item.len(), map.len());
            for name in map.keys().chain([&"e".to_owned()]) {
                assert_eq!(item.get(name), map.get(name));
                assert_eq!(item.contains(name), map.contains_key(name));
            }
            assert_eq!(Item::from(map.clone()), item);
            assert_eq!(AttributeValue::from(item.clone()), AttributeValue::M(map.clone()));
            assert!(item.into_iter().eq(map));
        }
    }
}
