//! An object in one version → the same object in another, nothing lost.
//!
//! ```text
//!   v1alpha1 ─┐             ┌─→ v1alpha1     widen: every field of every version, those that a version
//!   v1alpha2 ─┼─→ widened ──┼─→ v1alpha2            lacks are taken out of annotations
//!      …     ─┘             └─→    …         narrow: the fields that a version lacks go into annotations
//! ```
//!
//! Everything works on JSON and is total: an object that is not what its version says is passed on as far as it
//! can be understood, because one conversion that fails makes every LIST fail. Nothing here is trusted either:
//! what comes out is what the object's author could have written.

mod carried;
mod headers;
mod ports;
mod quantity;
mod split;
mod target;

use serde_json::{Map, Value};

use carried::Carried;
pub(crate) use target::carried_port;

type Fields = Map<String, Value>;

/// The members of an object that are not its own fields.
const ENVELOPE: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// The object in the version `to` (an `apiVersion`, such as `split.smi-spec.io/v1alpha2`).
///
/// An object that no conversion is known for, or that has the version already, comes back as it is.
pub fn convert(mut object: Value, to: &str) -> Value {
    if let Some(object) = object.as_object_mut()
        && let Some((kind, from, target)) = conversion_of(object, to)
        && let Some(mut fields) = take_fields(object, kind.has_spec(from))
    {
        let mut carried = Carried::take_from(object);
        kind.widen(from, &mut fields, &mut carried);
        carried.clear();
        kind.narrow(target, &mut fields, &mut carried);
        carried.put_into(object);
        put_fields(object, fields, kind.has_spec(target));
        object.insert("apiVersion".to_owned(), to.into());
    }
    object
}

/// The kinds that have more than one version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    TrafficSplit,
    TrafficTarget,
    HttpRouteGroup,
    TcpRoute,
}

/// The number of an alpha version: 2 is `v1alpha2`.
type Alpha = u8;

impl Kind {
    fn of(group: &str, kind: &str) -> Option<Self> {
        match (group, kind) {
            ("split.smi-spec.io", "TrafficSplit") => Some(Self::TrafficSplit),
            ("access.smi-spec.io", "TrafficTarget") => Some(Self::TrafficTarget),
            ("specs.smi-spec.io", "HTTPRouteGroup") => Some(Self::HttpRouteGroup),
            ("specs.smi-spec.io", "TCPRoute") => Some(Self::TcpRoute),
            _ => None,
        }
    }

    fn newest(self) -> Alpha {
        if self == Self::TrafficTarget { 3 } else { 4 }
    }

    fn version(self, name: &str) -> Option<Alpha> {
        let alpha = name.strip_prefix("v1alpha")?.parse().ok()?;
        (1..=self.newest()).contains(&alpha).then_some(alpha)
    }

    /// Whether the fields stand under `spec`; in the first versions of some kinds they stand beside `metadata`.
    fn has_spec(self, version: Alpha) -> bool {
        match self {
            Self::TrafficSplit => true,
            Self::TrafficTarget => version >= 2,
            Self::HttpRouteGroup | Self::TcpRoute => version >= 3,
        }
    }

    fn widen(self, from: Alpha, fields: &mut Fields, carried: &mut Carried) {
        match self {
            Self::TrafficSplit => split::widen(from, fields, carried),
            Self::TrafficTarget => target::widen(from, fields, carried),
            Self::HttpRouteGroup => headers::widen(from, fields, carried),
            Self::TcpRoute => ports::widen(from, fields, carried),
        }
    }

    fn narrow(self, to: Alpha, fields: &mut Fields, carried: &mut Carried) {
        match self {
            Self::TrafficSplit => split::narrow(to, fields, carried),
            Self::TrafficTarget => target::narrow(to, fields, carried),
            Self::HttpRouteGroup => headers::narrow(to, fields, carried),
            Self::TcpRoute => ports::narrow(to, fields, carried),
        }
    }
}

/// What to convert, from which version, into which; `None` if there is nothing to do.
fn conversion_of(object: &Map<String, Value>, to: &str) -> Option<(Kind, Alpha, Alpha)> {
    let (group, from) = object.get("apiVersion")?.as_str()?.split_once('/')?;
    let (target_group, to) = to.split_once('/')?;
    let kind = Kind::of(group, object.get("kind")?.as_str()?)?;
    let (from, to) = (kind.version(from)?, kind.version(to)?);
    (group == target_group && from != to).then_some((kind, from, to))
}

/// The object's own fields, out of the object. `None` if its `spec` is not what a spec can be.
fn take_fields(object: &mut Map<String, Value>, has_spec: bool) -> Option<Fields> {
    if has_spec {
        match object.remove("spec") {
            None | Some(Value::Null) => Some(Fields::new()),
            Some(Value::Object(fields)) => Some(fields),
            Some(other) => {
                object.insert("spec".to_owned(), other);
                None
            }
        }
    } else {
        let (envelope, fields) = std::mem::take(object).into_iter().partition(|(name, _)| is_envelope(name));
        *object = envelope;
        Some(fields)
    }
}

fn put_fields(object: &mut Map<String, Value>, fields: Fields, has_spec: bool) {
    if has_spec {
        object.insert("spec".to_owned(), fields.into());
    } else {
        object.extend(fields.into_iter().filter(|(name, _)| !is_envelope(name)));
    }
}

fn is_envelope(name: &str) -> bool {
    ENVELOPE.contains(&name)
}
