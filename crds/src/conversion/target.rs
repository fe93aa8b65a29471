//! TrafficTarget: `specs` became `rules` in v1alpha2; the destination's port is gone in v1alpha3, and was a string
//! for the first Go clients of v1alpha1.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Alpha, Fields,
    carried::{self, Carried},
};

pub(super) fn widen(from: Alpha, fields: &mut Fields, carried: &mut Carried) {
    if from == 1 {
        rename(fields, "specs", "rules");
    } else if let Some(destination) = destination_of(fields)
        && let Some(port) = carried.take("port", &Value::Object(destination.clone()))
        && may_be_port(from, destination, &port)
    {
        destination.insert("port".to_owned(), port);
    }
}

pub(super) fn narrow(to: Alpha, fields: &mut Fields, carried: &mut Carried) {
    if to == 1 {
        rename(fields, "rules", "specs");
    } else if let Some(destination) = destination_of(fields)
        && let Some(port) = destination.remove("port")
    {
        if to == 2 {
            let number = port_number(&port).map_or_else(|| port.clone(), Value::from);
            destination.insert("port".to_owned(), number);
        }
        if destination.get("port") != Some(&port) {
            carried.put("port", &Value::Object(destination.clone()), &port);
        }
    }
}

/// The port that a target of an older version names, which its stored form carries in an annotation.
pub(crate) fn carried_port(annotations: &BTreeMap<String, String>, destination: &Value) -> Option<u16> {
    port_number(&carried::read(annotations.get(&carried::name("port"))?, destination)?)
}

/// Whether the carried port says no more than the version's own field, if it has that.
fn may_be_port(version: Alpha, destination: &Map<String, Value>, port: &Value) -> bool {
    let own = destination.get("port").filter(|_| version == 2);
    port_number(port).is_some_and(|number| own.is_none_or(|own| port_number(own) == Some(number)))
}

/// A port in either form.
fn port_number(port: &Value) -> Option<u16> {
    let number = match port {
        Value::String(digits) => digits.parse().ok(),
        other => other.as_u64().and_then(|number| u16::try_from(number).ok()),
    };
    number.filter(|&number| number != 0)
}

fn destination_of(fields: &mut Fields) -> Option<&mut Map<String, Value>> {
    fields.get_mut("destination")?.as_object_mut()
}

fn rename(fields: &mut Fields, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.insert(to.to_owned(), value);
    }
}
