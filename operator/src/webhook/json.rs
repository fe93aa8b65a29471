//! JSON text, taken apart by one level: the members of an object, the items of an array, each as it is written. Depth costs
//! nothing, and what a part says is up to who reads it.

/// A member of an object.
pub(super) struct Member<'a> {
    /// Its name, without the quotation marks and as it is written.
    pub(super) name: &'a str,
    /// Its value.
    pub(super) value: &'a str,
}

/// The members of an object; `None` if it is none.
pub(super) fn members(object: &str) -> Option<Vec<Member<'_>>> {
    let parts = parts(object, '{', '}')?;
    parts.into_iter().map(member).collect()
}

/// The items of an array; `None` if it is none.
pub(super) fn items(array: &str) -> Option<Vec<&str>> {
    parts(array, '[', ']')
}

fn member(part: &str) -> Option<Member<'_>> {
    let end = 1 + string_end(part.strip_prefix('"')?)?;
    let value = part[end + 1..].trim_ascii_start().strip_prefix(':')?.trim_ascii();
    (!value.is_empty()).then_some(Member { name: &part[1..end], value })
}

/// What stands between two brackets, apart by its commas.
fn parts(text: &str, open: char, close: char) -> Option<Vec<&str>> {
    let inner = text.trim_ascii().strip_prefix(open)?;
    let (mut parts, mut begin, mut at, mut depth) = (Vec::new(), 0, 0, 0_usize);
    loop {
        let byte = *inner.as_bytes().get(at)?;
        at += 1;
        match byte {
            b'"' => at += 1 + string_end(&inner[at..])?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => depth -= 1,
            b'}' | b']' => break,
            b',' if depth == 0 => {
                parts.push(inner[begin..at - 1].trim_ascii());
                begin = at;
            }
            _ => {}
        }
    }
    let last = inner[begin..at - 1].trim_ascii();
    if !(parts.is_empty() && last.is_empty()) {
        parts.push(last);
    }
    (inner[at - 1..].trim_ascii_end() == close.to_string() && parts.iter().all(|part| !part.is_empty()))
        .then_some(parts)
}

/// Where a string ends whose opening quotation mark is behind.
fn string_end(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at),
            b'\\' => _ = bytes.next(),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(object: &str) -> Option<Vec<(&str, &str)>> {
        Some(members(object)?.into_iter().map(|member| (member.name, member.value)).collect())
    }

    #[test]
    fn an_object_is_taken_apart_by_one_level() {
        let members = split(" {\"a\" : {\"b\": [1, \"}\"]} , \"c\\\"\":\"\\\\\",\"é\": 1 } ").unwrap();
        assert_eq!(members, [("a", "{\"b\": [1, \"}\"]}"), ("c\\\"", "\"\\\\\""), ("é", "1")]);
        assert_eq!(split("{}").unwrap(), []);
        assert_eq!(items("[ [1, 2], {} ,\"]\" ]").unwrap(), ["[1, 2]", "{}", "\"]\""]);
    }

    #[test]
    fn what_is_cut_short_or_something_else_is_none() {
        for text in [
            "",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{a:1}",
            "{\"a\":1}}",
            "{\"a\":1]",
            "[1]",
            "{,}",
            "{\"\\",
            "\"",
        ] {
            assert!(members(text).is_none(), "{text}");
        }
        assert!(items("[1,]").is_none());
    }
}
