//! Binding a pod to a node, and evicting it.

use kabuki_api::{
    kind::{BINDING, EVICTION, POD},
    status::Status,
    validate::FieldError,
};
use serde_json::{Value, json};

use super::{
    object::text,
    options::{DeleteOptions, RequestInfo, Subresource},
    store::Registry,
    strategy::stamp,
};

impl Registry {
    /// Binds a pod to the node named by `binding.target.name`: what the scheduler decides. The
    /// answer to a client is `Status::plain_success(201)`.
    ///
    /// # Errors
    /// 404; 409 when the pod is bound, gated or being deleted; 422 without a node; 503.
    pub async fn bind(
        &self,
        info: &RequestInfo,
        ns: &str,
        pod: &str,
        binding: &Value,
    ) -> Result<(), Status> {
        let binding = &*self.admit_body(info, POD, (ns, pod, "binding"), BINDING, binding).await?;
        let node = check_target(pod, binding)?.to_owned();
        let given = text(&binding["metadata"], "name");
        if !given.is_empty() && given != pod {
            return Err(Status::bad_request("name in URL does not match name in Binding object"));
        }
        let uid = text(&binding["metadata"], "uid").to_owned();
        let annotations = binding["metadata"]["annotations"].clone();
        let labels = binding["metadata"]["labels"].clone();
        let now = stamp(self.now());
        self.modify(info, POD, ns, pod, Subresource::Binding, &mut |value| {
            bindable(pod, value, &uid)?;
            merge(&mut value["metadata"], "annotations", &annotations);
            merge(&mut value["metadata"], "labels", &labels);
            bind_value(value, &node, &now);
            Ok(true)
        })
        .await?;
        Ok(())
    }

    /// Evicts a pod: a delete that budgets may refuse. No budget kind is served, so it is a delete
    /// with the options of the Eviction and the condition that says why.
    ///
    /// # Errors
    /// 400, 404, 409, 503.
    pub async fn evict(
        &self,
        info: &RequestInfo,
        ns: &str,
        pod: &str,
        eviction: &Value,
    ) -> Result<(), Status> {
        let at = (ns, pod, "eviction");
        let eviction = &*self.admit_body(info, POD, at, EVICTION, eviction).await?;
        // What the eviction does to the pod is not asked about again, as upstream.
        let info = &RequestInfo { admitted: true, ..info.clone() };
        let given = text(&eviction["metadata"], "name");
        if !given.is_empty() && given != pod {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        let mut options = DeleteOptions::from_value(&eviction["deleteOptions"])
            .map_err(|field| Status::bad_request(format!("deleteOptions.{field} is not valid")))?;
        options.dry_run |= info.dry_run;
        let Some(found) = self.current(POD, ns, pod).await? else {
            return Err(Status::not_found(POD, pod));
        };
        self.spend_budget(&found, options.dry_run).await?;
        let now = stamp(self.now());
        if !options.dry_run {
            self.modify(info, POD, ns, pod, Subresource::Status, &mut |value| {
                if text(&value["spec"], "nodeName").is_empty() {
                    return Ok(false);
                }
                set_condition(
                    value,
                    json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                        "message": "Eviction API: evicting", "lastTransitionTime": now}),
                );
                Ok(true)
            })
            .await?;
        }
        self.delete(info, POD, ns, pod, &options).await?;
        Ok(())
    }
}

fn check_target<'a>(pod: &str, binding: &'a Value) -> Result<&'a str, Status> {
    let target = &binding["target"];
    let kind = text(target, "kind");
    let mut errors = Vec::new();
    if !kind.is_empty() && kind != "Node" {
        errors.push(FieldError::not_supported("target.kind", kind, &["Node", "<empty>"]));
    }
    let name = text(target, "name");
    if name.is_empty() {
        errors.push(FieldError::required("target.name", ""));
    }
    if errors.is_empty() { Ok(name) } else { Err(Status::invalid(BINDING, pod, &errors)) }
}

fn bindable(name: &str, pod: &Value, uid: &str) -> Result<(), Status> {
    let refuse = |text: &str| {
        // Upstream names the subresource here: pods/binding.
        let mut status = Status::conflict(POD, name, text);
        status.message = format!("Operation cannot be fulfilled on pods/binding {name:?}: {text}");
        if let Some(details) = &mut status.details {
            details.kind = "pods/binding".into();
        }
        Err(status)
    };
    let actual = text(&pod["metadata"], "uid");
    if !uid.is_empty() && uid != actual {
        return refuse(&format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {actual}"
        ));
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return refuse(&format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = text(&pod["spec"], "nodeName");
    if !node.is_empty() {
        return refuse(&format!("pod {name} is already assigned to node {node:?}"));
    }
    if pod["spec"]["schedulingGates"].as_array().is_some_and(|g| !g.is_empty()) {
        return refuse(&format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    Ok(())
}

fn merge(meta: &mut Value, field: &str, added: &Value) {
    let Some(added) = added.as_object().filter(|m| !m.is_empty()) else { return };
    if !meta[field].is_object() {
        meta[field] = json!({});
    }
    for (key, value) in added {
        meta[field][key.as_str()] = value.clone();
    }
}

fn bind_value(pod: &mut Value, node: &str, now: &str) {
    pod["spec"]["nodeName"] = node.into();
    set_condition(
        pod,
        json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now}),
    );
}

fn set_condition(pod: &mut Value, mut condition: Value) {
    super::strategy::drop_nulls(&mut condition);
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    let Some(list) = pod["status"]["conditions"].as_array_mut() else { return };
    match list.iter_mut().find(|c| c["type"] == condition["type"]) {
        Some(found) => *found = condition,
        None => list.push(condition),
    }
}
