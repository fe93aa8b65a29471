//! Manifests of many files as one set of objects, and what is wrong with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use smidge_compiler::{
    Event, Fact, ObjectRef,
    manifest::{Authored, Document, Object, Places, Unreadable, complete, split},
};

use super::folder::{Error, Texts, read_files};
use crate::message::{Message, Observed};

/// Something wrong with a file, which no diagnostic on an object says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Which file.
    pub path: PathBuf,
    /// The line, from 1, if one is meant.
    pub line: Option<usize>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<'a> {
    /// Which file.
    pub path: &'a Path,
    /// The line, from 1.
    pub line: usize,
}

/// The pod that somebody wrote, with all its fields.
///
/// # Errors
/// When a field is of another type than the API server takes.
pub fn whole_pod(authored: &Authored) -> Result<Pod, String> {
    let text = json!({"metadata": authored.metadata, "spec": authored.spec}).to_string();
    // By text, as admissions are read: for each way of reading it the type is compiled anew, which takes long.
    serde_json::from_slice(text.as_bytes()).map_err(|error| {
        let said = error.to_string();
        said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said).to_owned()
    })
}

/// What the files said when they were last read.
#[derive(Debug, Default)]
pub struct Manifests {
    files: BTreeMap<PathBuf, File>,
    /// What the loop was told.
    told: BTreeMap<ObjectRef, Fact>,
}

#[derive(Debug, Default)]
struct File {
    text: String,
    objects: Vec<Placed>,
    unreadable: Vec<Unreadable>,
    /// Whether the objects are those of a text before this one.
    is_kept: bool,
}

#[derive(Debug)]
struct Placed {
    object: Object,
    source: Arc<Source>,
    /// Where in the document it stands: `items[2]`; empty: it is all of it.
    field: String,
}

/// The document in which an object stands.
#[derive(Debug)]
struct Source {
    line: usize,
    text: String,
    /// Read when somebody asks for a line.
    places: OnceLock<Option<Places>>,
}

impl Placed {
    /// The line in its file on which a field of the object stands.
    fn line_of(&self, field: &str) -> usize {
        let source = &self.source;
        let places = source.places.get_or_init(|| Places::of(&source.text));
        let line = places.as_ref().map_or(1, |places| places.line_of(&format!("{}.{field}", self.field)));
        source.line + line - 1
    }
}

impl From<&Document<'_>> for Source {
    fn from(document: &Document<'_>) -> Self {
        Self { line: document.line, text: document.text.to_owned(), places: OnceLock::new() }
    }
}

impl File {
    /// A document that is no YAML may be half a save: its file stays as it was. One that is YAML but no such object
    /// is absent, as it would be on an API server that refuses it.
    fn replace(&mut self, text: String) {
        let (mut objects, mut unreadable) = (Vec::new(), Vec::new());
        for document in split(&text) {
            let source = Arc::new(Source::from(&document));
            for entry in document.read() {
                match entry.read {
                    Ok(Some(object)) => {
                        objects.push(Placed { object, source: Arc::clone(&source), field: entry.field });
                    }
                    Ok(None) => {}
                    Err(error) => unreadable.push(error),
                }
            }
        }
        self.is_kept = !self.text.is_empty() && unreadable.iter().any(|error| error.is_malformed);
        if !self.is_kept {
            self.objects = objects;
        }
        (self.text, self.unreadable) = (text, unreadable);
    }
}

impl Manifests {
    /// Reads everything that the paths name: files, folders, or `-` for standard input.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn read(&mut self, paths: &[PathBuf]) -> Result<(), Error> {
        let mut texts = Texts::new();
        for path in paths {
            match path.to_str() {
                Some("-") => {
                    let text = std::io::read_to_string(std::io::stdin());
                    texts.insert(path.clone(), text.map_err(|source| Error::Read { path: path.clone(), source })?);
                }
                _ => texts.append(&mut read_files(path)?),
            }
        }
        self.replace(texts);
        Ok(())
    }

    /// Takes one text in place of all files.
    pub fn replace_text(&mut self, text: &str) {
        self.replace(Texts::from([(PathBuf::from("test.yaml"), text.to_owned())]));
    }

    /// Every object, as events.
    pub fn events(&self) -> Vec<Event> {
        self.facts().into_values().map(Event::Apply).collect()
    }

    /// What is wrong with the files, in their order.
    pub fn problems(&self) -> Vec<Problem> {
        let unreadable = self.files.iter().flat_map(|(path, file)| {
            file.unreadable.iter().map(|error| Problem {
                path: path.clone(),
                line: Some(error.line),
                message: match file.is_kept {
                    true => format!("{} (what this file said before stays in force)", error.message),
                    false => format!("{} (it counts as absent)", error.message),
                },
            })
        });
        let mut problems: Vec<_> = unreadable.chain(self.doubles()).collect();
        problems.sort();
        problems
    }

    /// Whether there is no file at all.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The files in which nothing is there to be read: worth a word to whoever asks, and nothing wrong.
    pub fn unused(&self) -> impl Iterator<Item = &Path> {
        let is_unused = |file: &File| file.objects.is_empty() && file.unreadable.is_empty();
        self.files.iter().filter(move |(_, file)| is_unused(file)).map(|(path, _)| path.as_path())
    }

    /// The pods, and what makes pods, with what their authors wrote of them. The first of several of one name counts.
    pub fn pods(&self) -> impl Iterator<Item = (ObjectRef, &Authored)> {
        let mut names = BTreeSet::new();
        let pods = self.placed().filter_map(|(_, placed)| {
            let authored = placed.object.authored.as_deref()?;
            Some((placed.object.fact.object(), authored))
        });
        pods.filter(move |(object, _)| names.insert(object.clone()))
    }

    /// Where a field of an object stands; the object itself when the field is empty.
    pub fn locate(&self, object: &ObjectRef, field: &str) -> Option<Located<'_>> {
        let (path, placed) = self.placed().find(|(_, placed)| placed.object.fact.object() == *object)?;
        Some(Located { path, line: placed.line_of(field) })
    }

    /// Takes in what the files say now, and says what that changes.
    pub(super) fn take_in(&mut self, texts: Texts) -> Vec<Message> {
        self.replace(texts);
        let facts = self.facts();
        let gone = self.told.keys().filter(|object| !facts.contains_key(*object)).cloned();
        let mut messages: Vec<_> = gone.map(|object| Message::Event(Event::Delete(object))).collect();
        for (object, fact) in &facts {
            if !self.told.contains_key(object) && object.kind.has_status() {
                messages.push(Message::Observed(object.clone(), Observed::default()));
            }
            if self.told.get(object) != Some(fact) {
                messages.push(Message::Event(Event::Apply(fact.clone())));
            }
        }
        self.told = facts;
        messages
    }

    fn replace(&mut self, texts: Texts) {
        self.files.retain(|path, _| texts.contains_key(path));
        for (path, text) in texts {
            let file = self.files.entry(path).or_default();
            if file.text != text {
                file.replace(text);
            }
        }
    }

    fn placed(&self) -> impl Iterator<Item = (&Path, &Placed)> {
        self.files.iter().flat_map(|(path, file)| file.objects.iter().map(move |placed| (path.as_path(), placed)))
    }

    /// The facts, with what Kubernetes and injection would add.
    fn facts(&self) -> BTreeMap<ObjectRef, Fact> {
        complete(self.placed().map(|(_, placed)| &placed.object))
    }

    fn doubles(&self) -> Vec<Problem> {
        let mut first: BTreeMap<ObjectRef, (&Path, &Placed)> = BTreeMap::new();
        let mut problems = Vec::new();
        for (path, placed) in self.placed() {
            let object = placed.object.fact.object();
            match first.get(&object) {
                Some((at, other)) => problems.push(Problem {
                    path: path.to_owned(),
                    line: Some(placed.line_of("")),
                    message: format!(
                        "{object} is in {}:{} already, which counts: remove one",
                        at.display(),
                        other.line_of("")
                    ),
                }),
                None => {
                    first.insert(object, (path, placed));
                }
            }
        }
        problems
    }
}
