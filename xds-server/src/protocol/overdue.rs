//! Clients that do not answer. Time is counted in ticks, which the shell gives.

use smidge_xds::{ProxyId, TypeUrl};

use super::{Ended, Machine, StreamId, stream::Stream};
use crate::counters::add;

/// A response that is not answered after this many ticks ends its stream.
pub const TICKS: u32 = 10;

/// A stream that is ended and not closed after this many ticks is not read by its client.
const STUCK_TICKS: u32 = 2;

/// What a tick has found, each stream once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Who has not answered a response, and of which type; their streams are ended.
    pub unanswered: Vec<(ProxyId, TypeUrl)>,
    /// Streams that were ended and whose clients do not take note of it.
    pub stuck: Vec<StreamId>,
}

impl Machine {
    /// A tick has passed. Its work is a glance at each stream.
    pub fn tick(&mut self) -> Ticked {
        let (mut ticked, mut overdue) = (Ticked::default(), Vec::new());
        for (id, state) in (0..).zip(&mut self.streams) {
            let Some(state) = state else { continue };
            if state.ended.is_some() {
                state.ended_for += 1;
                ticked.stuck.extend((state.ended_for == STUCK_TICKS).then_some(id));
            } else if let Some(type_url) = grow_older(state) {
                state.ended = Some(Ended::Unanswered(type_url));
                ticked.unanswered.push((state.proxy.clone(), type_url));
                overdue.push(id);
            }
        }
        overdue.into_iter().for_each(|id| self.wake(id));
        add(&self.counters.unanswered, ticked.unanswered.len() as u64);
        ticked
    }
}

/// The type whose response has waited too long for its answer.
fn grow_older(state: &mut Stream) -> Option<TypeUrl> {
    let mut overdue = None;
    for type_url in TypeUrl::ALL {
        if let Some(flight) = &mut state.kinds[type_url].in_flight {
            flight.age += 1;
            overdue = overdue.or((flight.age > TICKS).then_some(type_url));
        }
    }
    overdue
}
