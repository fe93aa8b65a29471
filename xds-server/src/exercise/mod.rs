//! The protocol machine against model clients that behave as Envoy does, driven by arbitrary bytes: for the property
//! test and the fuzz target. What has to hold is asserted here and in `client`.

mod client;
mod world;

use std::sync::Arc;

use client::Client;
use smidge_xds::ProxyId;
use world::World;

use crate::{
    Counters, Limits,
    protocol::{Ended, Machine, Next, StreamId},
};

/// Small, so that responses are split.
const RESPONSE_BYTES: usize = 400;
const CLIENTS: usize = 3;

/// Runs a script: every two bytes are a step. Then lets everything be delivered and compares every client with what
/// is published.
///
/// # Panics
/// When a rule is broken.
pub fn drive(script: &[u8]) {
    let mut exercise = Exercise::new();
    for step in script.as_chunks::<2>().0 {
        exercise.step(step[0], step[1]);
    }
    exercise.settle();
}

struct Exercise {
    machine: Machine,
    world: World,
    clients: Vec<(ProxyId, StreamId, Client)>,
}

impl Exercise {
    fn new() -> Self {
        let limits = Limits { response_bytes: RESPONSE_BYTES, ..Limits::default() };
        let mut machine = Machine::new(limits, Arc::new(Counters::default()), &[]);
        let mut world = World::default();
        machine.publish(world.first(CLIENTS));
        let mut exercise = Self { machine, world, clients: Vec::new() };
        for n in 0..CLIENTS {
            let proxy = World::proxy(n);
            let stream = exercise.machine.open(&proxy).expect("a published proxy");
            exercise.clients.push((proxy, stream, Client::default()));
            exercise.connect(n);
        }
        exercise
    }

    fn step(&mut self, action: u8, argument: u8) {
        let n = usize::from(argument) % CLIENTS;
        match action % 8 {
            0..=3 => {
                let update = self.world.change(action, argument);
                self.machine.publish(update);
                self.serve_woken();
            }
            4..=6 => drop(self.answer(n, usize::from(argument >> 2))),
            _ => self.reconnect(n),
        }
    }

    /// As a shell would: only streams that were woken are asked for responses.
    fn serve_woken(&mut self) {
        for stream in self.machine.woken() {
            if let Some(n) = self.clients.iter().position(|(_, s, _)| *s == stream) {
                self.serve(n);
            }
        }
    }

    /// Delivers to a client all that it can be sent now.
    fn serve(&mut self, n: usize) {
        let (_, stream, client) = &mut self.clients[n];
        loop {
            match self.machine.next(*stream) {
                Next::Idle => return,
                Next::Ended(why) => assert_eq!(why, Ended::Unknown, "nobody else ends a stream here"),
                Next::Response(response) => {
                    assert!(response.size() <= RESPONSE_BYTES || response.resources.len() == 1, "a chunk is too long");
                    for request in client.deliver(response, &self.world) {
                        self.machine.receive(*stream, request).expect("within the limits");
                    }
                }
            }
        }
    }

    /// A client answers one of the responses that it can answer. False: there is none.
    fn answer(&mut self, n: usize, which: usize) -> bool {
        let (_, stream, client) = &mut self.clients[n];
        let requests = client.answer(which);
        let answered = !requests.is_empty();
        for request in requests {
            self.machine.receive(*stream, request).expect("within the limits");
        }
        self.serve(n);
        answered
    }

    fn reconnect(&mut self, n: usize) {
        let synced = self.is_synced(n);
        let (proxy, stream, client) = &mut self.clients[n];
        self.machine.close(*stream);
        client.disconnect();
        *stream = self.machine.open(proxy).expect("a published proxy");
        let delivered = client.delivered;
        self.connect(n);
        let sent = self.clients[n].2.delivered - delivered;
        assert!(!synced || sent == 0, "a client that has everything is sent {sent} resources after a reconnect");
    }

    fn connect(&mut self, n: usize) {
        for request in self.clients[n].2.connect() {
            let stream = self.clients[n].1;
            self.machine.receive(stream, request).expect("within the limits");
        }
        self.serve(n);
    }

    fn is_synced(&self, n: usize) -> bool {
        let (proxy, _, client) = &self.clients[n];
        client.is_quiet() && client.differs_from(&self.world.visible(proxy)).is_none() && !self.world.ever_bad()
    }

    /// Every answer is given; then every client has what is published, as far as it accepts it, and is reported so.
    fn settle(&mut self) {
        self.serve_woken();
        for n in 0..CLIENTS {
            while (0..6).any(|which| self.answer(n, which)) {}
            let (proxy, _, client) = &self.clients[n];
            assert!(client.is_quiet(), "a response cannot be answered: {client:?}");
            let difference = client.differs_from(&self.world.visible(proxy));
            assert_eq!(difference, None, "{proxy} has not converged");
        }
        for (proxy, report) in self.machine.reported().proxies {
            let report = report.expect("all proxies are published");
            assert_eq!(report.behind_since, None, "{proxy} has acknowledged everything");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn clients_converge_and_never_see_a_route_without_its_cluster(script in prop::collection::vec(any::<u8>(), 0..200)) {
            super::drive(&script);
        }
    }
}
