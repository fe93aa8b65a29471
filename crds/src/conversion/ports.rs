//! TCPRoute: the ports came with v1alpha4; before it every port is meant.

use serde_json::Value;

use super::{Alpha, Fields, carried::Carried};

pub(super) fn widen(from: Alpha, fields: &mut Fields, carried: &mut Carried) {
    if from < 4
        && let Some(matches) = carried.take("matches", &Value::Null).filter(Value::is_object)
    {
        fields.insert("matches".to_owned(), matches);
    }
}

pub(super) fn narrow(to: Alpha, fields: &mut Fields, carried: &mut Carried) {
    if to < 4
        && let Some(matches) = fields.remove("matches")
    {
        // Older versions have no field that a change of could make the ports stale.
        carried.put("matches", &Value::Null, &matches);
    }
}
