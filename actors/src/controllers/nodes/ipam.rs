//! Gives every node its part of the pod address range (upstream: `pkg/controller/nodeipam`).

use std::{collections::HashSet, net::Ipv4Addr};

use kabuki_api::kind::{Kind, NODE};
use serde_json::json;

use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Plan, ReconcileError},
        model::{Node, Time, get, list},
    },
    registry::View,
};

/// The controller. Decides for one node at a time, so that no two get the same range.
#[derive(Debug, Clone)]
pub(crate) struct NodeIpam {
    /// First address and prefix length of the whole range.
    pub range: (Ipv4Addr, u8),
    /// Prefix length of one node's part.
    pub node_bits: u8,
}

impl NodeIpam {
    /// The first part that no node has.
    fn free(&self, taken: &HashSet<&str>) -> Option<String> {
        let (first, bits) = self.range;
        let spare = self.node_bits.checked_sub(bits).filter(|spare| *spare < 32)?;
        let step = 1u64 << (32 - u32::from(self.node_bits).min(32));
        (0..1u64 << spare).find_map(|n| {
            let at = u32::try_from(u64::from(u32::from(first)) + n * step).ok()?;
            let text = format!("{}/{}", Ipv4Addr::from(at), self.node_bits);
            (!taken.contains(text.as_str())).then_some(text)
        })
    }
}

impl Controller for NodeIpam {
    const NAME: &'static str = "cidrAllocator";
    const WORKERS: usize = 1;

    fn watches(&self) -> Vec<&'static Kind> {
        vec![NODE]
    }

    fn keys(&mut self, _view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        // Heartbeats change nothing here.
        if change.previous.is_none() {
            out.push(Key::of(&change.object));
        }
    }

    fn reconcile(
        &mut self,
        view: &dyn View,
        key: &Key,
        _now: Time,
    ) -> Result<Plan, ReconcileError> {
        let Some(node) = get::<Node>(view, NODE, "", &key.name)? else { return Ok(Plan::done()) };
        if !node.spec.pod_cidr.is_empty() || node.metadata.is_deleting() {
            return Ok(Plan::done());
        }
        let nodes = list::<Node>(view, NODE, None)?;
        let taken: HashSet<&str> = nodes
            .iter()
            .flat_map(|n| n.spec.pod_cidrs.iter().chain([&n.spec.pod_cidr]))
            .map(String::as_str)
            .collect();
        let Some(cidr) = self.free(&taken) else {
            let (first, bits) = self.range;
            return Err(ReconcileError::Invalid(format!(
                "no /{} is left in {first}/{bits}; remove nodes or start with a larger range",
                self.node_bits
            )));
        };
        let mut value = node.object.value().clone();
        value["spec"]["podCIDR"] = cidr.as_str().into();
        value["spec"]["podCIDRs"] = json!([cidr]);
        Ok(Plan::one(Command::update(&node.object, value)))
    }
}
