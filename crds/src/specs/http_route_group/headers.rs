//! `headers`: a map in SMI's text, a list of maps with one key each in its official CRD. Both are read; the list is written.

use std::collections::BTreeMap;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// Header conditions, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Headers {
    items: Vec<BTreeMap<String, String>>,
}

impl Headers {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Every name with the regular expression for its value, in the order of the list, and within an item by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.items.iter().flatten().map(|(name, regex)| (name.as_str(), regex.as_str()))
    }

    /// The index of the first item that has not exactly one key: such a list is not well-formed.
    pub fn first_misshapen_item(&self) -> Option<usize> {
        self.items.iter().position(|item| item.len() != 1)
    }
}

impl<N: Into<String>, R: Into<String>> FromIterator<(N, R)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, R)>>(pairs: I) -> Self {
        let items = pairs.into_iter().map(|(name, regex)| BTreeMap::from([(name.into(), regex.into())])).collect();
        Self { items }
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map of header names to regular expressions, or a list of such maps with one key each")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Headers, A::Error> {
        let pairs = BTreeMap::<String, String>::deserialize(MapAccessDeserializer::new(map))?;
        Ok(pairs.into_iter().collect())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Headers, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Headers { items })
    }
}

#[cfg(test)]
mod tests {
    use super::Headers;

    fn read(json: &str) -> Headers {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_map_and_a_list_of_one_key_maps_are_the_same_and_the_list_is_written() {
        let map = read(r#"{"user-agent": ".*Android.*", "cookie": "a"}"#);
        let list = read(r#"[{"cookie": "a"}, {"user-agent": ".*Android.*"}]"#);
        assert_eq!(map, list);
        assert_eq!(serde_json::to_string(&map).unwrap(), r#"[{"cookie":"a"},{"user-agent":".*Android.*"}]"#);
    }

    #[test]
    fn several_keys_in_one_item_can_be_told_from_one() {
        assert_eq!(read(r#"[{"a": "1"}, {"b": "2", "c": "3"}]"#).first_misshapen_item(), Some(1));
        assert_eq!(read(r#"[{}]"#).first_misshapen_item(), Some(0));
        assert_eq!(read(r#"{"b": "2", "c": "3"}"#).first_misshapen_item(), None);
    }

    #[test]
    fn a_value_that_is_no_string_is_refused_with_words_that_help() {
        let error = serde_json::from_str::<Headers>("\"x\"").unwrap_err().to_string();
        assert!(error.contains("expected a map of header names"), "{error}");
    }
}
