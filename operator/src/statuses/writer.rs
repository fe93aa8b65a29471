//! Writes statuses to the API server, and tells what turned to False as Events.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use kube_runtime::events::{Event, EventType, Recorder};
use serde_json::json;
use smidge_crds::Status;
use smidge_report::{Announcement, announcements};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::{Order, Write};
use crate::{
    message::{Message, Outcome},
    watch::api_resource,
};

/// Under which name statuses are applied, and Events told.
const FIELD_MANAGER: &str = "smidge";

/// Writes that may be under way at a time; there is never more than one of an object.
const CONCURRENT: usize = 16;

/// How long one may take. Without an end, a few that are never answered would hold up all others.
const PATIENCE: Duration = Duration::from_secs(10);

/// The API server takes an Event's note of up to 1 KiB.
const NOTE_LIMIT: usize = 1000;

/// Writes what it is ordered to, until nobody orders any more.
pub(crate) async fn write_statuses(
    client: Client,
    orders: mpsc::UnboundedReceiver<Order>,
    outcomes: mpsc::Sender<Message>,
) {
    let writer = Writer { recorder: Recorder::new(client.clone(), FIELD_MANAGER.into()), client };
    let orders = UnboundedReceiverStream::new(orders).filter_map(async |order| match order {
        Order::Write(write) => Some(write),
        Order::Forget(_) => None,
    });
    let write = async |write: Write| {
        let outcome = writer.write(&write).await;
        // The loop has ended: nobody has to know.
        let _ = outcomes.send(Message::Written(write.object, outcome)).await;
    };
    orders.for_each_concurrent(CONCURRENT, write).await;
}

struct Writer {
    client: Client,
    recorder: Recorder,
}

impl Writer {
    async fn write(&self, write: &Write) -> Outcome {
        let Some(resource) = api_resource(write.object.kind) else { return Outcome::Obsolete };
        match timeout(PATIENCE, self.apply(write, &resource)).await {
            Ok(Ok(())) => {
                for announcement in announcements(&write.observed.status, &write.status) {
                    // That one is lost is no reason to hold up what comes next.
                    let _ = timeout(PATIENCE, self.announce(write, &resource, announcement)).await;
                }
                Outcome::Done(Arc::clone(&write.status))
            }
            Ok(Err(error)) => conclude(write, &error),
            Err(_) => {
                tracing::warn!(object = %write.object, "no answer to a status that was written; trying again");
                Outcome::Failed
            }
        }
    }

    async fn apply(&self, write: &Write, resource: &ApiResource) -> Result<(), kube::Error> {
        let api: Api<DynamicObject> = match &*write.object.namespace {
            "" => Api::all_with(self.client.clone(), resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, resource),
        };
        // The status is ours alone: whoever else wrote into it is overruled.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        api.patch_status(&write.object.name, &params, &Patch::Apply(body(write, resource))).await.map(drop)
    }

    async fn announce(&self, write: &Write, resource: &ApiResource, announcement: Announcement) {
        let Announcement { type_, reason, message } = announcement;
        let event = Event {
            type_: if type_ == "Normal" { EventType::Normal } else { EventType::Warning },
            reason,
            note: Some(message[..message.floor_char_boundary(NOTE_LIMIT)].to_owned()),
            action: "Report".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &regarding(write, resource)).await {
            tracing::warn!(object = %write.object, error = &error as &dyn std::error::Error, "an Event was not written");
        }
    }
}

/// With the uid, a new object of the same name is never given the status of the old one.
fn body(write: &Write, resource: &ApiResource) -> serde_json::Value {
    let status: &Status = &write.status;
    let mut metadata = json!({"name": write.object.name});
    if !write.object.namespace.is_empty() {
        metadata["namespace"] = json!(write.object.namespace);
    }
    if let Some(uid) = &write.observed.uid {
        metadata["uid"] = json!(uid);
    }
    json!({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "status": status})
}

fn regarding(write: &Write, resource: &ApiResource) -> ObjectReference {
    let namespace = &write.object.namespace;
    ObjectReference {
        api_version: Some(resource.api_version.clone()),
        kind: Some(resource.kind.clone()),
        name: Some(write.object.name.to_string()),
        namespace: (!namespace.is_empty()).then(|| namespace.to_string()),
        uid: write.observed.uid.as_deref().map(str::to_owned),
        ..Default::default()
    }
}

fn conclude(write: &Write, error: &kube::Error) -> Outcome {
    match error {
        kube::Error::Api(status) if status.code == 404 || status.code == 409 => {
            tracing::debug!(object = %write.object, code = status.code, "the object is gone or another one");
            Outcome::Obsolete
        }
        error => {
            tracing::warn!(object = %write.object, error = error as &dyn std::error::Error, "a status was not written; trying again");
            Outcome::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use smidge_compiler::{Kind, ObjectRef};

    use super::*;
    use crate::message::Observed;

    #[test]
    fn a_status_is_applied_to_the_object_that_was_seen_and_no_other() {
        let write = Write {
            object: ObjectRef::new(Kind::MeshConfig, "", "default"),
            observed: Observed { uid: Some("7".into()), ..Observed::default() },
            status: Arc::default(),
        };
        let expected = json!({
            "apiVersion": "smidge.dev/v1alpha1", "kind": "MeshConfig",
            "metadata": {"name": "default", "uid": "7"}, "status": {},
        });
        assert_eq!(body(&write, &api_resource(Kind::MeshConfig).unwrap()), expected);
    }
}
