//! What happens to every cluster, under a constant load of 200 requests per second, of which not one may fail. These tests end
//! replicas and replace roots: they have a node of their own, and take turns on it.

mod a_pod_joins;
mod scene;
mod the_app_changes;
mod the_control_plane_goes_away;
mod trust_changes;
