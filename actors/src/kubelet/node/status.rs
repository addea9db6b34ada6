//! The Node object and its status as this node reports them. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ContainerImage, Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use kabuki_runtime::ImageInfo;

use super::{NodeFacts, Pressure};
use crate::kubelet::{config::NodeConfig, networking::NetworkState};

/// Images listed at most (upstream `nodeStatusMaxImages`).
const MAX_IMAGES: usize = 50;
/// Names of one image listed at most.
const MAX_NAMES: usize = 5;

/// The Node as it is registered.
pub(super) fn node(config: &NodeConfig, facts: &NodeFacts) -> Node {
    Node {
        metadata: ObjectMeta {
            name: Some(config.name.clone()),
            labels: Some(labels(config, facts)),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: Some(config.taints.clone()).filter(|t| !t.is_empty()),
            ..NodeSpec::default()
        }),
        status: None,
    }
}

/// The labels this node sets.
pub(super) fn labels(config: &NodeConfig, facts: &NodeFacts) -> BTreeMap<String, String> {
    let mut labels = config.labels.clone();
    let (os, arch) = (&facts.info.operating_system, &facts.info.architecture);
    for (key, value) in [
        ("kubernetes.io/hostname", &config.name),
        ("kubernetes.io/os", os),
        ("kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", os),
        ("beta.kubernetes.io/arch", arch),
    ] {
        labels.insert(key.to_owned(), value.clone());
    }
    labels
}

/// The status; conditions that did not change keep their time from `known`.
pub(super) fn status(
    config: &NodeConfig,
    facts: &NodeFacts,
    network: &NetworkState,
    pressure: Pressure,
    images: &[ImageInfo],
    known: &[NodeCondition],
    now: Timestamp,
) -> NodeStatus {
    let mut addresses: Vec<NodeAddress> = config
        .host_ips()
        .into_iter()
        .map(|address| NodeAddress { type_: "InternalIP".to_owned(), address })
        .collect();
    addresses.push(NodeAddress { type_: "Hostname".to_owned(), address: config.name.clone() });
    NodeStatus {
        capacity: Some(facts.capacity.clone()),
        allocatable: Some(facts.allocatable.clone()),
        addresses: Some(addresses),
        node_info: Some(facts.info.clone()),
        conditions: Some(conditions(network, pressure, known, now)),
        images: Some(listed(images)),
        ..NodeStatus::default()
    }
}

fn conditions(
    network: &NetworkState,
    pressure: Pressure,
    known: &[NodeCondition],
    now: Timestamp,
) -> Vec<NodeCondition> {
    let ready = match network {
        NetworkState::Ready => {
            ("Ready", "True", "KubeletReady", "kubelet is posting ready status".to_owned())
        }
        NetworkState::Waiting(why) => (
            "Ready",
            "False",
            "KubeletNotReady",
            format!("container runtime network not ready: {why}"),
        ),
    };
    let short = |kind, holds, yes: [&'static str; 2], no: [&'static str; 2]| {
        let (status, [reason, message]) = if holds { ("True", yes) } else { ("False", no) };
        (kind, status, reason, message.to_owned())
    };
    let facts = [
        short(
            "MemoryPressure",
            pressure.memory,
            ["KubeletHasInsufficientMemory", "kubelet has insufficient memory available"],
            ["KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
        ),
        short(
            "DiskPressure",
            pressure.disk,
            ["KubeletHasDiskPressure", "kubelet has disk pressure"],
            ["KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
        ),
        short(
            "PIDPressure",
            pressure.pids,
            ["KubeletHasInsufficientPID", "kubelet has insufficient PID available"],
            ["KubeletHasSufficientPID", "kubelet has sufficient PID available"],
        ),
        ready,
    ];
    facts
        .into_iter()
        .map(|(kind, status, reason, message)| {
            let same = known.iter().find(|c| c.type_ == kind && c.status == status);
            NodeCondition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: Some(reason.to_owned()),
                message: Some(message),
                last_heartbeat_time: Some(Time(now)),
                last_transition_time: same
                    .and_then(|c| c.last_transition_time.clone())
                    .or(Some(Time(now))),
            }
        })
        .collect()
}

/// The largest images first, as upstream.
fn listed(images: &[ImageInfo]) -> Vec<ContainerImage> {
    let mut images: Vec<&ImageInfo> = images.iter().collect();
    images.sort_by_key(|i| std::cmp::Reverse(i.size_bytes));
    images
        .into_iter()
        .take(MAX_IMAGES)
        .map(|image| {
            let names = image.digests.iter().chain(&image.references).take(MAX_NAMES);
            ContainerImage {
                names: Some(names.cloned().collect()),
                size_bytes: i64::try_from(image.size_bytes).ok(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_keep_their_time_until_they_turn() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let waiting = NetworkState::Waiting("no pod CIDR".to_owned());
        let calm = Pressure::default();
        let first = conditions(&waiting, calm, &[], at(1));
        assert_eq!(first[3].status, "False");
        assert_eq!(
            first[3].message.as_deref(),
            Some("container runtime network not ready: no pod CIDR")
        );
        let second = conditions(&NetworkState::Ready, calm, &first, at(2));
        assert_eq!(second[3].last_transition_time, Some(Time(at(2))));
        assert_eq!(second[0].last_transition_time, Some(Time(at(1))));
        assert_eq!(second[0].last_heartbeat_time, Some(Time(at(2))));
        let full = Pressure { disk: true, ..calm };
        let third = conditions(&NetworkState::Ready, full, &second, at(3));
        let disk = &third[1];
        assert_eq!((disk.type_.as_str(), disk.status.as_str()), ("DiskPressure", "True"));
        assert_eq!(disk.last_transition_time, Some(Time(at(3))));
    }
}
