//! What the loop has done and what it was spared: one counter for each stage and for each cut-off between them.

/// Totals since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events taken in.
    pub events: u64,
    /// Of them, those that said nothing new (the first cut-off).
    pub equal_facts: u64,
    /// Values compiled.
    pub compiled: u64,
    /// Of them, those equal to the value before (the second cut-off).
    pub equal_values: u64,
    /// Resources translated.
    pub translated: u64,
    /// Of them, those with the version that they had before (the third cut-off).
    pub same_versions: u64,
    /// Resources set or removed in what was published.
    pub changed_resources: u64,
    /// Publications.
    pub publications: u64,
    /// Values that a full compile found to be different from the cached ones. Stays 0, or there is a bug.
    pub drift: u64,
}
