//! Service environment variables, as upstream's `pkg/kubelet/envvars`.

/// What the kubelet keeps of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEntry {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Cluster address; services without one get no variables.
    pub cluster_ip: String,
    /// `(name, protocol, port)` in order.
    pub ports: Vec<(String, String, i32)>,
}

/// Variables a pod of `namespace` sees: its own namespace's services when `links`, and always
/// `default/kubernetes`.
pub fn service_env<'a>(
    services: impl IntoIterator<Item = &'a ServiceEntry>,
    namespace: &str,
    links: bool,
) -> Vec<(String, String)> {
    let mut env = Vec::new();
    for service in services {
        let master = service.namespace == "default" && service.name == "kubernetes";
        let wanted = (links && service.namespace == namespace) || master;
        if wanted && !service.ports.is_empty() && !service.cluster_ip.is_empty() {
            one_service(service, &mut env);
        }
    }
    env
}

fn one_service(service: &ServiceEntry, env: &mut Vec<(String, String)>) {
    let Some((_, _, first_port)) = service.ports.first() else { return };
    let ip = &service.cluster_ip;
    let prefix = upper(&service.name);
    env.push((format!("{prefix}_SERVICE_HOST"), ip.clone()));
    env.push((format!("{prefix}_SERVICE_PORT"), first_port.to_string()));
    for (name, _, port) in service.ports.iter().filter(|(name, ..)| !name.is_empty()) {
        env.push((format!("{prefix}_SERVICE_PORT_{}", upper(name)), port.to_string()));
    }
    let url = |protocol: &str, port: i32| {
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
        format!("{}://{host}:{port}", protocol.to_lowercase())
    };
    for (at, (_, protocol, port)) in service.ports.iter().enumerate() {
        if at == 0 {
            env.push((format!("{prefix}_PORT"), url(protocol, *port)));
        }
        let port_prefix = format!("{prefix}_PORT_{port}_{}", protocol.to_uppercase());
        env.push((port_prefix.clone(), url(protocol, *port)));
        env.push((format!("{port_prefix}_PROTO"), protocol.to_lowercase()));
        env.push((format!("{port_prefix}_PORT"), port.to_string()));
        env.push((format!("{port_prefix}_ADDR"), ip.clone()));
    }
}

fn upper(name: &str) -> String {
    name.to_uppercase().replace(['-', '.'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(namespace: &str, name: &str, ports: &[(&str, i32)]) -> ServiceEntry {
        ServiceEntry {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            cluster_ip: "10.96.0.7".to_owned(),
            ports: ports.iter().map(|(n, p)| ((*n).to_owned(), "TCP".to_owned(), *p)).collect(),
        }
    }

    #[test]
    fn variables_of_the_own_namespace_and_the_api() {
        let all = [
            service("default", "kubernetes", &[("https", 443)]),
            service("shop", "web-front", &[("", 80)]),
            service("other", "hidden", &[("", 1)]),
        ];
        let env = service_env(&all, "shop", true);
        let expected = [
            ("KUBERNETES_SERVICE_HOST", "10.96.0.7"),
            ("KUBERNETES_SERVICE_PORT", "443"),
            ("KUBERNETES_SERVICE_PORT_HTTPS", "443"),
            ("KUBERNETES_PORT", "tcp://10.96.0.7:443"),
            ("KUBERNETES_PORT_443_TCP", "tcp://10.96.0.7:443"),
            ("KUBERNETES_PORT_443_TCP_PROTO", "tcp"),
            ("KUBERNETES_PORT_443_TCP_PORT", "443"),
            ("KUBERNETES_PORT_443_TCP_ADDR", "10.96.0.7"),
            ("WEB_FRONT_SERVICE_HOST", "10.96.0.7"),
        ];
        for (at, (name, value)) in expected.into_iter().enumerate() {
            assert_eq!(env[at], (name.to_owned(), value.to_owned()));
        }
        assert_eq!(env.len(), 8 + 7);
        assert_eq!(service_env(&all, "shop", false).len(), 8);
    }
}
