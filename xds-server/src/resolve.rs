//! Resources that only one proxy may have: its own certificate.

use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt, empty};
use smidge_xds::{Name, ProxyId, Resource, TypeUrl};

/// Makes the resources that belong to one proxy. They stand above the published layers: a name that is resolved is
/// never looked for there, and never told to be absent.
pub trait Resolve: Send + Sync + 'static {
    /// The names it answers for, for every proxy; fixed for the life of the server.
    fn names(&self) -> Vec<(TypeUrl, Name)>;

    /// The resource for one stream of this proxy: the first as soon as there is one, then each renewal, which is
    /// sent at once. Dropped when the stream ends or unsubscribes. A stream that ends leaves the last one in force.
    fn resolve(&self, proxy: &ProxyId, type_url: TypeUrl, name: &Name) -> BoxStream<'static, Arc<Resource>>;
}

/// Resolves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoResolver;

impl Resolve for NoResolver {
    fn names(&self) -> Vec<(TypeUrl, Name)> {
        Vec::new()
    }

    fn resolve(&self, _: &ProxyId, _: TypeUrl, _: &Name) -> BoxStream<'static, Arc<Resource>> {
        empty().boxed()
    }
}
