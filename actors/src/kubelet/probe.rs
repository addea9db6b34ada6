//! Carries out probes and lifecycle hooks: exec, HTTP, TCP, sleep.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::core::v1::{
        Container, ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use tokio::{net::TcpStream, time::timeout};

use super::{machine::ProbeOutcome, sandbox::PodSandbox};

/// Longest output of a probe shown in an event, in bytes (upstream `maxProbeMessageLength`).
const MAX_OUTPUT: usize = 10 * 1024;
/// An HTTP hook has no timeout of its own.
const HOOK_WITHIN: Duration = Duration::from_secs(30 * 60);

/// What a probe or hook acts on.
#[derive(Clone)]
pub struct Target {
    /// The pod's sandbox.
    pub sandbox: Arc<dyn PodSandbox>,
    /// Runtime id of the container.
    pub id: String,
    /// The container's spec, for named ports.
    pub container: Container,
    /// The pod's address.
    pub ip: String,
    /// HTTP client.
    pub http: reqwest::Client,
}

/// Runs a probe once.
pub async fn run_probe(target: &Target, probe: &Probe) -> ProbeOutcome {
    let seconds = probe.timeout_seconds.filter(|s| *s > 0).unwrap_or(1);
    let within = Duration::from_secs(u64::from(seconds.unsigned_abs()));
    if let Some(exec) = &probe.exec {
        return exec_probe(target, exec, within).await;
    }
    if let Some(get) = &probe.http_get {
        return http_probe(target, get, within).await;
    }
    if let Some(tcp) = &probe.tcp_socket {
        return tcp_probe(target, tcp, within).await;
    }
    ProbeOutcome::Failure(
        "gRPC probes are not supported by this node; use exec, http or tcp".into(),
    )
}

async fn exec_probe(target: &Target, exec: &ExecAction, within: Duration) -> ProbeOutcome {
    let command = exec.command.clone().unwrap_or_default();
    match target.sandbox.exec(&target.id, &command, within).await {
        Ok(result) if result.timed_out => {
            let command = command.join(" ");
            ProbeOutcome::Failure(format!(
                "command timed out: {command:?} timed out after {within:?}"
            ))
        }
        Ok(result) if result.code == 0 => ProbeOutcome::Success,
        Ok(result) => {
            let mut output = result.stdout;
            output.extend_from_slice(&result.stderr);
            output.truncate(MAX_OUTPUT);
            ProbeOutcome::Failure(String::from_utf8_lossy(&output).into_owned())
        }
        // The command is not there: that is an answer, as upstream sees it.
        Err(kabuki_runtime::Error::Exec(reason)) => ProbeOutcome::Failure(reason),
        Err(error) => ProbeOutcome::Unknown(error.to_string()),
    }
}

async fn http_probe(target: &Target, get: &HTTPGetAction, within: Duration) -> ProbeOutcome {
    let url = match url(target, get) {
        Ok(url) => url,
        Err(reason) => return ProbeOutcome::Failure(reason),
    };
    match timeout(within, request(target, get, &url)).await {
        Ok(Ok(response)) => {
            let code = response.status().as_u16();
            if (200..400).contains(&code) {
                ProbeOutcome::Success
            } else {
                ProbeOutcome::Failure(format!("HTTP probe failed with statuscode: {code}"))
            }
        }
        Ok(Err(error)) => ProbeOutcome::Failure(format!("Get \"{url}\": {}", root_cause(&error))),
        Err(_) => ProbeOutcome::Failure(format!(
            "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
    }
}

async fn tcp_probe(target: &Target, tcp: &TCPSocketAction, within: Duration) -> ProbeOutcome {
    let Some(port) = port(&target.container, &tcp.port) else {
        return ProbeOutcome::Failure(format!("couldn't find port: {:?}", tcp.port));
    };
    let host = tcp.host.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| target.ip.clone());
    let address = join(&host, port);
    match timeout(within, TcpStream::connect(&address)).await {
        Ok(Ok(_)) => ProbeOutcome::Success,
        Ok(Err(error)) => ProbeOutcome::Failure(format!("dial tcp {address}: {error}")),
        Err(_) => ProbeOutcome::Failure(format!("dial tcp {address}: i/o timeout")),
    }
}

/// Runs a postStart or preStop hook.
///
/// # Errors
/// What went wrong, for an event.
pub async fn run_hook(
    target: &Target,
    hook: &LifecycleHandler,
    within: Duration,
) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        let command = exec.command.clone().unwrap_or_default();
        let result = target.sandbox.exec(&target.id, &command, within).await;
        return match result.map_err(|e| e.to_string())? {
            result if result.timed_out => Err(format!("timed out after {within:?}")),
            result if result.code == 0 => Ok(()),
            result => {
                let output = String::from_utf8_lossy(&result.stderr).into_owned();
                Err(format!("command exited with {}: {output}", result.code))
            }
        };
    }
    if let Some(get) = &hook.http_get {
        let url = url(target, get)?;
        let response = timeout(within.min(HOOK_WITHIN), request(target, get, &url)).await;
        return match response {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("Get \"{url}\": {}", root_cause(&error))),
            Err(_) => Err(format!("Get \"{url}\": timed out after {within:?}")),
        };
    }
    if let Some(sleep) = &hook.sleep {
        let wanted = Duration::from_secs(sleep.seconds.unsigned_abs());
        tokio::time::sleep(wanted.min(within)).await;
        return Ok(());
    }
    Err("this kind of lifecycle hook is not supported by this node".to_owned())
}

async fn request(
    target: &Target,
    get: &HTTPGetAction,
    url: &str,
) -> Result<reqwest::Response, reqwest::Error> {
    let mut request = target.http.get(url).header("Accept", "*/*");
    for header in get.http_headers.iter().flatten() {
        request = request.header(&header.name, &header.value);
    }
    request.send().await
}

fn url(target: &Target, get: &HTTPGetAction) -> Result<String, String> {
    let port = port(&target.container, &get.port)
        .ok_or_else(|| format!("couldn't find port: {:?}", get.port))?;
    let host = get.host.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| target.ip.clone());
    let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    let path = get.path.as_deref().unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(format!("{scheme}://{}{slash}{path}", join(&host, port)))
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn port(container: &Container, port: &IntOrString) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            match ports.find(|p| p.name.as_deref() == Some(name)) {
                Some(port) => port.container_port,
                None => name.parse().ok()?,
            }
        }
    };
    u16::try_from(number).ok().filter(|p| *p > 0)
}

/// The innermost error: what the network said.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_by_number_and_name() {
        let container: Container = serde_json::from_value(
            json!({"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}),
        )
        .unwrap();
        let table = [
            (IntOrString::Int(80), Some(80)),
            (IntOrString::String("web".into()), Some(8080)),
            (IntOrString::String("81".into()), Some(81)),
            (IntOrString::String("none".into()), None),
            (IntOrString::Int(0), None),
        ];
        for (given, expected) in table {
            assert_eq!(port(&container, &given), expected, "{given:?}");
        }
    }
}
