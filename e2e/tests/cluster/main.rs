//! Tests on a whole cluster, all in one program: they share one node, which takes a while to start, and keep apart by namespaces.

mod a_labelled_namespace_is_in_the_mesh;
mod a_pod_loses_the_control_plane;
mod pods_have_the_roots_from_a_bundle;
mod protocols_of_every_kind;
mod shares;
mod shop;
mod the_node_is_a_real_cluster;
mod the_readme_holds_on_a_cluster;
mod what_a_running_mesh_says;
mod what_the_webhook_says;
mod who_is_refused;
mod workloads_of_every_kind;
