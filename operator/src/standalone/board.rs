//! Where statuses are kept without an API server: in memory, for whoever looks.

use std::{collections::BTreeMap, sync::Arc};

use smidge_compiler::ObjectRef;
use smidge_crds::Status;
use tokio::sync::{mpsc, watch};

use crate::{
    message::{Message, Outcome},
    statuses::Order,
};

/// The status of each object that has one.
pub type Statuses = Arc<BTreeMap<ObjectRef, Arc<Status>>>;

/// Takes the place of the API server's status subresource.
pub(super) struct Board {
    statuses: watch::Sender<Statuses>,
    outcomes: mpsc::Sender<Message>,
}

impl Board {
    pub(super) fn new(outcomes: mpsc::Sender<Message>) -> (Self, watch::Receiver<Statuses>) {
        let (statuses, told) = watch::channel(Statuses::default());
        (Self { statuses, outcomes }, told)
    }

    /// Does what it is ordered to, until nobody orders any more.
    pub(super) async fn keep(self, mut orders: mpsc::UnboundedReceiver<Order>) {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Write(write) => {
                    self.change(|statuses| statuses.insert(write.object.clone(), Arc::clone(&write.status)));
                    let done = Message::Written(write.object, Outcome::Done(write.status));
                    if self.outcomes.send(done).await.is_err() {
                        return;
                    }
                }
                Order::Forget(object) => self.change(|statuses| statuses.remove(&object)),
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<ObjectRef, Arc<Status>>) -> T) {
        self.statuses.send_modify(|statuses| {
            change(Arc::make_mut(statuses));
        });
    }
}
