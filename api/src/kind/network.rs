//! Rows of the kinds of networking, disruption and scaling.

use serde_json::json;

use super::{Kind, subresource as sub};
use crate::{defaults, table, validate};

/// autoscaling/v2 HorizontalPodAutoscaler; the stored form of both versions.
pub static HORIZONTAL_POD_AUTOSCALER: &Kind = kind!("autoscaling", "autoscaling", "v2",
    "HorizontalPodAutoscaler", "horizontalpodautoscalers", "horizontalpodautoscaler",
    "autoscaling.v2.HorizontalPodAutoscaler",
    short_names: &["hpa"], categories: &["all"], subresources: sub::STATUS_ONLY,
    defaults: defaults::autoscaling::autoscaler,
    check: validate::autoscaling::autoscaler,
    columns: table::autoscaling::AUTOSCALERS,
    row: table::autoscaling::autoscaler);
/// autoscaling/v1 HorizontalPodAutoscaler; stored as v2.
pub static HORIZONTAL_POD_AUTOSCALER_V1: &Kind = kind!("autoscaling", "autoscaling", "v1",
    "HorizontalPodAutoscaler", "horizontalpodautoscalers", "horizontalpodautoscaler",
    "autoscaling.v1.HorizontalPodAutoscaler",
    short_names: &["hpa"], categories: &["all"], subresources: sub::STATUS_ONLY,
    stored_as: Some(HORIZONTAL_POD_AUTOSCALER),
    defaults: defaults::autoscaling::autoscaler_v1,
    check: validate::autoscaling::autoscaler_v1,
    columns: table::autoscaling::AUTOSCALERS,
    row: table::autoscaling::autoscaler_v1);
/// networking.k8s.io/v1 IngressClass.
pub static INGRESS_CLASS: &Kind = kind!("networking.k8s.io", "networking.k8s.io", "v1", "IngressClass",
    "ingressclasses", "ingressclass", "networking.v1.IngressClass",
    namespaced: false, generation: true,
    defaults: defaults::network::ingress_class,
    check: validate::network::ingress_class,
    check_change: validate::network::ingress_class_change,
    columns: table::ingress::INGRESS_CLASSES,
    row: table::ingress::ingress_class);
/// networking.k8s.io/v1 Ingress.
pub static INGRESS: &Kind = kind!("networking.k8s.io", "networking.k8s.io", "v1", "Ingress", "ingresses",
    "ingress", "networking.v1.Ingress",
    short_names: &["ing"], subresources: sub::STATUS_ONLY, generation: true,
    first_status: |_| json!({"loadBalancer": {}}),
    check: validate::network::ingress,
    columns: table::ingress::INGRESSES,
    row: table::ingress::ingress);
/// networking.k8s.io/v1 NetworkPolicy.
pub static NETWORK_POLICY: &Kind = kind!("networking.k8s.io", "networking.k8s.io", "v1", "NetworkPolicy",
    "networkpolicies", "networkpolicy", "networking.v1.NetworkPolicy",
    short_names: &["netpol"], generation: true,
    defaults: defaults::network::network_policy,
    check: validate::policy::network_policy,
    columns: table::ingress::NETWORK_POLICIES,
    row: table::ingress::network_policy);
/// policy/v1 PodDisruptionBudget.
pub static POD_DISRUPTION_BUDGET: &Kind = kind!("policy", "policy", "v1", "PodDisruptionBudget",
    "poddisruptionbudgets", "poddisruptionbudget", "policy.v1.PodDisruptionBudget",
    short_names: &["pdb"], subresources: sub::STATUS_ONLY, generation: true,
    unconditional_update: false,
    check: validate::policy::disruption_budget,
    columns: table::ingress::DISRUPTION_BUDGETS,
    row: table::ingress::disruption_budget);
