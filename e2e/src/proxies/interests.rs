//! What an Envoy subscribes to because of its clusters and listeners. Learnt once, from one client's resources: all
//! clients see the same names.

use std::collections::BTreeSet;

use bytes::Bytes;
use envoy_types::pb::{
    envoy::{
        config::{cluster::v3::Cluster, core::v3::TransportSocket, listener::v3::Listener},
        extensions::{
            filters::network::http_connection_manager::v3::{
                HttpConnectionManager, http_connection_manager::RouteSpecifier,
            },
            transport_sockets::tls::v3::{
                CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext, common_tls_context::ValidationContextType,
            },
        },
        service::discovery::v3::Resource,
    },
    google::protobuf::Any,
};
use prost::Message;

/// Names to subscribe to, by type.
#[derive(Clone, Debug, Default)]
pub struct Interests {
    /// EDS.
    pub endpoints: BTreeSet<String>,
    /// RDS.
    pub routes: BTreeSet<String>,
    /// SDS.
    pub secrets: BTreeSet<String>,
}

impl Interests {
    /// Adds what a cluster makes Envoy ask for.
    ///
    /// # Errors
    /// When it is no cluster.
    pub fn add_cluster(&mut self, resource: Bytes) -> Result<(), prost::DecodeError> {
        let cluster: Cluster = unpack(resource)?;
        if let Some(eds) = &cluster.eds_cluster_config {
            let name = if eds.service_name.is_empty() { &cluster.name } else { &eds.service_name };
            self.endpoints.insert(name.clone());
        }
        let matched = cluster.transport_socket_matches.into_iter().filter_map(|m| m.transport_socket);
        for socket in matched.chain(cluster.transport_socket) {
            let tls: Option<UpstreamTlsContext> = typed(socket)?;
            self.add_tls(tls.and_then(|tls| tls.common_tls_context));
        }
        Ok(())
    }

    /// Adds what a listener makes Envoy ask for.
    ///
    /// # Errors
    /// When it is no listener.
    pub fn add_listener(&mut self, resource: Bytes) -> Result<(), prost::DecodeError> {
        let listener: Listener = unpack(resource)?;
        for chain in listener.filter_chains.into_iter().chain(listener.default_filter_chain) {
            if let Some(socket) = chain.transport_socket {
                let tls: Option<DownstreamTlsContext> = typed(socket)?;
                self.add_tls(tls.and_then(|tls| tls.common_tls_context));
            }
            for config in chain.filters.into_iter().filter_map(|filter| filter.config_type) {
                use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType::TypedConfig;
                let TypedConfig(any) = config else { continue };
                let manager: Option<HttpConnectionManager> = of_type(any)?;
                if let Some(RouteSpecifier::Rds(rds)) = manager.and_then(|manager| manager.route_specifier) {
                    self.routes.insert(rds.route_config_name);
                }
            }
        }
        Ok(())
    }

    fn add_tls(&mut self, tls: Option<CommonTlsContext>) {
        let Some(tls) = tls else { return };
        let validation = match tls.validation_context_type {
            Some(ValidationContextType::ValidationContextSdsSecretConfig(sds)) => Some(sds),
            Some(ValidationContextType::CombinedValidationContext(both)) => both.validation_context_sds_secret_config,
            _ => None,
        };
        let certificates = tls.tls_certificate_sds_secret_configs.into_iter();
        self.secrets.extend(certificates.chain(validation).map(|sds| sds.name));
    }
}

fn unpack<M: Message + Default>(resource: Bytes) -> Result<M, prost::DecodeError> {
    M::decode(&*Resource::decode(resource)?.resource.unwrap_or_default().value)
}

fn typed<M: Message + Default + prost::Name>(socket: TransportSocket) -> Result<Option<M>, prost::DecodeError> {
    use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType::TypedConfig;
    match socket.config_type {
        Some(TypedConfig(any)) => of_type(any),
        None => Ok(None),
    }
}

fn of_type<M: Message + Default + prost::Name>(any: Any) -> Result<Option<M>, prost::DecodeError> {
    if any.type_url.ends_with(&M::full_name()) { M::decode(&*any.value).map(Some) } else { Ok(None) }
}
