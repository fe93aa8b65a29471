//! A Rust file: its text, its functions with their lengths, and the names that it declares.

use anyhow::{Context, Result};
use proc_macro2::Span;
use syn::visit::{self, Visit};
use syn::{Block, ImplItemFn, Item, ItemFn, Signature, TraitItemFn};

/// A parsed file.
#[derive(Debug)]
pub struct Source {
    /// Relative to the root of the checkout.
    pub path: String,
    /// All of it.
    pub text: String,
    /// Every function with a body, in order.
    pub functions: Vec<Function>,
    /// The names of functions, types, modules, traits and constants that it declares, each with its line.
    pub names: Names,
}

/// Declared names with their lines.
pub type Names = Vec<(String, usize)>;

/// A function with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of its signature.
    pub line: usize,
    /// Lines from the signature to the closing brace, blank ones not counted.
    pub length: usize,
}

impl Source {
    /// Reads the file's items.
    pub fn parse(path: String, text: String) -> Result<Source> {
        let file = syn::parse_file(&text).with_context(|| format!("{path} does not parse"))?;
        let mut visitor = Visitor { text: &text, functions: Vec::new(), names: Vec::new() };
        visitor.visit_file(&file);
        let Visitor { functions, names, .. } = visitor;
        Ok(Source { path, functions, names, text })
    }

    /// Lines that are not blank.
    pub fn length(&self) -> usize {
        not_blank(self.text.lines())
    }

    /// The lines that are code, numbered from 1, without those that are comments from their first character.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line)).filter(|(_, line)| !is_comment(line))
    }

    /// The code before the file's test module, if it has one.
    pub fn production_code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code().take_while(|(_, line)| line.trim() != "#[cfg(test)]")
    }

    /// Is all of it test code?
    pub fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("tests.rs") || self.path.starts_with("e2e/")
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn not_blank<'a>(lines: impl Iterator<Item = &'a str>) -> usize {
    lines.filter(|line| !line.trim().is_empty()).count()
}

struct Visitor<'a> {
    text: &'a str,
    functions: Vec<Function>,
    names: Names,
}

impl Visitor<'_> {
    fn function(&mut self, signature: &Signature, body: &Block) {
        let (first, last) = (signature.fn_token.span.start().line, body.brace_token.span.close().end().line);
        let length = not_blank(self.text.lines().skip(first - 1).take(last + 1 - first));
        self.functions.push(Function { name: signature.ident.to_string(), line: first, length });
        self.name(&signature.ident.to_string(), signature.ident.span());
    }

    fn name(&mut self, name: &str, span: Span) {
        self.names.push((name.to_owned(), span.start().line));
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(body) = &function.default {
            self.function(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item(&mut self, item: &'ast Item) {
        let ident = match item {
            Item::Struct(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Mod(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Const(item) => Some(&item.ident),
            Item::Static(item) => Some(&item.ident),
            _ => None,
        };
        if let Some(ident) = ident {
            self.name(&ident.to_string(), ident.span());
        }
        visit::visit_item(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_do_not_count() {
        let text = "//! A.\n\nfn one() {\n\n    two();\n}\n\nstruct Pod;\n".to_owned();
        let source = Source::parse("a.rs".into(), text).unwrap();
        assert_eq!(source.length(), 5);
        assert_eq!(source.functions, [Function { name: "one".into(), line: 3, length: 3 }]);
        assert_eq!(source.names, [("one".to_owned(), 3), ("Pod".to_owned(), 8)]);
    }
}
