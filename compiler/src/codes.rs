//! The catalogue of diagnostics. A code is permanent: a retired one stays listed and is never used for something else.

use crate::{Code, Condition, Severity};

macro_rules! catalogue {
    ($($id:literal $name:ident $severity:ident $condition:tt $reason:literal: $meaning:literal $remedy:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: Code = Code {
                id: $id,
                reason: $reason,
                severity: Severity::$severity,
                condition: catalogue!(@ $condition),
                meaning: $meaning,
                remedy: $remedy,
            };
        )*
        /// Every code, in order.
        pub const CATALOGUE: &[Code] = &[$($name),*];
    };
    (@ -) => { None };
    (@ $condition:ident) => { Some(Condition::$condition) };
}

/// The errors that the object alone decides, whatever else there is: it can never work, so the API server is told to refuse it.
pub const REFUSED: &[Code] = &[
    ROOT_NOT_OWN,
    BACKEND_NOT_OWN,
    NO_BACKENDS,
    NO_WEIGHT,
    WEIGHT_OVERFLOW,
    TOO_MANY_BACKENDS,
    UNKNOWN_GROUP,
    DESTINATION_NAMESPACE_MISMATCH,
    DESTINATION_KIND,
    SOURCE_KIND,
    NO_SOURCES,
    NO_RULES,
    TOO_MANY_PARTS,
    BAD_REGEX,
    REGEX_TOO_LARGE,
    BAD_HEADER,
    DUPLICATE_MATCH,
    TOO_MANY_MATCHES,
    NO_MATCHES,
    BAD_PORT,
    BAD_TRUST_DOMAIN,
    NOT_DEFAULT,
    INGRESS_NO_BACKENDS,
    INGRESS_NO_SOURCES,
    BAD_SOURCE,
    INGRESS_TOO_MANY_PARTS,
];

catalogue! {
    "SMI0101" ROOT_NOT_OWN Error Accepted "InvalidService":
        "`spec.service` names no Service of the split's own namespace, so the split is not in force."
        "Write the Service's short name, or its full name in the split's own namespace.";
    "SMI0102" BACKEND_NOT_OWN Error ResolvedRefs "InvalidBackend":
        "A backend names no Service of the split's own namespace, so it gets nothing."
        "Write the Service's short name, or its full name in the split's own namespace.";
    "SMI0103" NO_BACKENDS Error Accepted "NoBackends":
        "The split has no backend that it may have, so traffic goes to the root service."
        "Name at least one backend with a weight.";
    "SMI0104" NO_WEIGHT Error Accepted "NoWeight":
        "All weights are 0, so traffic goes to the root service as if there were no split."
        "Give at least one backend a weight above 0.";
    "SMI0105" WEIGHT_OVERFLOW Error Accepted "TooHeavy":
        "The weights add up to 2³² or more, so the split is not in force."
        "Divide all weights by the same number; they are relative.";
    "SMI0106" DUPLICATE_BACKEND Warning - "DuplicateBackend":
        "A backend is named more than once; its weights are added."
        "Name each backend once.";
    "SMI0107" CONFLICTED Error Accepted "Conflicted":
        "An older split without `matches` is in force for the same root service."
        "Delete one of the two, or give this one `matches`.";
    "SMI0108" SPLIT_NOT_MESHED Error Accepted "NamespaceNotMeshed":
        "The split's namespace is not in the mesh, so nobody follows the split."
        "Label the namespace `smidge.dev/inject: enabled`.";
    "SMI0109" ROOT_NOT_FOUND Error ResolvedRefs "ServiceNotFound":
        "The root service does not exist, or has no address to call it by."
        "Create the Service, with a selector or a cluster IP.";
    "SMI0110" BACKEND_NOT_FOUND Error ResolvedRefs "BackendNotFound":
        "A backend does not exist yet; the others get its share until it does."
        "Create the Service, or remove the backend.";
    "SMI0111" BACKEND_EXTERNAL Error ResolvedRefs "BackendExternal":
        "A backend is of type ExternalName and has no endpoints; the others get its share."
        "Name a Service that has endpoints.";
    "SMI0112" PORT_MISMATCH Error ResolvedRefs "PortNotFound":
        "A backend lacks a TCP port of the root service, so it gets nothing of that port's traffic."
        "Give the backend a port with the same number; its `targetPort` may differ.";
    "SMI0113" GROUP_NOT_FOUND Error ResolvedRefs "RouteNotFound":
        "An HTTPRouteGroup that the split names does not exist, so no request is chosen by it."
        "Create it in the split's namespace, or remove it from `matches`.";
    "SMI0114" GROUP_UNUSABLE Error ResolvedRefs "NoUsableMatch":
        "An HTTPRouteGroup that the split names has no usable match, so no request is chosen by it."
        "Mend the group; its own status says what is wrong.";
    "SMI0115" MATCHES_ON_TCP Warning - "NotForTcp":
        "TCP connections have no routes: on this port a split with `matches` does nothing for them, they go to the root service."
        "Declare the port's protocol as HTTP (`appProtocol: http`) if it is, or use a split without `matches`.";
    "SMI0116" CALLER_LACKS_TARGET Warning - "CallerDenied":
        "A caller that may call the root service may not call a backend: a split grants nothing."
        "Add a TrafficTarget for the backend's service account.";
    "SMI0117" TOO_MANY_BACKENDS Error Accepted "TooManyBackends":
        "The split has more backends than Smidge takes; those beyond get nothing."
        "Use fewer backends.";
    "SMI0118" UNKNOWN_GROUP Error ResolvedRefs "InvalidRoute":
        "`matches` names something else than an HTTPRouteGroup of `specs.smi-spec.io`, so no request is chosen by it."
        "Name an HTTPRouteGroup.";
    "SMI0201" DESTINATION_NAMESPACE_MISMATCH Error Accepted "DestinationNamespaceMismatch":
        "The destination is in another namespace than the target: who may write in one namespace must not open another."
        "Put the target into the destination's namespace.";
    "SMI0202" DESTINATION_KIND Error Accepted "UnsupportedDestination":
        "The destination is no ServiceAccount, so the target opens nothing."
        "Name a ServiceAccount.";
    "SMI0203" SOURCE_KIND Error ResolvedRefs "UnsupportedSource":
        "A source is no ServiceAccount; it stays locked out."
        "Name ServiceAccounts.";
    "SMI0204" NO_SOURCES Error Accepted "NoSources":
        "No usable source is named, so the target opens nothing."
        "Name at least one ServiceAccount.";
    "SMI0205" NO_RULES Error Accepted "NoRules":
        "No rule is named, so the target opens nothing."
        "Name at least one HTTPRouteGroup or TCPRoute.";
    "SMI0206" ROUTE_NOT_FOUND Error ResolvedRefs "RouteNotFound":
        "A route that a rule names does not exist; it opens nothing."
        "Create it in the target's namespace, or remove the rule.";
    "SMI0207" MATCH_NOT_FOUND Error ResolvedRefs "MatchNotFound":
        "A rule names a match that its route does not have, or has in an unusable form; it opens nothing."
        "Correct the name, or mend the match; the route's own status says what is wrong.";
    "SMI0208" OPENS_NOTHING Error ResolvedRefs "OpensNothing":
        "Nothing is left of what the rules name, so the target opens nothing."
        "Mend the routes that it names; their own status says what is wrong.";
    "SMI0209" DESTINATION_HAS_NO_PODS Info - "NoPods":
        "No pod runs as the destination."
        "Check the name of the service account, or wait for the pods.";
    "SMI0210" NOT_A_POD_PORT Warning - "ServicePort":
        "A port of a TCPRoute is a Service's port that maps to another port of the pods; what counts is the pod's."
        "Write the target port in the TCPRoute.";
    "SMI0211" UDP_NOT_ENFORCED Warning - "UdpNotEnforced":
        "A rule names a UDPRoute: UDP traffic passes the sidecars untouched, so it is neither opened nor closed by this target."
        "Use a NetworkPolicy for UDP.";
    "SMI0212" DESTINATION_NOT_MESHED Warning - "PodsNotMeshed":
        "A pod of the destination has no sidecar, so nothing is enforced there."
        "Put the pod into the mesh, or keep it from running as this service account.";
    "SMI0213" TOO_MANY_PARTS Error Accepted "TooManyParts":
        "The target has more rules or sources than Smidge takes; those beyond open nothing."
        "Spread them over several targets.";
    "SMI0301" BAD_REGEX Error Accepted "InvalidRegex":
        "A regular expression is not one that Envoy (RE2) and Smidge read alike; its match counts as absent."
        "Use the plain parts of RE2: literals, `.`, classes, groups, alternatives, repetitions.";
    "SMI0302" REGEX_TOO_LARGE Error Accepted "RegexTooLarge":
        "A regular expression is too long or compiles into too large a program; its match counts as absent."
        "Shorten it; replace counted repetitions with `*` or `+`.";
    "SMI0303" BAD_HEADER Error Accepted "InvalidHeader":
        "A header condition is unfit; its match counts as absent."
        "Write each header once, by a valid name, one key for each item.";
    "SMI0304" DUPLICATE_MATCH Error Accepted "DuplicateMatch":
        "Two matches have the same name; only the first counts."
        "Give each match a name of its own.";
    "SMI0305" TOO_MANY_MATCHES Error Accepted "TooManyMatches":
        "The group has more matches than Smidge takes; those beyond count as absent."
        "Spread them over several groups.";
    "SMI0306" NO_MATCHES Error Accepted "NoMatches":
        "The group has no match, so it opens and chooses nothing."
        "Add a match; one with a name alone matches every request.";
    "SMI0307" ROUTE_UNUSED Info - "Unused":
        "No TrafficTarget, TrafficSplit or IngressBackend names it."
        "Name it, or delete it.";
    "SMI0308" UDP_ROUTE Warning - "UdpNotEnforced":
        "UDP traffic passes the sidecars untouched: a UDPRoute is read, and neither opens nor closes anything."
        "Use a NetworkPolicy for UDP.";
    "SMI0309" BAD_PORT Error Accepted "InvalidPort":
        "Port 0 is none; it is left out."
        "Write ports from 1 to 65535.";
    "SMI0401" ADDRESS_TAKEN Error - "AddressTaken":
        "An older Service has the same cluster IP; the address stays with that one."
        "Let the API server choose the address.";
    "SMI0402" FOREIGN_ENDPOINT Error - "ForeignAddress":
        "An EndpointSlice holds the address of a pod of another namespace; the endpoint is left out."
        "Remove the address: an EndpointSlice may only hold pods of its own namespace.";
    "SMI0403" UNKNOWN_APP_PROTOCOL Info - "UnknownAppProtocol":
        "`appProtocol` is none that Smidge knows; the port's name and the mesh's default decide."
        "Write http, http2, grpc, tcp or one of the documented others.";
    "SMI0404" DIRECT_ADDRESS_TAKEN Warning - "DirectAddressTaken":
        "An older headless Service has the same pods and ports; calls to a pod's own address are counted as that one's."
        "Nothing, if it is meant so.";
    "SMI0405" PROTOCOLS_DISAGREE Warning - "ProtocolsDisagree":
        "Another Service sends traffic of another protocol to the same port of the same pods; the pod's side finds the protocol out by itself."
        "Declare the same protocol in both.";
    "SMI0501" UNKNOWN_MODE Warning - "UnknownMode":
        "A namespace's mode is none of deny, audit, allow; the mesh's own mode holds."
        "Write one of the three.";
    "SMI0502" BAD_TRUST_DOMAIN Error Accepted "InvalidTrustDomain":
        "The trust domain is none; the default `cluster.local` holds."
        "Write 1 to 255 characters of a-z, 0-9, '.', '-' and '_'.";
    "SMI0503" NOT_DEFAULT Error Accepted "NotDefault":
        "Only the MeshConfig with the name `default` counts."
        "Rename it, or delete it.";
    "SMI0504" UNKNOWN_MTLS Warning - "UnknownMtls":
        "A namespace's label `smidge.dev/mtls` is neither strict nor permissive; what the mesh says holds."
        "Write one of the two.";
    "SMI0505" POD_SECURITY Warning - "PodSecurity":
        "A meshed namespace enforces the Pod Security level baseline or restricted, which refuses the init container that redirects traffic: new pods are not created."
        "Label the namespace `pod-security.kubernetes.io/enforce: privileged`; `warn` and `audit` may stay.";
    "SMI0601" INGRESS_NO_BACKENDS Error Accepted "NoBackends":
        "No backend is named, so nothing is opened."
        "Name at least one Service and its port.";
    "SMI0602" INGRESS_NO_SOURCES Error Accepted "NoSources":
        "No usable source is named, so nobody is let in."
        "Name at least one range of addresses, Service or principal.";
    "SMI0603" BAD_SOURCE Error Accepted "InvalidSource":
        "A source is unfit; it stays locked out."
        "Write `cidr: 10.0.0.0/8` for an IPRange, `name` for a Service, a URI or DNS name for an AuthenticatedPrincipal.";
    "SMI0604" INGRESS_TOO_MANY_PARTS Error Accepted "TooManyParts":
        "It has more backends, sources or routes than Smidge takes; those beyond open nothing."
        "Spread them over several IngressBackends.";
    "SMI0605" INGRESS_SERVICE_NOT_FOUND Error ResolvedRefs "ServiceNotFound":
        "A backend's Service does not exist; nothing is opened by it."
        "Create the Service in the same namespace, or remove the backend.";
    "SMI0606" INGRESS_PORT_NOT_FOUND Error ResolvedRefs "PortNotFound":
        "A backend's Service has no such TCP port; nothing is opened by it."
        "Write the number of a port as the Service has it.";
    "SMI0607" SOURCE_NOT_FOUND Error ResolvedRefs "SourceNotFound":
        "A source's Service does not exist; its pods stay locked out."
        "Create the Service, or correct its name and namespace.";
    "SMI0608" INGRESS_ROUTE_NOT_FOUND Error ResolvedRefs "RouteNotFound":
        "An HTTPRouteGroup that a backend names does not exist; it opens nothing."
        "Create it in the same namespace, or remove it from `routes`.";
    "SMI0609" INGRESS_MATCH_NOT_FOUND Error ResolvedRefs "MatchNotFound":
        "A backend names a match that its HTTPRouteGroup does not have, or has in an unusable form; it opens nothing."
        "Correct the name, or mend the match; the group's own status says what is wrong.";
    "SMI0610" INGRESS_ROUTES_ON_TCP Error ResolvedRefs "NotForTcp":
        "A backend names routes for a port that is plain TCP to the mesh: there are no requests, so nothing is opened."
        "Remove `routes`, or declare the port as HTTP (`appProtocol: http`) if it is.";
    "SMI0611" SOURCE_HAS_NO_PODS Info - "NoSourcePods":
        "A source's Service has no endpoint at present."
        "Check its selector, or wait for the pods.";
    "SMI0612" OPEN_TO_EVERYBODY Warning - "OpenToEverybody":
        "A range of length 0 lets in whoever reaches the pod, in plaintext, pods of the mesh included."
        "Write the addresses that are meant; a NetworkPolicy alone does not know routes.";
    "SMI0613" INGRESS_HAS_NO_PODS Info - "NoPods":
        "No pod is behind a backend."
        "Check the Service's selector, or wait for the pods.";
    "SMI0614" INGRESS_NOT_MESHED Warning - "PodsNotMeshed":
        "A pod behind a backend has no sidecar, so nothing is enforced there."
        "Put the pod into the mesh.";
}
