//! Ports of a Service as one pod serves them.

use crate::controllers::model::{EndpointPort, IntOrString, Pod, Service, ServicePort};

/// The ports, sorted; a named target port a pod does not declare is left out for that pod. Empty
/// for a headless service without ports, whose endpoints are addresses only.
pub(super) fn of_pod(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let mut ports: Vec<_> = service
        .spec
        .ports
        .iter()
        .filter_map(|port| {
            Some(EndpointPort {
                name: port.name.clone(),
                port: Some(target(port, pod)?),
                protocol: port.protocol.clone(),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort();
    ports
}

fn target(port: &ServicePort, pod: &Pod) -> Option<i64> {
    let name = match &port.target_port {
        // Never 0 after defaulting.
        IntOrString::Int(0) => return Some(port.port),
        IntOrString::Int(number) => return Some(*number),
        IntOrString::Text(name) => name,
    };
    let sidecars = pod.spec.init_containers.iter().filter(|c| c.restart_policy == "Always");
    pod.spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| &container.ports)
        .find(|declared| declared.name == *name && declared.protocol == port.protocol)
        .map(|declared| i64::from(declared.container_port))
}
