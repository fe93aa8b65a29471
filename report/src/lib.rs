//! Diagnostics and acknowledgements in, conditions out: what stands in the status of an object, and when to write it.
//!
//! ```text
//! engine ──Placement──→ Acknowledgements ──Tally──→ judge ──→ Status ──difference──→ Budget ──→ the writer
//! hub ─────Standing───→        │ News: what to look at again      └──→ announcements (Events), table rows
//! ```
//! Nothing here reads a clock, an object or a network: the time is an argument. What an acknowledgement costs does not
//! depend on the number of objects or proxies: proxies are counted in groups, objects are looked at when news concern
//! them.

mod acknowledgements;
mod announce;
mod budget;
mod group;
mod judge;
mod marks;
mod news;
mod replicas;
mod status;
mod table;
mod telling;

pub use acknowledgements::{Acknowledgements, Tally};
pub use announce::{Announcement, announcements};
pub use budget::{Budget, Limits, Urgency};
pub use judge::{REASONS, Reason, View, reasons};
pub use marks::{Mark, Rejection, Standing};
pub use news::{News, Subject};
pub use replicas::{Replica, Told};
pub use status::{Difference, desired, difference, needs_write};
pub use table::{Row, table};
pub use telling::Telling;
