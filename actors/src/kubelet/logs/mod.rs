//! Container logs: CRI files on disk, read with the options of `pods/log`.

mod line;
mod read;
mod serve;

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

pub use line::{LogLine, plain_text};
pub use read::{LogOptions, LogSource, stream};
pub use serve::NodeHandler;

use super::pod_view::PodView;

/// Where the runtime puts a pod's logs.
pub fn pod_log_dir(root: &Path, pod: &Pod) -> PathBuf {
    let (namespace, name) = (PodView::namespace(pod), PodView::name(pod));
    root.join(format!("{namespace}_{name}_{}", pod.uid()))
}
