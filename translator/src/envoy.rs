//! Small Envoy messages that every kind of resource is made of.

use std::net::IpAddr;

use envoy_types::{
    pb::{
        envoy::{
            config::{
                core::v3::{
                    Address, AggregatedConfigSource, ApiVersion, CidrRange, ConfigSource, SocketAddress, address,
                    config_source::ConfigSourceSpecifier, socket_address::PortSpecifier,
                },
                listener::v3::{Filter, filter},
            },
            r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher::MatchPattern},
        },
        google::protobuf::{Any, Duration, UInt32Value},
    },
    util::pack_any,
};
use ipnet::IpNet;
use prost::{Message, Name};

/// Over the one stream that everything comes over.
pub(crate) fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..Default::default()
    }
}

pub(crate) fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

pub(crate) fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

pub(crate) fn address(ip: IpAddr, port: u16, ipv4_compat: bool) -> Address {
    let port_specifier = Some(PortSpecifier::PortValue(port.into()));
    let socket = SocketAddress { address: ip.to_string(), ipv4_compat, port_specifier, ..Default::default() };
    Address { address: Some(address::Address::SocketAddress(socket)) }
}

pub(crate) fn range(net: &IpNet) -> CidrRange {
    CidrRange { address_prefix: net.addr().to_string(), prefix_len: number(net.prefix_len().into()) }
}

/// A network filter.
pub(crate) fn filter<T: Message + Name>(name: &str, config: T) -> Filter {
    Filter { name: name.to_owned(), config_type: Some(filter::ConfigType::TypedConfig(pack_any(config))) }
}

/// A message that mirrors `T` but encodes its map in one order only, packed as `T`.
pub(crate) fn pack_mirror<T: Name>(mirror: &impl Message) -> Any {
    Any { type_url: T::type_url(), value: mirror.encode_to_vec() }
}

pub(crate) fn exactly(text: impl Into<String>) -> StringMatcher {
    string_matcher(MatchPattern::Exact(text.into()))
}

pub(crate) fn starting_with(text: impl Into<String>) -> StringMatcher {
    string_matcher(MatchPattern::Prefix(text.into()))
}

/// An RE2 expression over the whole text. An empty one, which is fit and fits the empty text, Envoy would refuse.
pub(crate) fn fully(regex: impl Into<String>) -> StringMatcher {
    let regex = Some(regex.into()).filter(|regex| !regex.is_empty()).unwrap_or_else(|| "(?:)".to_owned());
    string_matcher(MatchPattern::SafeRegex(RegexMatcher { regex, ..Default::default() }))
}

fn string_matcher(pattern: MatchPattern) -> StringMatcher {
    StringMatcher { match_pattern: Some(pattern), ..Default::default() }
}

/// A text that stands for itself within a format, where `%` opens a command.
pub(crate) fn literal(text: &str) -> String {
    text.replace('%', "%%")
}
