//! Carrying out a plan.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use kabuki_api::status::Status;

use super::{
    backend::Backend,
    command::{Command, Note, Plan},
    controller::{Failure, Verb},
};

/// Commands of one stage under way at once.
const MAX_PARALLEL: usize = 64;

/// Why a plan was not carried out to its end.
#[derive(Debug)]
pub enum Halt {
    /// An object changed since the decision.
    Conflict,
    /// A command was refused.
    Refused(Failure),
    /// The store was out of reach, or what became of a command is not known.
    Unreachable(String),
}

/// Runs the stages in order; the first one with a failure is the last one.
pub async fn carry_out(
    backend: Arc<dyn Backend>,
    component: &'static str,
    plan: Plan,
) -> Result<(), Halt> {
    for stage in plan.stages {
        let runs = stage.into_iter().map(|command| one(&backend, component, command));
        let results: Vec<_> = stream::iter(runs).buffer_unordered(MAX_PARALLEL).collect().await;
        let mut halt = None;
        for result in results {
            match result {
                Ok(()) => {}
                Err(worse) if halt.as_ref().is_none_or(|halt| rank(&worse) > rank(halt)) => {
                    halt = Some(worse);
                }
                Err(_) => {}
            }
        }
        if let Some(halt) = halt {
            return Err(halt);
        }
    }
    Ok(())
}

/// Which of several failures decides what happens next.
fn rank(halt: &Halt) -> u8 {
    match halt {
        Halt::Conflict => 0,
        Halt::Refused(_) => 1,
        Halt::Unreachable(_) => 2,
    }
}

/// Whether it is the store, not the object, that a command failed on.
pub(crate) fn is_out_of_reach(status: &Status) -> bool {
    status.code == 429 || status.code >= 500
}

async fn one(
    backend: &Arc<dyn Backend>,
    component: &'static str,
    command: Command,
) -> Result<(), Halt> {
    if let Command::Record(note) = command {
        backend.record(component, note);
        return Ok(());
    }
    let announce = match &command {
        Command::Create { announce, .. } | Command::Delete { announce, .. } => announce.clone(),
        _ => None,
    };
    let what = command.describe();
    let verb = match &command {
        Command::Create { .. } => Verb::Create,
        Command::Delete { .. } => Verb::Delete,
        Command::Update { .. } | Command::Record(_) => Verb::Update,
    };
    let name = command_name(&command);
    match backend.apply(component, command).await {
        Ok(name) => {
            if let Some(a) = announce {
                let message = format!("{}{name}", a.prefix);
                backend.record(component, Note::normal(a.on, a.reason, message));
            }
            Ok(())
        }
        // Deciding again on the current state is all it takes.
        Err(status) if status.is_conflict() => Err(Halt::Conflict),
        Err(status) if verb != Verb::Create && status.is_not_found() => Err(Halt::Conflict),
        Err(status) if is_out_of_reach(&status) => {
            Err(Halt::Unreachable(format!("{what}: {status}")))
        }
        Err(status) => Err(Halt::Refused(Failure { what, verb, name, status })),
    }
}

fn command_name(command: &Command) -> String {
    match command {
        Command::Create { object, .. } => {
            object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
        }
        Command::Update { name, .. } | Command::Delete { name, .. } => name.clone(),
        Command::Record(_) => String::new(),
    }
}
