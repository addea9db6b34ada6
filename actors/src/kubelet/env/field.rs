//! `fieldRef` of environment variables and downward API volumes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

/// Value of a field path of the pod; `None` for a path that is not supported. Addresses are the
/// kubelet's own, since the stored status may lag.
pub fn pod_field(pod: &Pod, path: &str, pod_ips: &[String], host_ips: &[String]) -> Option<String> {
    let meta = &pod.metadata;
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => meta.labels.as_ref(),
            "metadata.annotations" => meta.annotations.as_ref(),
            _ => return None,
        };
        return Some(map.and_then(|m| m.get(key)).cloned().unwrap_or_default());
    }
    let spec = pod.spec.as_ref();
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    Some(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => format_map(meta.labels.as_ref()),
        "metadata.annotations" => format_map(meta.annotations.as_ref()),
        "spec.nodeName" => spec.and_then(|s| s.node_name.clone()).unwrap_or_default(),
        "spec.serviceAccountName" => {
            spec.and_then(|s| s.service_account_name.clone()).unwrap_or_default()
        }
        "status.hostIP" => first(host_ips),
        "status.hostIPs" => host_ips.join(","),
        "status.podIP" => first(pod_ips),
        "status.podIPs" => pod_ips.join(","),
        _ => return None,
    })
}

/// `metadata.labels['key']` as its two parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

/// Sorted `key="escaped value"` lines, as upstream's `fieldpath.FormatMap`.
fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={}", quote(value));
    map.into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

/// A double-quoted string as Go's `%q` prints it, for what labels and annotations hold.
fn quote(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_a_pod() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u",
                "labels": {"b": "2", "a": "1"}, "annotations": {"note": "two\n\"lines\""}},
            "spec": {"nodeName": "n1", "serviceAccountName": "sa", "containers": []},
        }))
        .unwrap();
        let ips = ["10.244.0.5".to_owned()];
        let hosts = ["192.168.0.1".to_owned()];
        let table = [
            ("metadata.name", Some("p")),
            ("metadata.labels['a']", Some("1")),
            ("metadata.labels['none']", Some("")),
            ("metadata.labels", Some("a=\"1\"\nb=\"2\"")),
            ("metadata.annotations", Some("note=\"two\\n\\\"lines\\\"\"")),
            ("spec.nodeName", Some("n1")),
            ("status.podIP", Some("10.244.0.5")),
            ("status.hostIP", Some("192.168.0.1")),
            ("spec.hostname", None),
        ];
        for (path, expected) in table {
            assert_eq!(pod_field(&pod, path, &ips, &hosts).as_deref(), expected, "{path}");
        }
    }
}
