//! Colours, on a terminal only and never where `NO_COLOR` is set: styles in, standard output that knows what it writes to out.

use std::io::StdoutLock;

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};

/// All is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// It works, and not as one would think.
pub(crate) const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();
/// It does not work.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// A heading.
pub(crate) const HEAD: Style = Style::new().bold();

/// A text in a style.
pub(crate) fn painted(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Standard output: what is no terminal gets no colours.
pub(crate) fn out() -> AutoStream<StdoutLock<'static>> {
    anstream::stdout().lock()
}
