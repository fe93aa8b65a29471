//! Which filter chain takes a connection, by rules that are tried in order (Envoy's matching API).
//!
//! Not `filter_chain_match`, which is a part of its chain: who may call from outside the mesh is edited, and a changed
//! chain would drain its connections. A changed matcher drains none.

use std::collections::BTreeSet;

use envoy_types::{
    pb::{
        envoy::extensions::matching::{
            common_inputs::network::v3::{
                ApplicationProtocolInput, DestinationPortInput, DirectSourceIpInput, TransportProtocolInput,
            },
            input_matchers::ip::v3::Ip,
        },
        google::protobuf::StringValue,
        xds::{
            core::v3::TypedExtensionConfig,
            r#type::matcher::v3::{
                Matcher, StringMatcher,
                matcher::{
                    MatcherList, MatcherType, OnMatch,
                    matcher_list::{
                        FieldMatcher, Predicate,
                        predicate::{MatchType, PredicateList, SinglePredicate, single_predicate},
                    },
                    on_match,
                },
                string_matcher::MatchPattern,
            },
        },
    },
    util::pack_any,
};
use ipnet::IpNet;
use prost::{Message, Name};

use crate::envoy::range;

/// Something that is known of a connection before its chain is picked.
#[derive(Clone, Debug)]
pub(crate) enum Test<'a> {
    /// The port that was called.
    Port(u16),
    /// None of these ports was called.
    NotPorts(Vec<u16>),
    /// What `tls_inspector` says: `tls` or `raw_buffer`.
    Transport(&'static str),
    /// The only protocol that is offered, or that `http_inspector` found, is one of these.
    Protocol(&'static [&'static str]),
    /// The caller's address is in one of these. Never empty.
    Source(&'a BTreeSet<IpNet>),
}

/// The chain that takes a connection of which all tests hold.
#[derive(Clone, Debug)]
pub(crate) struct Rule<'a> {
    pub(crate) tests: Vec<Test<'a>>,
    pub(crate) chain: String,
}

/// The first rule that holds decides; where none does, the connection is closed.
pub(crate) fn matcher(rules: &[Rule<'_>]) -> Matcher {
    let field = |rule: &Rule<'_>| FieldMatcher {
        predicate: Some(all(rule.tests.iter().map(predicate).collect())),
        on_match: Some(OnMatch {
            on_match: Some(on_match::OnMatch::Action(extension("chain", StringValue { value: rule.chain.clone() }))),
            ..Default::default()
        }),
    };
    let matchers = rules.iter().map(field).collect();
    Matcher { matcher_type: Some(MatcherType::MatcherList(MatcherList { matchers })), ..Default::default() }
}

fn predicate(test: &Test<'_>) -> Predicate {
    match test {
        Test::Port(port) => text(extension("port", DestinationPortInput {}), port.to_string()),
        Test::NotPorts(ports) => not(any(ports.iter().map(|port| predicate(&Test::Port(*port))).collect())),
        Test::Transport(name) => text(extension("transport", TransportProtocolInput {}), (*name).to_owned()),
        // All that are offered come in one text, each in quotes.
        Test::Protocol(names) => any(names
            .iter()
            .map(|name| text(extension("protocol", ApplicationProtocolInput {}), format!("'{name}'")))
            .collect()),
        Test::Source(ranges) => {
            let ip = Ip { cidr_ranges: ranges.iter().map(range).collect(), stat_prefix: "inbound".to_owned() };
            let is_in = single_predicate::Matcher::CustomMatch(extension("range", ip));
            single(extension("source", DirectSourceIpInput {}), is_in)
        }
    }
}

fn text(input: TypedExtensionConfig, value: String) -> Predicate {
    let exactly = StringMatcher { match_pattern: Some(MatchPattern::Exact(value)), ..Default::default() };
    single(input, single_predicate::Matcher::ValueMatch(exactly))
}

fn single(input: TypedExtensionConfig, matcher: single_predicate::Matcher) -> Predicate {
    of(MatchType::SinglePredicate(SinglePredicate { input: Some(input), matcher: Some(matcher) }))
}

/// Of one, itself: Envoy takes no list of one.
fn all(mut predicates: Vec<Predicate>) -> Predicate {
    match predicates.len() {
        1 => predicates.remove(0),
        _ => of(MatchType::AndMatcher(PredicateList { predicate: predicates })),
    }
}

fn any(mut predicates: Vec<Predicate>) -> Predicate {
    match predicates.len() {
        1 => predicates.remove(0),
        _ => of(MatchType::OrMatcher(PredicateList { predicate: predicates })),
    }
}

fn not(predicate: Predicate) -> Predicate {
    of(MatchType::NotMatcher(Box::new(predicate)))
}

fn of(match_type: MatchType) -> Predicate {
    Predicate { match_type: Some(match_type) }
}

fn extension<T: Message + Name>(name: &str, config: T) -> TypedExtensionConfig {
    TypedExtensionConfig { name: name.to_owned(), typed_config: Some(pack_any(config)) }
}
