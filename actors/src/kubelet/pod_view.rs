//! Short words for what the kubelet asks a Pod object again and again.

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec},
    jiff::Timestamp,
};

/// Restart policy of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Restart whatever ended.
    Always,
    /// Restart what failed.
    OnFailure,
    /// Restart nothing.
    Never,
}

/// Reads a Pod without cloning it.
pub trait PodView {
    /// `metadata.uid`
    fn uid(&self) -> &str;
    /// `metadata.namespace`
    fn namespace(&self) -> &str;
    /// `metadata.name`
    fn name(&self) -> &str;
    /// `name_namespace(uid)`, as upstream formats a pod in messages.
    fn full_name(&self) -> String;
    /// `spec.restartPolicy`
    fn restart_policy(&self) -> RestartPolicy;
    /// When the pod is to be gone, if it is being deleted.
    fn deletion(&self) -> Option<Timestamp>;
    /// Grace of the deletion, or the pod's own, in seconds.
    fn grace_seconds(&self) -> i64;
    /// `spec.hostNetwork`
    fn host_network(&self) -> bool;
    /// `status.phase` as stored is `Succeeded` or `Failed`.
    fn is_terminal(&self) -> bool;
    /// A container or init container by name.
    fn container(&self, name: &str) -> Option<&Container>;
}

impl PodView for Pod {
    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or("default")
    }

    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn full_name(&self) -> String {
        format!("{}_{}({})", PodView::name(self), PodView::namespace(self), PodView::uid(self))
    }

    fn restart_policy(&self) -> RestartPolicy {
        match self.spec.as_ref().and_then(|s| s.restart_policy.as_deref()) {
            Some("Never") => RestartPolicy::Never,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        }
    }

    fn deletion(&self) -> Option<Timestamp> {
        self.metadata.deletion_timestamp.as_ref().map(|t| t.0)
    }

    fn grace_seconds(&self) -> i64 {
        let own = self.spec.as_ref().and_then(|s| s.termination_grace_period_seconds);
        self.metadata.deletion_grace_period_seconds.or(own).unwrap_or(30).max(0)
    }

    fn host_network(&self) -> bool {
        self.spec.as_ref().and_then(|s| s.host_network).unwrap_or(false)
    }

    fn is_terminal(&self) -> bool {
        let phase = self.status.as_ref().and_then(|s| s.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    }

    fn container(&self, name: &str) -> Option<&Container> {
        all_containers(self.spec.as_ref()?).find(|c| c.name == name)
    }
}

/// Init containers, then containers, in order.
pub fn all_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

/// An init container that keeps running beside the others.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}
