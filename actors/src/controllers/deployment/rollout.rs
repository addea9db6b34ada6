//! One decision on one Deployment.

use kabuki_api::kind::REPLICA_SET;
use serde_json::{Value, json};

use super::{
    bounds::is_rolling,
    hash::{POD_TEMPLATE_HASH, template_hash},
    revision::{REVISION, by_age, find_new, fresh_annotations, refresh_annotations, revision_of},
    scale::{Scaled, follow_scaling, is_scaling_event, new_set_replicas, scale_set, shrink_old},
    sets::{Set, asked},
    status::{self, Seen},
};
use crate::controllers::{
    framework::{Command, Note, ObjectRef, Plan, ReconcileError},
    model::{Condition, Deployment, Time, Typed},
};

/// A ReplicaSet that is to be made.
struct Newborn {
    name: String,
    value: Value,
    replicas: i64,
}

/// Collects what a decision changes.
pub(super) struct Rollout<'a> {
    deployment: &'a Typed<Deployment>,
    me: ObjectRef,
    new: Option<Set>,
    old: Vec<Set>,
    newborn: Option<Newborn>,
    /// What the Deployment's revision annotation should say.
    revision: Option<i64>,
    conditions: Vec<Condition>,
    notes: Vec<Note>,
    with_progress: bool,
    now: Time,
}

impl<'a> Rollout<'a> {
    pub fn new(
        deployment: &'a Typed<Deployment>,
        me: ObjectRef,
        mut sets: Vec<Set>,
        now: Time,
    ) -> Self {
        let new = find_new(deployment, &sets).map(|at| sets.swap_remove(at));
        sets.sort_by(by_age);
        Self {
            deployment,
            me,
            new,
            old: sets,
            newborn: None,
            revision: None,
            conditions: deployment.status.conditions.clone(),
            notes: Vec::new(),
            with_progress: false,
            now,
        }
    }

    /// A Deployment that is being deleted only shows what is left.
    pub fn only_status(&mut self) {
        self.mark_revision();
    }

    /// Does the next step of whatever is under way.
    pub fn step(
        &mut self,
        old_pods_run: &dyn Fn(&[String]) -> Result<bool, ReconcileError>,
    ) -> Result<(), ReconcileError> {
        status::pause(self.deployment, &mut self.conditions, self.now);
        let every: Vec<&Set> = self.new.iter().chain(&self.old).collect();
        let scaling =
            every.iter().any(|set| is_scaling_event(self.deployment, std::slice::from_ref(*set)));
        if self.deployment.spec.paused || scaling {
            self.mark_revision();
            let scaled = follow_scaling(self.deployment, self.new.as_mut(), &mut self.old);
            self.tell(scaled);
            if self.deployment.spec.paused {
                self.clean_up();
            }
            return Ok(());
        }
        self.with_progress = true;
        if is_rolling(self.deployment) {
            self.roll()
        } else {
            self.recreate(old_pods_run)?
        }
        Ok(())
    }

    fn roll(&mut self) {
        self.need_new();
        if self.grow_new() {
            return;
        }
        let scaled = shrink_old(self.deployment, self.new.as_ref(), &mut self.old);
        let shrunk = !scaled.is_empty();
        self.tell(scaled);
        if !shrunk {
            self.clean_up_when_complete();
        }
    }

    fn recreate(
        &mut self,
        old_pods_run: &dyn Fn(&[String]) -> Result<bool, ReconcileError>,
    ) -> Result<(), ReconcileError> {
        self.mark_revision();
        let mut scaled = Vec::new();
        for set in self.old.iter_mut().filter(|set| set.replicas > 0) {
            scaled.extend(scale_set(self.deployment, set, 0));
        }
        let shrunk = !scaled.is_empty();
        self.tell(scaled);
        let uids: Vec<String> = self.old.iter().map(|set| set.metadata.uid.clone()).collect();
        if shrunk || status::has_old_pods(&self.old) || old_pods_run(&uids)? {
            return Ok(());
        }
        self.need_new();
        if !self.grow_new() {
            self.clean_up_when_complete();
        }
        Ok(())
    }

    /// Makes the new ReplicaSet, or brings the one that is there up to date.
    fn need_new(&mut self) {
        if self.new.is_some() {
            return self.mark_revision();
        }
        let deployment = self.deployment;
        let revision = self.old.iter().map(revision_of).max().unwrap_or(0) + 1;
        let hash = template_hash(&deployment.spec.template, deployment.status.collision_count);
        let replicas = new_set_replicas(deployment, 0, asked(&self.old));
        let newborn = self.body(&hash, revision, replicas);
        status::new_set(deployment, &mut self.conditions, true, &newborn.name, self.now);
        self.revision = Some(revision);
        self.newborn = Some(newborn);
    }

    fn body(&self, hash: &str, revision: i64, replicas: i64) -> Newborn {
        let (meta, spec) = (&self.deployment.metadata, &self.deployment.spec);
        let name = format!("{}-{hash}", meta.name);
        let mut template = spec.template.clone();
        template["metadata"]["labels"][POD_TEMPLATE_HASH] = hash.into();
        let mut selector = spec.selector.clone();
        selector["matchLabels"][POD_TEMPLATE_HASH] = hash.into();
        let value = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": name, "namespace": meta.namespace,
                "labels": template["metadata"]["labels"],
                "annotations": fresh_annotations(self.deployment, revision),
                "ownerReferences": [self.me.as_controller()],
            },
            "spec": {"replicas": replicas, "minReadySeconds": spec.min_ready_seconds,
                "selector": selector, "template": template},
        });
        Newborn { name, value, replicas }
    }

    /// Brings the annotations of the new ReplicaSet and the revision of the Deployment in line.
    fn mark_revision(&mut self) {
        let deployment = self.deployment;
        let newest = self.old.iter().map(revision_of).max().unwrap_or(0);
        let Some(new) = &mut self.new else { return };
        refresh_annotations(deployment, new, newest + 1);
        if new.spec.min_ready_seconds != deployment.spec.min_ready_seconds {
            new.edit()["spec"]["minReadySeconds"] = deployment.spec.min_ready_seconds.into();
        }
        self.revision = Some(revision_of(new));
        let name = new.metadata.name.clone();
        status::new_set(deployment, &mut self.conditions, false, &name, self.now);
    }

    /// Moves the new ReplicaSet towards its number. Returns whether it moved.
    fn grow_new(&mut self) -> bool {
        if self.newborn.is_some() {
            return true;
        }
        let all = asked(&self.old);
        let Some(new) = &mut self.new else { return false };
        let wanted = self.deployment.spec.replicas;
        let to = if new.replicas > wanted {
            wanted
        } else {
            new_set_replicas(self.deployment, new.replicas, all + new.replicas)
        };
        let scaled = scale_set(self.deployment, new, to);
        let moved = scaled.is_some();
        self.tell(scaled.into_iter().collect());
        moved
    }

    fn tell(&mut self, scaled: Vec<Scaled>) {
        for Scaled { name, from, to } in scaled {
            let direction = if to > from { "up" } else { "down" };
            let message = format!("Scaled {direction} replica set {name} from {from} to {to}");
            self.notes.push(Note::normal(self.me.clone(), "ScalingReplicaSet", message));
        }
    }

    fn clean_up_when_complete(&mut self) {
        if status::is_complete(self.deployment, &self.deployment.status) {
            self.clean_up();
        }
    }

    /// Deletes the oldest ReplicaSets beyond the history limit that have nothing left.
    fn clean_up(&mut self) {
        let limit = self.deployment.spec.revision_history_limit;
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return };
        let alive = self.old.iter().filter(|set| !set.metadata.is_deleting()).count();
        let surplus = alive.saturating_sub(limit);
        let mut order: Vec<&mut Set> =
            self.old.iter_mut().filter(|set| !set.metadata.is_deleting()).collect();
        order.sort_by_key(|set| revision_of(set));
        for set in order.into_iter().take(surplus) {
            let seen = set.metadata.generation <= set.status.observed_generation;
            if set.replicas == 0 && set.status.replicas == 0 && seen {
                set.deleted = true;
            }
        }
    }

    /// The writes: ReplicaSets first, then what the Deployment says about them.
    pub fn into_plan(mut self) -> Plan {
        let mut plan = Plan::done();
        let mut writes: Vec<Command> =
            self.new.iter().chain(&self.old).filter_map(Set::command).collect();
        if let Some(newborn) = &self.newborn {
            writes.push(Command::create(REPLICA_SET, newborn.value.clone()));
            if newborn.replicas > 0 {
                let (name, to) = (newborn.name.clone(), newborn.replicas);
                self.tell(vec![Scaled { name, from: 0, to }]);
            }
        }
        let status = self.status();
        if let Some(delay) = status::deadline_check(self.deployment, &status, self.now) {
            plan.requeue_after(delay);
        }
        plan.then_all(writes);
        let mut last: Vec<Command> =
            std::mem::take(&mut self.notes).into_iter().map(Command::Record).collect();
        last.extend(self.write_deployment(&status));
        plan.then_all(last);
        plan
    }

    fn status(&self) -> crate::controllers::model::DeploymentStatus {
        let seen = Seen { new: self.new.as_ref(), old: &self.old };
        let conditions = self.conditions.clone();
        let mut status = status::numbers(self.deployment, &seen, conditions, self.now);
        if self.with_progress && self.newborn.is_none() {
            status::progress(self.deployment, &seen, &mut status, self.now);
        }
        status
    }

    fn write_deployment(
        &self,
        status: &crate::controllers::model::DeploymentStatus,
    ) -> Option<Command> {
        let object = &self.deployment.object;
        let revision = self.revision.map(|n| n.to_string());
        let marked = revision.is_none()
            || self.deployment.metadata.annotation(REVISION) == revision.as_deref();
        if *status == self.deployment.status && marked {
            return None;
        }
        let mut value = object.value().clone();
        value["status"] = serde_json::to_value(status).unwrap_or_default();
        if let Some(revision) = revision {
            value["metadata"]["annotations"][REVISION] = revision.into();
        }
        Some(Command::update_status(object, value))
    }
}
