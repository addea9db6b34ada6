//! ResourceQuota: no namespace uses more than its quotas allow (k8s
//! `k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go`).
//!
//! Unlike upstream, what an object uses is written in the object's own transaction, so a quota is
//! never exceeded, and an object that is refused elsewhere uses nothing. Nor is there a time in which
//! a new quota is not kept because nobody has counted yet: who finds it so counts.

mod scope;
mod usage;

use std::sync::Arc;

use kabuki_api::{
    kind::{Kind, PERSISTENT_VOLUME_CLAIM, POD, RESOURCE_QUOTA, SERVICE},
    quantity::Quantity,
    status::Status,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    super::{
        object::{Object, text},
        options::Subresource,
        view::View,
    },
    amounts::{Amounts, add, read, write},
};

pub(crate) use usage::{counted_custom_kinds, counted_kinds};

/// What an object uses after a write, and what it used before.
pub(crate) struct Write<'a> {
    pub(crate) kind: &'static Kind,
    /// The object as stored, if it is changed rather than made.
    pub(crate) old: Option<&'a Value>,
    pub(crate) new: &'a Value,
    pub(crate) sub: Subresource,
    pub(crate) now: OffsetDateTime,
}

/// A quota, and the status it gets with the write.
pub(crate) struct Charge {
    pub(crate) quota: Arc<Object>,
    pub(crate) status: Value,
}

/// Whether quotas have a say in a write of this kind.
pub(crate) fn concerns(write: &Write<'_>) -> bool {
    let Some(old) = write.old else { return usage::is_counted(write.kind) };
    let (kind, sub) = (write.kind, write.sub);
    match sub {
        Subresource::Main if kind == POD => {
            scope::is_terminating(old) != scope::is_terminating(write.new)
        }
        Subresource::Main => kind == SERVICE || kind == PERSISTENT_VOLUME_CLAIM,
        Subresource::Status => {
            let allocated = |claim: &Value| claim["status"]["allocatedResources"].clone();
            kind == PERSISTENT_VOLUME_CLAIM && allocated(old) != allocated(write.new)
        }
        _ => false,
    }
}

/// Whether a write makes a quota limit what it did not.
pub(crate) fn limits_anew(write: &Write<'_>) -> bool {
    write.kind == RESOURCE_QUOTA
        && write.sub == Subresource::Main
        && write.old.is_none_or(|old| old["spec"] != write.new["spec"])
}

/// Decides a write: the quotas it is charged to.
///
/// # Errors
/// 403 when a quota does not allow it.
pub(crate) fn charge(view: &dyn View, write: &Write<'_>) -> Result<Vec<Charge>, Status> {
    let ns = text(&write.new["metadata"], "namespace");
    let quotas = view.list(RESOURCE_QUOTA, Some(ns));
    let mut charges = Vec::new();
    for quota in quotas {
        charges.extend(charge_one(view, write, quota)?);
    }
    Ok(charges)
}

fn charge_one(
    view: &dyn View,
    write: &Write<'_>,
    quota: Arc<Object>,
) -> Result<Option<Charge>, Status> {
    let (kind, new) = (write.kind, write.new);
    let refuse = |text: &str| {
        let name = text_of_name(new);
        Status::forbidden(kind, name, text)
    };
    let spec = &quota.value()["spec"];
    let hard = read(&spec["hard"]);
    let limited: Vec<&str> =
        hard.keys().map(String::as_str).filter(|name| usage::uses(kind, name)).collect();
    if limited.is_empty() || !scope::in_scope(spec, kind, new) {
        return Ok(None);
    }
    if let Some(missing) = usage::unstated(kind, new, &limited) {
        return Err(refuse(&format!("failed quota: {}: {missing}", quota.name())));
    }
    let uses = usage::usage(kind, new, write.now);
    let negative: Vec<&str> =
        uses.iter().filter(|(_, a)| a.is_negative()).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        let names = negative.join(",");
        return Err(refuse(&format!("quota usage is negative for resource(s): {names}")));
    }
    let before = write
        .old
        .filter(|old| scope::in_scope(spec, kind, old))
        .map_or_else(Amounts::new, |old| usage::usage(kind, old, write.now));
    let mut more = uses;
    more.retain(|name, amount| {
        *amount = *amount - before.get(name).copied().unwrap_or(Quantity::ZERO);
        hard.contains_key(name) && !amount.is_negative() && !amount.is_zero()
    });
    if more.is_empty() {
        return Ok(None);
    }
    let counted = known(view, &quota).unwrap_or_else(|| total(view, &quota, write.now));
    let mut used = counted.clone();
    add(&mut used, &more);
    let over: Vec<&String> = more.keys().filter(|name| used.get(*name) > hard.get(*name)).collect();
    if !over.is_empty() && write.sub != Subresource::Status {
        let shown = |amounts: &Amounts| {
            let parts = over.iter().filter_map(|n| Some(format!("{n}={}", amounts.get(*n)?)));
            parts.collect::<Vec<_>>().join(",")
        };
        return Err(refuse(&format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            quota.name(),
            shown(&more),
            shown(&counted),
            shown(&hard)
        )));
    }
    Ok(Some(Charge { status: status(&hard, &used), quota }))
}

fn text_of_name(object: &Value) -> &str {
    text(&object["metadata"], "name")
}

/// What a quota's status says is used, if it was counted for what the quota limits now.
fn known(view: &dyn View, quota: &Object) -> Option<Amounts> {
    let status = &quota.value()["status"];
    let hard = read(&quota.value()["spec"]["hard"]);
    let used = read(&status["used"]);
    let counted = read(&status["hard"]) == hard
        && hard.keys().all(|name| used.contains_key(name) || !is_tracked(view, name));
    counted.then_some(used)
}

/// Whether any kind uses the resource.
fn is_tracked(view: &dyn View, resource: &str) -> bool {
    let custom = || counted_custom_kinds(view).into_iter();
    counted_kinds().any(|kind| usage::uses(kind, resource))
        || custom().any(|kind| usage::uses(kind, resource))
}

/// The status of a quota.
fn status(hard: &Amounts, used: &Amounts) -> Value {
    json!({"hard": write(hard), "used": write(used)})
}

/// The status a quota should have by the objects there are.
pub(crate) fn counted_status(view: &dyn View, quota: &Object, now: OffsetDateTime) -> Value {
    status(&read(&quota.value()["spec"]["hard"]), &total(view, quota, now))
}

/// How long until the next pod of a namespace that is going has no time left, and so uses nothing
/// any more although it is still there.
pub(crate) fn next_end(
    view: &dyn View,
    namespace: &str,
    now: OffsetDateTime,
) -> Option<std::time::Duration> {
    let pods = view.list(POD, Some(namespace));
    let ends =
        pods.iter().filter(|pod| pod.is_deleting()).filter_map(|pod| usage::end(pod.value()));
    // A second more: times are whole seconds, and at the end itself the pod still counts.
    let next = ends.filter(|end| *end >= now).min()?;
    std::time::Duration::try_from(next - now + time::Duration::SECOND).ok()
}

/// Counts what the objects of the namespace use of what the quota limits.
fn total(view: &dyn View, quota: &Object, now: OffsetDateTime) -> Amounts {
    let spec = &quota.value()["spec"];
    let hard = read(&spec["hard"]);
    let mut used = Amounts::new();
    for kind in counted_kinds().chain(counted_custom_kinds(view)) {
        let limited: Vec<&String> = hard.keys().filter(|name| usage::uses(kind, name)).collect();
        if limited.is_empty() {
            continue;
        }
        for name in &limited {
            used.entry((*name).clone()).or_insert(Quantity::ZERO);
        }
        let objects = view.list(kind, Some(quota.namespace()));
        let measured = kind == POD || kind == SERVICE || kind == PERSISTENT_VOLUME_CLAIM;
        if !measured {
            // Only their number counts, which needs no look into them.
            if !scope::is_scoped(spec) {
                let number = i64::try_from(objects.len()).unwrap_or(i64::MAX);
                for name in limited {
                    used.insert(name.clone(), Quantity::from_value(number));
                }
            }
            continue;
        }
        for object in objects {
            if scope::in_scope(spec, kind, object.value()) {
                let mut uses = usage::usage(kind, object.value(), now);
                uses.retain(|name, _| hard.contains_key(name));
                add(&mut used, &uses);
            }
        }
    }
    used
}

/// Whether a change of an object frees something a quota limits. `old` is its last state when the
/// object is gone and `new` is `None`.
pub(crate) fn frees(
    quota: &Object,
    kind: &'static Kind,
    old: &Object,
    new: Option<&Object>,
    now: OffsetDateTime,
) -> bool {
    let spec = &quota.value()["spec"];
    let hard = read(&spec["hard"]);
    if !hard.keys().any(|name| usage::uses(kind, name)) {
        return false;
    }
    let Some(new) = new else { return true };
    if kind != POD && kind != SERVICE && kind != PERSISTENT_VOLUME_CLAIM {
        return false;
    }
    let measure = |object: &Object| {
        let mut uses = Amounts::new();
        if scope::in_scope(spec, kind, object.value()) {
            uses = usage::usage(kind, object.value(), now);
        }
        uses.retain(|name, _| hard.contains_key(name));
        uses
    };
    let (before, after) = (measure(old), measure(new));
    before.iter().any(|(name, amount)| after.get(name).is_none_or(|left| left < amount))
}

#[cfg(test)]
mod tests;
