//! A pod's `/etc/resolv.conf` and `/etc/hosts`. Pure.

use k8s_openapi::api::core::v1::Pod;

use super::pod_view::PodView;

/// Limits of the C library's resolver, which upstream keeps.
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
/// Longest search line, in characters.
const MAX_SEARCH_LINE: usize = 2048;

/// The parts of a resolver configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Resolver {
    nameservers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

impl Resolver {
    fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let Some(keyword) = words.next() else { continue };
            let rest = words.map(str::to_owned);
            match keyword {
                "nameserver" => parsed.nameservers.extend(rest.take(1)),
                // The last search line counts.
                "search" => parsed.searches = rest.collect(),
                "options" => parsed.options = rest.collect(),
                _ => {}
            }
        }
        parsed
    }

    fn text(mut self) -> String {
        self.nameservers.truncate(MAX_NAMESERVERS);
        self.searches.truncate(MAX_SEARCHES);
        let mut text = String::new();
        let mut search = self.searches.join(" ");
        while search.len() > MAX_SEARCH_LINE && self.searches.pop().is_some() {
            search = self.searches.join(" ");
        }
        if !search.is_empty() {
            text.push_str(&format!("search {search}\n"));
        }
        for server in &self.nameservers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        if !self.options.is_empty() {
            text.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        text
    }
}

/// `/etc/resolv.conf` for a pod; `host` is the node's own.
pub fn resolv_conf(pod: &Pod, host: &str, cluster_dns: &str, domain: &str) -> String {
    let spec = pod.spec.clone().unwrap_or_default();
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let host = Resolver::parse(host);
    let cluster = match policy {
        "ClusterFirstWithHostNet" => true,
        "ClusterFirst" => !pod.host_network(),
        _ => false,
    };
    let mut resolver = if cluster {
        let namespace = PodView::namespace(pod);
        let mut searches =
            vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
        searches.extend(host.searches);
        Resolver {
            nameservers: vec![cluster_dns.to_owned()],
            searches,
            options: vec!["ndots:5".to_owned()],
        }
    } else if policy == "None" {
        Resolver::default()
    } else {
        host
    };
    if let Some(own) = spec.dns_config {
        add_new(&mut resolver.nameservers, own.nameservers.into_iter().flatten());
        add_new(&mut resolver.searches, own.searches.into_iter().flatten());
        for option in own.options.into_iter().flatten() {
            let name = option.name.unwrap_or_default();
            resolver.options.retain(|o| o.split(':').next() != Some(name.as_str()));
            resolver.options.push(match option.value {
                Some(value) => format!("{name}:{value}"),
                None => name,
            });
        }
    }
    resolver.text()
}

fn add_new(list: &mut Vec<String>, more: impl Iterator<Item = String>) {
    for one in more {
        if !list.contains(&one) {
            list.push(one);
        }
    }
}

/// The name a pod calls itself.
pub fn hostname(pod: &Pod) -> String {
    let own = pod.spec.as_ref().and_then(|s| s.hostname.clone()).filter(|h| !h.is_empty());
    let name = own.unwrap_or_else(|| PodView::name(pod).to_owned());
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// `/etc/hosts` for a pod with its own network.
pub fn hosts(pod: &Pod, ips: &[String], domain: &str) -> String {
    let mut text = String::from(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost \
         ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\n\
         fe00::2\tip6-allrouters\n",
    );
    let host = hostname(pod);
    let subdomain = pod.spec.as_ref().and_then(|s| s.subdomain.clone()).filter(|s| !s.is_empty());
    for ip in ips {
        match &subdomain {
            Some(sub) => {
                let namespace = PodView::namespace(pod);
                text.push_str(&format!("{ip}\t{host}.{sub}.{namespace}.svc.{domain}\t{host}\n"));
            }
            None => text.push_str(&format!("{ip}\t{host}\n")),
        }
    }
    text + &host_aliases(pod)
}

/// The lines of `hostAliases`.
pub fn host_aliases(pod: &Pod) -> String {
    let aliases = pod.spec.iter().flat_map(|s| s.host_aliases.iter().flatten());
    let mut text = String::new();
    for alias in aliases {
        if text.is_empty() {
            text.push_str("\n# Entries added by HostAliases.\n");
        }
        let names = alias.hostnames.clone().unwrap_or_default().join("\t");
        text.push_str(&format!("{}\t{names}\n", alias.ip));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "web-0", "namespace": "shop"},
            "spec": spec}))
        .unwrap()
    }

    #[test]
    fn resolver_by_policy() {
        let host = "# c\nsearch corp.example\nnameserver 1.1.1.1\noptions edns0\n";
        let cluster = "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\n\
                       nameserver 10.96.0.10\noptions ndots:5\n";
        let plain = "search corp.example\nnameserver 1.1.1.1\noptions edns0\n";
        let table = [
            (json!({"containers": []}), cluster),
            (json!({"containers": [], "hostNetwork": true}), plain),
            (
                json!({"containers": [], "hostNetwork": true,
                    "dnsPolicy": "ClusterFirstWithHostNet"}),
                cluster,
            ),
            (json!({"containers": [], "dnsPolicy": "Default"}), plain),
            (
                json!({"containers": [], "dnsPolicy": "None", "dnsConfig": {
                    "nameservers": ["9.9.9.9"], "searches": ["a.b"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "use-vc"}]}}),
                "search a.b\nnameserver 9.9.9.9\noptions ndots:2 use-vc\n",
            ),
        ];
        for (spec, expected) in table {
            let text = resolv_conf(&pod(spec.clone()), host, "10.96.0.10", "cluster.local");
            assert_eq!(text, expected, "{spec}");
        }
    }

    #[test]
    fn hosts_name_the_pod_and_its_aliases() {
        let pod = pod(json!({"containers": [], "subdomain": "web",
            "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["foo", "bar"]}]}));
        let text = hosts(&pod, &["10.244.0.3".to_owned()], "cluster.local");
        assert!(text.contains("10.244.0.3\tweb-0.web.shop.svc.cluster.local\tweb-0\n"));
        assert!(text.ends_with("\n# Entries added by HostAliases.\n1.2.3.4\tfoo\tbar\n"));
    }
}
