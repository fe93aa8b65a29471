//! Which Kubernetes Events to emit: one for every change of a condition to False, or
//! from one reason for it to another.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use smidge_crds::Status;

/// One Event, about the object whose status it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// `Warning`; `Normal` when it is only that proxies need their time.
    pub type_: &'static str,
    /// The condition's reason.
    pub reason: String,
    /// What condition it is about, and its message.
    pub message: String,
}

/// What to announce when a status is written in place of another.
pub fn announcements(observed: &Status, desired: &Status) -> Vec<Announcement> {
    let was_told = |new: &Condition| {
        let same = |old: &Condition| (&old.type_, &old.status, &old.reason) == (&new.type_, &new.status, &new.reason);
        observed.conditions.iter().any(same)
    };
    let turned = desired.conditions.iter().filter(|condition| condition.status == "False" && !was_told(condition));
    let announce = |condition: &Condition| Announcement {
        type_: if condition.reason == "Pending" { "Normal" } else { "Warning" },
        reason: condition.reason.clone(),
        message: format!("{} is False: {}", condition.type_, condition.message),
    };
    turned.map(announce).collect()
}
