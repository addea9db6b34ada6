//! Tests of the kernel.

mod alarms;
mod control;
mod debug;
mod mail;
mod panics;
mod poison;
mod supervision;
mod threads;

use std::{sync::Arc, time::Duration};

use actix::{Actor, Handler, Message, Running};
use parking_lot::Mutex;

use super::*;
use crate::recreate_on_restart;

pub(super) const SOON: Duration = Duration::from_secs(5);

/// What happened, in order, over all actors of a test.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(super) fn push(&self, what: impl Into<String>) {
        self.0.lock().push(what.into());
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// An actor that writes down its life and fails on demand.
#[derive(Debug)]
pub(super) struct Extra {
    pub name: String,
    log: Log,
    pub seen: Vec<u64>,
    fail_start: Arc<Mutex<u32>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct ExtraArgs {
    pub name: String,
    pub log: Log,
    /// How many of the next `started` calls panic.
    pub fail_start: Arc<Mutex<u32>>,
}

impl Performer for Extra {
    type Args = ExtraArgs;
    const MAILBOX: usize = 4096;

    fn create(args: &ExtraArgs) -> Self {
        let ExtraArgs { name, log, fail_start } = args.clone();
        Self { name, log, seen: Vec::new(), fail_start }
    }

    fn inspect(&self) -> serde_json::Value {
        serde_json::json!({ "seen": self.seen })
    }
}
recreate_on_restart!(Extra);

impl Actor for Extra {
    type Context = Ctx<Self>;

    fn started(&mut self, _: &mut Ctx<Self>) {
        let mut left = self.fail_start.lock();
        if *left > 0 {
            *left -= 1;
            drop(left);
            panic!("{} does not start", self.name);
        }
        self.log.push(format!("+{}", self.name));
    }

    fn stopping(&mut self, _: &mut Ctx<Self>) -> Running {
        self.log.push(format!("-{}", self.name));
        Running::Stop
    }
}

#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(super) struct Note(pub u64);

#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(super) struct Boom;

#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(super) struct Quit;

#[derive(Message, Debug)]
#[rtype(result = "Vec<u64>")]
pub(super) struct GetSeen;

impl Handler<Note> for Extra {
    type Result = ();
    fn handle(&mut self, Note(n): Note, _: &mut Ctx<Self>) {
        self.seen.push(n);
    }
}

impl Handler<Boom> for Extra {
    type Result = ();
    fn handle(&mut self, _: Boom, _: &mut Ctx<Self>) {
        panic!("boom in {}", self.name);
    }
}

impl Handler<Quit> for Extra {
    type Result = ();
    fn handle(&mut self, _: Quit, ctx: &mut Ctx<Self>) {
        ctx.stop();
    }
}

impl Handler<GetSeen> for Extra {
    type Result = Vec<u64>;
    fn handle(&mut self, _: GetSeen, _: &mut Ctx<Self>) -> Vec<u64> {
        self.seen.clone()
    }
}

pub(super) fn extra(sup: &SupervisorRef, name: &str, log: &Log) -> ActorRef<Extra> {
    extra_with(sup, name, log, ChildSpec::default())
}

pub(super) fn extra_with(
    sup: &SupervisorRef,
    name: &str,
    log: &Log,
    spec: ChildSpec,
) -> ActorRef<Extra> {
    let args = ExtraArgs { name: name.to_owned(), log: log.clone(), ..ExtraArgs::default() };
    sup.start(name, args, spec)
}
