//! What goes between replicas, as protobuf messages. What comes in is hostile until it is parsed.

use std::sync::Arc;

use prost::Message as _;
use smidge_compiler::{Kind, ObjectRef};
use smidge_report::{Mark, Rejection, Subject, Told};
use smidge_xds::{Epoch, ProxyId, TypeUrl};
use tokio_util::bytes::Bytes;

use super::Account;
use crate::{message::Source, watch::sources};

/// From which size on the rest goes into the next frame.
const FULL: usize = 1 << 20;
/// How many rejections of a proxy are told,
const REJECTIONS: usize = 64;
/// and how much of Envoy's words, in bytes.
const WORDS_LIMIT: usize = 2048;

/// It is no frame of ours: most likely of another version of Smidge.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("a frame cannot be read")]
    Frame(#[from] prost::DecodeError),
    #[error("it tells of the unknown type {0:?}")]
    Type(String),
}

/// What goes over the wire at a time; an empty one says that somebody is there.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Frame {
    /// The replica's name, in its first frame.
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    through: Option<u64>,
    #[prost(message, repeated, tag = "3")]
    proxies: Vec<Proxy>,
    #[prost(message, repeated, tag = "4")]
    effects: Vec<Effect>,
    #[prost(message, repeated, tag = "5")]
    signers: Vec<Signer>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Proxy {
    #[prost(string, tag = "1")]
    id: String,
    /// Absent: it knows no such proxy of the mesh any more.
    #[prost(message, optional, tag = "2")]
    mark: Option<MarkOf>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MarkOf {
    #[prost(bool, tag = "1")]
    is_here: bool,
    #[prost(fixed64, optional, tag = "2")]
    key: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    gate: Option<u64>,
    #[prost(message, repeated, tag = "4")]
    rejected: Vec<Rejected>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Rejected {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    words: String,
    #[prost(uint64, tag = "4")]
    from: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Effect {
    /// Empty: the trust bundle.
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(string, tag = "3")]
    name: String,
    /// Absent: there is no such object.
    #[prost(message, optional, tag = "4")]
    took: Option<Took>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Took {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(fixed64, tag = "2")]
    version: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Signer {
    #[prost(string, tag = "1")]
    proxy: String,
    #[prost(string, tag = "2")]
    root: String,
}

impl Frame {
    /// The first one.
    pub(super) fn hello(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    pub(super) fn encoded(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        Ok(Self::decode(bytes)?)
    }

    /// What it tells; `None`: only that somebody is there.
    pub(super) fn account(self) -> Result<Option<Account>, Error> {
        if self == Self::default() {
            return Ok(None);
        }
        let proxies = self.proxies.into_iter().map(proxy).collect::<Result<_, _>>()?;
        let effects = self.effects.into_iter().filter_map(effect).collect();
        let signers = self.signers.into_iter().map(|signer| (signer.proxy.as_str().into(), signer.root.into()));
        let told = Told { through: self.through.map(Epoch), proxies, effects };
        Ok(Some(Account { told, signers: signers.collect() }))
    }
}

/// The frames of an account, none much longer than [`FULL`]. What all of them are told for comes with the last.
pub(super) fn frames(account: Account) -> Vec<Frame> {
    let Account { told: Told { through, proxies, effects }, signers } = account;
    let signers = signers.into_iter().map(|(proxy, root)| Signer { proxy: proxy.to_string(), root: root.to_string() });
    let effects = effects.into_iter().map(wired_effect).collect();
    let (mut frames, mut frame, mut size) =
        (Vec::new(), Frame { effects, signers: signers.collect(), ..Frame::default() }, 0);
    for proxy in proxies.into_iter().map(wired_proxy) {
        size += proxy.encoded_len();
        frame.proxies.push(proxy);
        if size >= FULL {
            size = 0;
            frames.push(std::mem::take(&mut frame));
        }
    }
    frames.push(Frame { through: through.map(|epoch| epoch.0), ..frame });
    frames
}

fn wired_proxy((id, mark): (ProxyId, Option<Mark>)) -> Proxy {
    let mark = mark.map(|Mark { is_here, key, gate, rejected }| {
        let first = rejected.into_iter().take(REJECTIONS);
        let rejected = first.map(|((type_url, name), Rejection { words, from })| Rejected {
            type_url: type_url.as_str().to_owned(),
            name: name.to_string(),
            words: words[..words.floor_char_boundary(WORDS_LIMIT)].to_owned(),
            from: from.0,
        });
        MarkOf {
            is_here,
            key: key.map(|key| key.number()),
            gate: gate.map(|epoch| epoch.0),
            rejected: rejected.collect(),
        }
    });
    Proxy { id: id.to_string(), mark }
}

fn proxy(Proxy { id, mark }: Proxy) -> Result<(ProxyId, Option<Mark>), Error> {
    let read = |MarkOf { is_here, key, gate, rejected }| {
        let rejected = rejected.into_iter().map(|Rejected { type_url, name, words, from }| {
            let type_url = TypeUrl::from_url(&type_url).ok_or(Error::Type(type_url))?;
            Ok(((type_url, name.into()), Rejection { words: words.into(), from: Epoch(from) }))
        });
        let rejected = rejected.collect::<Result<_, Error>>()?;
        Ok::<_, Error>(Mark { is_here, key: key.map(Into::into), gate: gate.map(Epoch), rejected })
    };
    Ok((id.as_str().into(), mark.map(read).transpose()?))
}

fn wired_effect((subject, took): (Subject, Option<(Epoch, smidge_xds::Version)>)) -> Effect {
    let took = took.map(|(epoch, version)| Took { epoch: epoch.0, version: version.number() });
    match subject {
        Subject::TrustBundle => Effect { took, ..Effect::default() },
        Subject::Object(ObjectRef { kind, namespace, name }) => {
            let (namespace, name) = (namespace.to_string(), name.to_string());
            Effect { kind: kind.as_str().to_owned(), namespace, name, took }
        }
    }
}

/// `None`: of a kind that another version of Smidge knows.
fn effect(told: Effect) -> Option<(Subject, Option<(Epoch, smidge_xds::Version)>)> {
    let Effect { kind, namespace, name, took } = told;
    let took = took.map(|Took { epoch, version }| (Epoch(epoch), version.into()));
    if kind.is_empty() {
        return Some((Subject::TrustBundle, took));
    }
    let object = ObjectRef::new(kind_named(&kind)?, Arc::<str>::from(namespace), Arc::<str>::from(name));
    Some((Subject::Object(object), took))
}

fn kind_named(name: &str) -> Option<Kind> {
    sources().find_map(|source| match source {
        Source::Watch(kind) if kind.as_str() == name => Some(kind),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use smidge_xds::Version;

    use super::*;

    fn account(proxies: usize, words: &str) -> Account {
        let rejection = Rejection { words: words.into(), from: Epoch(3) };
        let rejected = BTreeMap::from([((TypeUrl::Route, "route".into()), rejection)]);
        let mark = Mark { is_here: true, key: Some(Version::of(b"key")), gate: Some(Epoch(4)), rejected };
        let mut all: Vec<_> = (0..proxies).map(|n| (format!("p{n}.ns").as_str().into(), Some(mark.clone()))).collect();
        all.push(("gone.ns".into(), None));
        let object = |kind| Subject::Object(ObjectRef::new(kind, "ns", "object"));
        let took = Some((Epoch(7), Version::of(b"effect")));
        let effects =
            vec![(Subject::TrustBundle, took), (object(Kind::TrafficSplit), took), (object(Kind::TcpRoute), None)];
        let told = Told { through: Some(Epoch(9)), proxies: all, effects };
        Account { told, signers: vec![("p0.ns".into(), "root".into())] }
    }

    fn read(frame: &Frame) -> Account {
        Frame::read(&frame.encoded()).unwrap().account().unwrap().unwrap()
    }

    #[test]
    fn what_is_told_is_what_is_heard() {
        let account = account(2, "no such filter");
        let frames = frames(account.clone());
        assert_eq!(frames.iter().map(read).collect::<Vec<_>>(), [account]);
    }

    #[test]
    fn what_is_too_long_for_a_frame_goes_in_several_and_counts_with_the_last() {
        let frames = frames(account(3000, &"long ".repeat(100)));
        let through: Vec<_> = frames.iter().map(|frame| read(frame).told.through).collect();
        assert_eq!(through, [None, Some(Epoch(9))]);
        assert_eq!(frames.iter().map(|frame| read(frame).told.proxies.len()).sum::<usize>(), 3001);
        assert!(frames.iter().all(|frame| frame.encoded_len() < 2 * FULL));
    }

    #[test]
    fn an_empty_frame_tells_nothing_an_unknown_kind_is_passed_over_and_garbage_is_refused() {
        assert_eq!(Frame::read(&Frame::default().encoded()).unwrap().account().unwrap(), None);
        assert!(matches!(Frame::read(b"GET / HTTP/1.1\r\n"), Err(Error::Frame(_))));
        let unknown = Effect { kind: "Gateway".to_owned(), ..Effect::default() };
        let known = Effect { kind: Kind::TrafficSplit.as_str().to_owned(), ..Effect::default() };
        let frame = Frame { effects: vec![unknown, known], ..Frame::default() };
        assert_eq!(read(&frame).told.effects, [(Subject::Object(ObjectRef::new(Kind::TrafficSplit, "", "")), None)]);
    }
}
