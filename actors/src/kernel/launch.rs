//! The beginning of a life: the first `create`, and the restart in place.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    cell::State,
    ctx::Ctx,
    current::{Fallen, take_fallen},
    performer::Performer,
    stage::{Body, Goal, Stage},
};

impl<A: Performer> Stage<A> {
    /// Brings a fresh life up to, not including, `started`.
    pub(super) fn launch(&mut self) -> Result<(), Fallen> {
        self.cell.set_state(State::Starting);
        self.goal = Goal::Run;
        self.stop_sent = false;
        self.fresh = true;
        match std::mem::replace(&mut self.body, Body::Gone) {
            Body::Unborn(mailbox) => {
                match catch_unwind(AssertUnwindSafe(|| <A as Performer>::create(&self.args))) {
                    Ok(act) => {
                        let (me, args) = (self.me.clone(), self.args.clone());
                        self.body = Body::Alive(Box::new(Ctx::open(mailbox, me, args, act)));
                    }
                    Err(payload) => {
                        self.body = Body::Unborn(mailbox);
                        return Err(take_fallen(&*payload));
                    }
                }
            }
            Body::Alive(mut fut) => {
                fut.ctx().end_life();
                let restarted = catch_unwind(AssertUnwindSafe(|| fut.restart()));
                let recreated = fut.ctx().recreated.take();
                fut.ctx().begin_life();
                self.body = Body::Alive(fut);
                if let Err(payload) = restarted {
                    return Err(take_fallen(&*payload));
                }
                if let Some(Err(fallen)) = recreated {
                    return Err(fallen);
                }
            }
            Body::Gone => {}
        }
        self.cell.born();
        self.cell.set_state(if self.paused { State::Paused } else { State::Running });
        Ok(())
    }
}
