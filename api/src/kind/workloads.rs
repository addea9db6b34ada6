//! Rows of the kinds that run pods, other than Pod, Deployment and ReplicaSet.

use super::{Kind, NameRule, subresource as sub};
use crate::{defaults, table, validate};

/// v1 PodTemplate.
pub static POD_TEMPLATE: &Kind = kind!("", "core", "v1", "PodTemplate", "podtemplates", "podtemplate",
    "core.v1.PodTemplate",
    generation: true, delete_returns_object: true,
    defaults: defaults::workload::pod_template,
    check: validate::controllers::pod_template,
    columns: table::columns::POD_TEMPLATES,
    row: |object, _| table::workload::pod_template(object));
/// v1 ReplicationController.
pub static REPLICATION_CONTROLLER: &Kind = kind!("", "core", "v1", "ReplicationController",
    "replicationcontrollers", "replicationcontroller", "core.v1.ReplicationController",
    short_names: &["rc"], categories: &["all"], subresources: sub::SCALABLE, generation: true,
    delete_orphans: true,
    defaults: defaults::workload::replication_controller,
    check: validate::controllers::replication_controller,
    selectable: &["status.replicas"],
    columns: table::columns::REPLICA_SETS,
    row: table::workload::replication_controller);
/// apps/v1 ControllerRevision.
pub static CONTROLLER_REVISION: &Kind = kind!("apps", "apps", "v1", "ControllerRevision",
    "controllerrevisions", "controllerrevision", "apps.v1.ControllerRevision",
    check: validate::controllers::controller_revision,
    check_change: validate::controllers::controller_revision_change,
    columns: table::columns::CONTROLLER_REVISIONS,
    row: table::workload::controller_revision);
/// apps/v1 DaemonSet.
pub static DAEMON_SET: &Kind = kind!("apps", "apps", "v1", "DaemonSet", "daemonsets", "daemonset",
    "apps.v1.DaemonSet",
    short_names: &["ds"], categories: &["all"], subresources: sub::STATUS_ONLY, generation: true,
    defaults: defaults::workload::daemon_set,
    prepare: defaults::workload::daemon_set_new,
    prepare_change: defaults::workload::daemon_set_change,
    check: validate::controllers::daemon_set,
    check_change: validate::controllers::daemon_set_change,
    columns: table::columns::DAEMON_SETS,
    row: table::workload::daemon_set);
/// apps/v1 StatefulSet.
pub static STATEFUL_SET: &Kind = kind!("apps", "apps", "v1", "StatefulSet", "statefulsets", "statefulset",
    "apps.v1.StatefulSet",
    short_names: &["sts"], categories: &["all"], subresources: sub::SCALABLE, generation: true,
    name_rule: NameRule::Label,
    defaults: defaults::workload::stateful_set,
    check: validate::controllers::stateful_set,
    check_change: validate::controllers::stateful_set_change,
    columns: table::columns::STATEFUL_SETS,
    row: table::workload::stateful_set);
/// batch/v1 CronJob.
pub static CRON_JOB: &Kind = kind!("batch", "batch", "v1", "CronJob", "cronjobs", "cronjob", "batch.v1.CronJob",
    short_names: &["cj"], categories: &["all"], subresources: sub::STATUS_ONLY, generation: true,
    defaults: defaults::batch::cron_job,
    check: validate::batch::cron_job,
    check_new: validate::batch::cron_job_new,
    columns: table::columns::CRON_JOBS,
    row: table::workload::cron_job);
/// batch/v1 Job.
pub static JOB: &Kind = kind!("batch", "batch", "v1", "Job", "jobs", "job", "batch.v1.Job",
    categories: &["all"], subresources: sub::STATUS_ONLY, generation: true, delete_orphans: true,
    defaults: defaults::batch::job,
    prepare: defaults::batch::job_new,
    check: validate::batch::job,
    check_new: validate::batch::job_new,
    check_change: validate::batch::job_change,
    selectable: &["status.successful"],
    columns: table::columns::JOBS,
    row: table::workload::job);
