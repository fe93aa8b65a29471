//! What the API server accepts, in any version, the types of the stored version can read: a watch never stumbles.

use std::{fs, path::Path};

use serde_json::Value;
use smidge_crds::{
    HTTPRouteGroup, IngressBackend, MeshConfig, TCPRoute, TrafficSplit, TrafficTarget, UDPRoute, convert,
};

#[test]
fn accepted_objects_are_read_by_the_stored_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/accepted");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let object: Value = serde_yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        if let Err(error) = read_as_stored(object) {
            panic!("{}: {error}", path.display());
        }
        files += 1;
    }
    assert!(files > 0, "no accepted objects found");
}

fn read_as_stored(object: Value) -> serde_json::Result<()> {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    match kind.as_str() {
        "TrafficSplit" => read::<TrafficSplit>(convert(object, "split.smi-spec.io/v1alpha4")),
        "TrafficTarget" => read::<TrafficTarget>(convert(object, "access.smi-spec.io/v1alpha3")),
        "HTTPRouteGroup" => read::<HTTPRouteGroup>(convert(object, "specs.smi-spec.io/v1alpha4")),
        "TCPRoute" => read::<TCPRoute>(convert(object, "specs.smi-spec.io/v1alpha4")),
        "UDPRoute" => read::<UDPRoute>(object),
        "IngressBackend" => read::<IngressBackend>(object),
        "MeshConfig" => read::<MeshConfig>(object),
        other => panic!("no type for {other}"),
    }
}

fn read<T: serde::de::DeserializeOwned>(object: Value) -> serde_json::Result<()> {
    serde_json::from_value::<T>(object).map(drop)
}
