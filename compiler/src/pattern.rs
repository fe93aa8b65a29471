//! Regular expressions: only what our parser and RE2 (Envoy's) read alike, and not too large.
//!
//! Nothing is ever matched here. The expression is parsed into its syntax, each node of which is on a list of what
//! both read alike, and its size as an RE2 program is estimated from above.

use regex_syntax::ast::{
    Assertion, AssertionKind, Ast, ClassAsciiKind, ClassBracketed, ClassSet, ClassSetItem, Flag, FlagsItemKind, Group,
    GroupKind, HexLiteralKind, Literal, LiteralKind, Repetition, RepetitionKind, RepetitionRange, parse::ParserBuilder,
};

use crate::{Code, codes};

/// The longest expression, in bytes.
pub const LONGEST: usize = 1_024;
/// The largest program, in RE2 instructions by our estimate, which is above the true size. Envoy's
/// `re2.max_program_size.error_level` has to be at least this.
pub const LARGEST: u64 = 5_000;
/// RE2's own bound for a counted repetition, and for the product of nested ones.
const MOST_REPEATED: u64 = 1_000;
/// A character class of RE2 in UTF-8 never takes more than about this.
const CLASS_SIZE: u64 = 20;

/// Why an expression is unfit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) code: Code,
    pub(crate) reason: String,
}

type Verdict<T> = Result<T, Unfit>;

fn unlike(reason: &str) -> Unfit {
    Unfit { code: codes::BAD_REGEX, reason: reason.to_owned() }
}

fn too_large(reason: String) -> Unfit {
    Unfit { code: codes::REGEX_TOO_LARGE, reason }
}

/// Does the expression mean the same to Envoy as to us, and is it small enough?
pub fn is_fit(pattern: &str) -> bool {
    check(pattern).is_ok()
}

/// Checks an expression.
pub(crate) fn check(pattern: &str) -> Verdict<()> {
    if pattern.len() > LONGEST {
        return Err(too_large(format!("it has {} bytes, more than {LONGEST}", pattern.len())));
    }
    if let Some(other) = pattern.chars().find(|c| !(' '..='~').contains(c)) {
        return Err(unlike(&format!("it holds {other:?}, which is not a printable ASCII character")));
    }
    let parsed = ParserBuilder::new().nest_limit(100).build().parse(pattern);
    let ast = parsed.map_err(|error| unlike(&error.kind().to_string()))?;
    let size = size(pattern, &ast, 1)?;
    match size <= LARGEST {
        true => Ok(()),
        false => Err(too_large(format!("its program has about {size} instructions, more than {LARGEST}"))),
    }
}

/// The size of a node as a program; `repeated`: how often the counted repetitions around it repeat it.
fn size(pattern: &str, ast: &Ast, repeated: u64) -> Verdict<u64> {
    match ast {
        Ast::Empty(_) => Ok(1),
        Ast::Assertion(assertion) => check_assertion(assertion),
        Ast::Literal(literal) => check_literal(literal).map(|()| 4),
        Ast::Dot(_) | Ast::ClassPerl(_) => Ok(CLASS_SIZE),
        Ast::ClassBracketed(class) => class_size(class),
        Ast::Group(group) => group_size(pattern, group, repeated),
        Ast::Repetition(repetition) => repetition_size(pattern, repetition, repeated),
        Ast::Concat(concat) => sum(pattern, &concat.asts, repeated),
        Ast::Alternation(alternation) => sum(pattern, &alternation.asts, repeated),
        Ast::Flags(_) => Err(unlike("flags may only stand in a group: (?i:…)")),
        Ast::ClassUnicode(_) => Err(unlike("Unicode classes such as \\pL are not taken")),
    }
}

fn sum(pattern: &str, asts: &[Ast], repeated: u64) -> Verdict<u64> {
    asts.iter().try_fold(1, |total: u64, ast| Ok(total.saturating_add(size(pattern, ast, repeated)?).saturating_add(1)))
}

fn check_assertion(assertion: &Assertion) -> Verdict<u64> {
    match assertion.kind {
        AssertionKind::StartLine
        | AssertionKind::EndLine
        | AssertionKind::StartText
        | AssertionKind::EndText
        | AssertionKind::WordBoundary
        | AssertionKind::NotWordBoundary => Ok(1),
        _ => Err(unlike("of the word boundaries only \\b and \\B are taken")),
    }
}

fn check_literal(literal: &Literal) -> Verdict<()> {
    match &literal.kind {
        LiteralKind::Verbatim | LiteralKind::Meta | LiteralKind::Special(_) => Ok(()),
        LiteralKind::Superfluous if literal.c.is_ascii_punctuation() => Ok(()),
        LiteralKind::HexFixed(HexLiteralKind::X) | LiteralKind::HexBrace(HexLiteralKind::X) if literal.c.is_ascii() => {
            Ok(())
        }
        _ => Err(unlike(&format!("the escape of {:?} is not taken", literal.c))),
    }
}

fn group_size(pattern: &str, group: &Group, repeated: u64) -> Verdict<u64> {
    let is_like = match &group.kind {
        GroupKind::CaptureIndex(_) => true,
        GroupKind::CaptureName { .. } => false,
        GroupKind::NonCapturing(flags) => {
            flags.items.iter().all(|item| item.kind == FlagsItemKind::Flag(Flag::CaseInsensitive))
        }
    };
    match is_like {
        true => Ok(size(pattern, &group.ast, repeated)?.saturating_add(2)),
        false => Err(unlike("of groups only (…), (?:…) and (?i:…) are taken")),
    }
}

fn repetition_size(pattern: &str, repetition: &Repetition, repeated: u64) -> Verdict<u64> {
    if matches!(*repetition.ast, Ast::Repetition(_) | Ast::Assertion(_) | Ast::Empty(_) | Ast::Flags(_)) {
        return Err(unlike("a repetition must repeat a character, a class or a group"));
    }
    let RepetitionKind::Range(range) = &repetition.op.kind else {
        return Ok(size(pattern, &repetition.ast, repeated)?.saturating_add(2));
    };
    // RE2 reads `{ 2 }` and `{,2}` as plain characters.
    let written = &pattern[repetition.op.span.start.offset..repetition.op.span.end.offset];
    if written.contains(' ') || written.starts_with("{,") {
        return Err(unlike("a counted repetition is written {n}, {n,} or {n,m}"));
    }
    let most = match *range {
        RepetitionRange::Exactly(most) | RepetitionRange::Bounded(_, most) => u64::from(most),
        RepetitionRange::AtLeast(least) => u64::from(least) + 1,
    };
    let product = repeated.saturating_mul(most.max(1));
    if product > MOST_REPEATED {
        return Err(too_large(format!("its counted repetitions multiply to {product}, more than {MOST_REPEATED}")));
    }
    Ok(size(pattern, &repetition.ast, product)?.saturating_add(1).saturating_mul(most.max(1)))
}

fn class_size(class: &ClassBracketed) -> Verdict<u64> {
    let ClassSet::Item(item) = &class.kind else {
        return Err(unlike("operators within a class (&&, --, ~~) are not taken"));
    };
    Ok(item_size(item)?.saturating_add(CLASS_SIZE))
}

fn item_size(item: &ClassSetItem) -> Verdict<u64> {
    match item {
        ClassSetItem::Empty(_) => Ok(1),
        ClassSetItem::Literal(literal) => check_literal(literal).map(|()| 2),
        ClassSetItem::Range(range) => check_literal(&range.start).and(check_literal(&range.end)).map(|()| 4),
        ClassSetItem::Ascii(class) if class.kind != ClassAsciiKind::Word || !class.negated => Ok(CLASS_SIZE),
        ClassSetItem::Perl(_) => Ok(CLASS_SIZE),
        ClassSetItem::Union(union) => {
            union.items.iter().try_fold(0, |total: u64, item| Ok(total.saturating_add(item_size(item)?)))
        }
        ClassSetItem::Ascii(_) | ClassSetItem::Unicode(_) => Err(unlike("this named class is not taken")),
        ClassSetItem::Bracketed(_) => Err(unlike("an opening bracket within a class must be escaped: \\[")),
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, check};
    use crate::codes::{BAD_REGEX, REGEX_TOO_LARGE};

    #[test]
    fn what_re2_reads_alike_is_taken() {
        let uuid = "/orders/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(/items/.*)?";
        for pattern in [
            "",
            "/metrics",
            "/a/[^/]+",
            uuid,
            ".*Android.*",
            "^/$",
            r"\d+\.\w*",
            "a{2,5}?",
            "(?i:x)|y",
            r"[\w.-]+",
            r"\/a\-b",
            "[[:alpha:]]",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn what_re2_reads_otherwise_is_refused() {
        for pattern in [
            "(", "a**", "*a", r"(a)\1", "(?=a)", "(?<n>a)", "(?x: a)", "(?i)a", r"\pL", "[a&&b]", "[a[b]]", "a{ 2 }",
            "ä", "a{,2}", r"\u0041", "^*", "\n", r"\<a", r"\q",
        ] {
            assert_eq!(check(pattern).err().map(|unfit| unfit.code), Some(BAD_REGEX), "{pattern:?}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused() {
        for pattern in [&"a".repeat(LONGEST + 1), "a{1001}", "(a{100}){100}", r"(\w{20}){40}", "(((a{9}){9}){9}){9}"] {
            assert_eq!(check(pattern).unwrap_err().code, REGEX_TOO_LARGE, "{pattern}");
        }
    }
}
