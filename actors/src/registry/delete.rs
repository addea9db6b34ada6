//! Deleting objects: preconditions, grace, propagation and finalizers. Follows upstream's
//! `registry/generic/registry/store.go` and `registry/rest/delete.go`.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use kabuki_api::{
    kind::{CUSTOM_RESOURCE_DEFINITION, EVENT, EVENTS_EVENT, Kind, NAMESPACE, POD},
    status::Status,
    validate::FieldError,
};
use kabuki_raft::{Compare, Op};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::{
    admission,
    condition::{Condition, set_condition},
    create::stored,
    object::{Object, text},
    options::{DeleteOptions, ListOptions, Propagation, RequestInfo},
    outcome::Deleted,
    service,
    store::{Commit, Registry},
    strategy::{self, stamp, strings},
};

/// Attempts of a delete while others change the object.
const DELETE_ATTEMPTS_MAX: usize = 12;
/// Deletes of one collection that are under way at once.
const DELETES_AT_ONCE: usize = 16;
/// Finalizer that keeps a definition until its objects are deleted.
pub(crate) const CUSTOM_RESOURCE_CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
/// Finalizer that keeps an owner until its dependents are orphaned.
pub(crate) const ORPHAN: &str = "orphan";
/// Finalizer that keeps an owner until its dependents are deleted.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// What a delete does to an object.
#[derive(Debug, PartialEq)]
enum Decision {
    /// Remove it now.
    Remove,
    /// Store this: it waits for its grace period or finalizers.
    Mark(Box<Value>),
    /// It is on its way already.
    Leave,
}

impl Registry {
    /// Deletes an object, or marks it as being deleted when a grace period or finalizers hold it.
    ///
    /// # Errors
    /// 403, 404, 409 (preconditions), 422 (options exclude each other), 503.
    pub async fn delete(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        check_options(options)?;
        for attempt in 0..DELETE_ATTEMPTS_MAX {
            let Some(object) = self.current(kind, ns, name).await? else {
                return Err(Status::not_found(kind, name));
            };
            admission::on_delete(self, info, &object, options)?;
            if let Err(status) = check_preconditions(&object, options) {
                if attempt == 0 {
                    self.barrier().await?;
                    continue;
                }
                return Err(status);
            }
            self.admit_delete(info, &object, options).await?;
            if let Some(deleted) = self.delete_once(info, object, options).await? {
                return Ok(deleted);
            }
            self.barrier().await?;
        }
        Err(Status::server_timeout(kind, "delete", 1))
    }

    /// `None`: the object changed meanwhile.
    async fn delete_once(
        &self,
        info: &RequestInfo,
        object: Object,
        options: &DeleteOptions,
    ) -> Result<Option<Deleted>, Status> {
        let kind = object.kind();
        let dry_run = options.dry_run || info.dry_run;
        let key = object.key().to_owned();
        let compare = vec![Compare { key: key.clone(), mod_revision: object.revision() }];
        match decide(kind, object.value(), options, self.now()) {
            Decision::Leave => Ok(Some(Deleted { object: Arc::new(object), gone: false })),
            Decision::Remove => {
                if dry_run {
                    return Ok(Some(Deleted { object: Arc::new(object), gone: true }));
                }
                let mut ops = vec![Op::Delete { key }];
                ops.append(&mut service::release(kind, object.value()));
                Ok(match self.commit(compare, ops).await? {
                    Commit::Done(revision) => {
                        let last = object.at_revision(revision);
                        Some(Deleted { object: Arc::new(last), gone: true })
                    }
                    Commit::Conflict { .. } => None,
                })
            }
            Decision::Mark(value) => {
                let value = stored(kind, *value, object.managed());
                let created = object.record().create_revision;
                let revision = if dry_run {
                    object.revision()
                } else {
                    let ops = vec![Op::Put { key: key.clone(), value: value.clone() }];
                    match self.commit(compare, ops).await? {
                        Commit::Done(revision) => revision,
                        Commit::Conflict { .. } => return Ok(None),
                    }
                };
                let marked = self.built(kind, &key, value, created, revision);
                Ok(Some(Deleted { object: Arc::new(marked), gone: false }))
            }
        }
    }

    /// Deletes all objects a list selects, a few at once so that they share commits; those that
    /// vanish meanwhile are skipped.
    /// Answers what was deleted.
    ///
    /// # Errors
    /// The first failure; what was deleted before stays deleted.
    pub async fn delete_collection(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        options: &DeleteOptions,
        list: &ListOptions,
    ) -> Result<Vec<Deleted>, Status> {
        check_options(options)?;
        let selected = self.list_consistent(kind, list).await?;
        let mut deletes = stream::iter(selected.items)
            .map(|object| async move {
                self.delete(info, kind, object.namespace(), object.name(), options).await
            })
            .buffered(DELETES_AT_ONCE);
        let mut deleted = Vec::new();
        while let Some(result) = deletes.next().await {
            match result {
                Ok(one) => deleted.push(one),
                Err(status) if status.is_not_found() => {}
                Err(status) => return Err(status),
            }
        }
        Ok(deleted)
    }
}

fn check_options(options: &DeleteOptions) -> Result<(), Status> {
    if options.propagation.is_some() && options.orphan_dependents.is_some() {
        let error = FieldError::invalid(
            "propagationPolicy",
            "",
            "orphanDependents and deletionPropagation cannot be both set",
        );
        return Err(Status::invalid_named("meta.k8s.io", "DeleteOptions", "", &[error]));
    }
    Ok(())
}

fn check_preconditions(object: &Object, options: &DeleteOptions) -> Result<(), Status> {
    let (kind, name) = (object.kind(), object.name());
    if let Some(uid) = &options.uid
        && uid != object.uid()
    {
        return Err(Status::uid_precondition(kind, name, uid, object.uid()));
    }
    let actual = object.revision().to_string();
    if let Some(version) = &options.resource_version
        && *version != actual
    {
        return Err(Status::version_precondition(kind, name, version, &actual));
    }
    Ok(())
}

fn decide(kind: &Kind, current: &Value, options: &DeleteOptions, now: OffsetDateTime) -> Decision {
    let mut next = current.clone();
    set_finalizers(kind, &mut next, options);
    let deleting = current["metadata"]["deletionTimestamp"].is_string();
    let grace = if kind == POD { pod_grace(current, options) } else { 0 };
    if deleting {
        let left = current["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        if kind == POD && grace > 0 && grace >= left {
            return changed_or_leave(current, next);
        }
    }
    if !deleting || kind == POD {
        let started = deletion_start(current, now);
        let at = if deleting { started } else { now } + Duration::seconds(grace);
        next["metadata"]["deletionTimestamp"] = stamp(at).into();
        next["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        if !deleting && let Some(generation) = current["metadata"]["generation"].as_i64() {
            next["metadata"]["generation"] = (generation + 1).into();
        }
    }
    if kind == CUSTOM_RESOURCE_DEFINITION && !deleting {
        hold_definition(&mut next, now);
    }
    if kind == NAMESPACE {
        next["status"]["phase"] = "Terminating".into();
    }
    if strategy::is_released(kind, &next) {
        return Decision::Remove;
    }
    changed_or_leave(current, next)
}

/// A definition stays until its objects are gone (apiextensions
/// `pkg/registry/customresourcedefinition/etcd.go`).
fn hold_definition(definition: &mut Value, now: OffsetDateTime) {
    let finalizers = &mut definition["metadata"]["finalizers"];
    match finalizers.as_array_mut() {
        Some(list) if list.iter().any(|f| f == CUSTOM_RESOURCE_CLEANUP) => {}
        Some(list) => list.push(CUSTOM_RESOURCE_CLEANUP.into()),
        None => *finalizers = json!([CUSTOM_RESOURCE_CLEANUP]),
    }
    set_condition(
        &mut definition["status"],
        &Condition {
            name: "Terminating",
            is: true,
            reason: "InstanceDeletionPending",
            message: "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        },
        &stamp(now),
    );
}

fn changed_or_leave(current: &Value, next: Value) -> Decision {
    if next == *current { Decision::Leave } else { Decision::Mark(Box::new(next)) }
}

/// When the deletion under way began: a later delete shortens the period counted from there.
fn deletion_start(current: &Value, now: OffsetDateTime) -> OffsetDateTime {
    let meta = &current["metadata"];
    let left = meta["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    let end = OffsetDateTime::parse(
        text(meta, "deletionTimestamp"),
        &time::format_description::well_known::Rfc3339,
    );
    end.map_or(now, |end| end - Duration::seconds(left))
}

fn pod_grace(pod: &Value, options: &DeleteOptions) -> i64 {
    let bound = !text(&pod["spec"], "nodeName").is_empty();
    let finished = matches!(text(&pod["status"], "phase"), "Succeeded" | "Failed");
    if !bound || finished {
        return 0;
    }
    let default = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    match options.grace_period_seconds.unwrap_or(default) {
        negative if negative < 0 => 1,
        seconds => seconds,
    }
}

/// Adds and removes the garbage collector's finalizers as the options say.
fn set_finalizers(kind: &Kind, object: &mut Value, options: &DeleteOptions) {
    if kind == EVENT || kind == EVENTS_EVENT {
        return;
    }
    let had = strings(&object["metadata"]["finalizers"]);
    let (orphan, foreground) = match (options.propagation, options.orphan_dependents) {
        (Some(Propagation::Orphan), _) | (None, Some(true)) => (true, false),
        (Some(Propagation::Foreground), _) => (false, true),
        (Some(Propagation::Background), _) | (None, Some(false)) => (false, false),
        (None, None) if had.contains(&ORPHAN) || had.contains(&FOREGROUND) => {
            (had.contains(&ORPHAN), had.contains(&FOREGROUND))
        }
        (None, None) => (kind.delete_orphans, false),
    };
    let mut finalizers: Vec<&str> =
        had.iter().copied().filter(|f| *f != ORPHAN && *f != FOREGROUND).collect();
    if orphan {
        finalizers.push(ORPHAN);
    }
    if foreground {
        finalizers.push(FOREGROUND);
    }
    if finalizers.len() == had.len() && finalizers.iter().all(|f| had.contains(f)) {
        return;
    }
    let value = json!(finalizers);
    if let Some(meta) = object["metadata"].as_object_mut() {
        if value.as_array().is_some_and(Vec::is_empty) {
            meta.remove("finalizers");
        } else {
            meta.insert("finalizers".into(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use kabuki_api::kind::{CONFIG_MAP, DEPLOYMENT};
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    fn pod(node: &str, phase: &str) -> Value {
        json!({"metadata": {"name": "p", "generation": 1}, "status": {"phase": phase},
            "spec": {"nodeName": node, "terminationGracePeriodSeconds": 20}})
    }

    fn grace(seconds: i64) -> DeleteOptions {
        DeleteOptions { grace_period_seconds: Some(seconds), ..DeleteOptions::background() }
    }

    #[test]
    fn pods_are_deleted_gracefully_only_where_they_run() {
        for (node, phase, options, want) in [
            ("", "Pending", DeleteOptions::background(), None),
            ("n", "Succeeded", DeleteOptions::background(), None),
            ("n", "Running", grace(0), None),
            ("n", "Running", DeleteOptions::background(), Some(20)),
            ("n", "Running", grace(5), Some(5)),
            ("n", "Running", grace(-3), Some(1)),
        ] {
            match (decide(POD, &pod(node, phase), &options, NOW), want) {
                (Decision::Remove, None) => {}
                (Decision::Mark(marked), Some(seconds)) => {
                    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], seconds);
                    assert_eq!(marked["metadata"]["generation"], 2);
                }
                (got, want) => panic!("{node} {phase}: {got:?}, wanted {want:?}"),
            }
        }
    }

    #[test]
    fn a_second_delete_only_shortens() {
        let Decision::Mark(first) = decide(POD, &pod("n", "Running"), &grace(20), NOW) else {
            panic!("not marked")
        };
        assert_eq!(first["metadata"]["deletionTimestamp"], "2026-01-02T03:04:25Z");
        let later = NOW + Duration::seconds(3);
        assert_eq!(decide(POD, &first, &grace(30), later), Decision::Leave);
        let Decision::Mark(second) = decide(POD, &first, &grace(10), later) else {
            panic!("not shortened")
        };
        assert_eq!(second["metadata"]["deletionTimestamp"], "2026-01-02T03:04:15Z");
        assert_eq!(decide(POD, &first, &grace(0), later), Decision::Remove);
    }

    #[test]
    fn propagation_sets_finalizers() {
        let object =
            |finalizers: Value| json!({"metadata": {"name": "x", "finalizers": finalizers}});
        let with = |p| DeleteOptions { propagation: Some(p), ..DeleteOptions::default() };
        for (had, options, want) in [
            (json!([]), DeleteOptions::default(), None),
            (json!(["orphan"]), with(Propagation::Background), None),
            (json!([]), with(Propagation::Orphan), Some(json!(["orphan"]))),
            (json!([]), with(Propagation::Foreground), Some(json!(["foregroundDeletion"]))),
            (json!(["a"]), DeleteOptions::default(), Some(json!(["a"]))),
        ] {
            match (decide(DEPLOYMENT, &object(had), &options, NOW), want) {
                (Decision::Remove, None) => {}
                (Decision::Mark(m), Some(f)) => assert_eq!(m["metadata"]["finalizers"], f),
                (got, want) => panic!("{got:?}, wanted {want:?}"),
            }
        }
        assert_eq!(
            decide(CONFIG_MAP, &object(json!(null)), &DeleteOptions::default(), NOW),
            Decision::Remove
        );
    }

    #[test]
    fn namespaces_wait_for_their_finalizer() {
        let ns = json!({"metadata": {"name": "x"}, "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"}});
        let Decision::Mark(marked) = decide(NAMESPACE, &ns, &DeleteOptions::default(), NOW) else {
            panic!("not marked")
        };
        assert_eq!(marked["status"]["phase"], "Terminating");
        assert_eq!(decide(NAMESPACE, &marked, &DeleteOptions::default(), NOW), Decision::Leave);
    }
}
