//! What all controllers share: commands, plans, the work queue and the one actor that runs them.
//!
//! A controller is a pure decision ([`Controller::reconcile`]). The [`Reconciler`] actor feeds it
//! from watches, carries out what it plans through the fenced registry, and sets aside objects that
//! make it fail, so that one bad object never starves the others.

mod backend;
mod command;
mod controller;
mod execute;
mod queue;
mod reconciler;
mod recorder;
mod watcher;

#[cfg(test)]
mod tests;

pub(crate) use backend::{Backend, Stage};
pub(crate) use command::{Announce, Command, Note, ObjectRef, Plan};
#[cfg(test)]
pub(crate) use controller::BLAMELESS_MAX;
pub(crate) use controller::{Change, Controller, Failure, Key, ReconcileError, Verb};
pub(crate) use execute::is_out_of_reach;
pub(crate) use reconciler::{Reconciler, ReconcilerArgs};
pub(crate) use recorder::EventRecorder;
pub(crate) use watcher::{Feed, follow};
