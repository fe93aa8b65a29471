//! The catalogue of diagnostics. A code is permanent: a retired one stays listed and is never used for something else.

use crate::{Code, Condition, Severity};

macro_rules! catalogue {
    ($($id:literal $name:ident $severity:ident $condition:tt $reason:literal: $meaning:literal $remedy:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: Code = Code {
                id: $id,
                reason: $reason,
                severity: Severity::$severity,
                condition: catalogue!(@ $condition),
                meaning: $meaning,
                remedy: $remedy,
            };
        )*
        /// Every code, in order.
        pub const CATALOGUE: &[Code] = &[$($name),*];
    };
    (@ -) => { None };
    (@ $condition:ident) => { Some(Condition::$condition) };
}

catalogue! {
    "SMI0101" ROOT_NOT_OWN Error Accepted "InvalidService": "`spec.service` names no Service of the split's own namespace."
        "Write the short name, or the full name in the split's own namespace.";
    "SMI0501" UNKNOWN_MODE Warning - "UnknownMode": "A mode is none of `deny`, `audit`, `allow`."
        "Write one of the three.";
}
